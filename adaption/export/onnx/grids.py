"""Grids: which values of an ONNX graph lie on a fixed-point grid, and within which codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from onnx import NodeProto

from adaption.export.onnx.graph import Array
from adaption.numerics import FixedPoint

__all__ = ["EXACT_FLOAT", "PRESERVING", "Container", "Grid", "Stored", "Values", "container_of"]

# Operators whose results are values of their first input, or, for Concat, of any input.
PRESERVING = ("Concat", "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Squeeze",
              "Transpose", "Unsqueeze")  # fmt: skip
NEVER_NEGATIVE = ("Abs", "Exp", "Relu", "Sigmoid", "Softmax")
EXACT_FLOAT = 2**24  # float32 holds every integer up to here


@dataclass(frozen=True)
class Grid:
    """Values code * 2^-frac_length with lo <= code <= hi."""

    frac_length: int
    lo: int
    hi: int

    @classmethod
    def of(cls, fmt: FixedPoint) -> Grid:
        return cls(fmt.frac_length, fmt.min_code, fmt.max_code)

    @property
    def lsb(self) -> float:
        return 2.0**-self.frac_length

    def finer(self, frac_length: int) -> Grid:
        """The same values on a grid that is as fine or finer."""
        shift = frac_length - self.frac_length
        return Grid(frac_length, self.lo << shift, self.hi << shift)

    def joined(self, other: Grid) -> Grid:
        """The grid that holds the values of both."""
        a, b = self._aligned(other)
        return Grid(a.frac_length, min(a.lo, b.lo), max(a.hi, b.hi))

    def plus(self, other: Grid) -> Grid:
        """The grid of sums."""
        a, b = self._aligned(other)
        return Grid(a.frac_length, a.lo + b.lo, a.hi + b.hi)

    def _aligned(self, other: Grid) -> tuple[Grid, Grid]:
        finest = max(self.frac_length, other.frac_length)
        return self.finer(finest), other.finer(finest)


@dataclass(frozen=True)
class Container:
    """The integer type that holds a grid's codes, as code + zero_point."""

    dtype: type[np.integer]
    zero_point: int

    @property
    def bits(self) -> int:
        return np.iinfo(self.dtype).bits

    def holds(self, grid: Grid) -> bool:
        limits = np.iinfo(self.dtype)
        return limits.min <= grid.lo + self.zero_point and grid.hi + self.zero_point <= limits.max


CONTAINERS = (
    Container(np.uint8, 0),
    Container(np.uint8, 128),
    Container(np.int16, 0),
    Container(np.uint16, 0),
)


@dataclass(frozen=True)
class Stored:
    """Integers in a graph that hold the codes of a value."""

    codes: str
    container: Container
    grid: Grid


def container_of(grid: Grid | None, most_bits: int = 16) -> Container | None:
    """The shortest type that holds the codes, None where none of so many bits does."""
    if grid is None:
        return None
    return next((c for c in CONTAINERS if c.bits <= most_bits and c.holds(grid)), None)


class Values:
    """What is known of the values of a graph, operator by operator. float32 holds those on a grid
    exactly."""

    def __init__(self, constants: Mapping[str, Array]) -> None:
        self._constants = constants
        self._grids: dict[str, Grid] = {}
        self._never_negative: set[str] = set()

    def grid(self, name: str) -> Grid | None:
        return self._grids.get(name)

    def is_never_negative(self, name: str) -> bool:
        grid = self._grids.get(name)
        return name in self._never_negative or (grid is not None and grid.lo >= 0)

    def set_grid(self, name: str, grid: Grid) -> None:
        self._grids[name] = grid

    def follow(self, node: NodeProto) -> None:
        """Learn about the outputs of one more operator."""
        inputs = [n for n in node.input if n and n not in self._constants]
        keeps = node.op_type in PRESERVING
        if node.op_type in NEVER_NEGATIVE or (
            (keeps or node.op_type == "Add")
            and inputs
            and len(inputs) == len([n for n in node.input if not self._is_index(node, n)])
            and all(map(self.is_never_negative, inputs))
        ):
            self._never_negative.update(node.output)
        grids = [self._grids.get(n) for n in inputs]
        known = [g for g in grids if g is not None]
        if not known or len(known) < len(grids):
            return
        grid = self._result(node, known)
        if grid is not None:
            self._grids.update(dict.fromkeys(node.output, grid))

    def _is_index(self, node: NodeProto, name: str) -> bool:
        """Shapes and axes are constants of whole numbers."""
        return name in self._constants and self._constants[name].dtype.kind == "i"

    def _result(self, node: NodeProto, grids: Sequence[Grid]) -> Grid | None:
        if any(n in self._constants and not self._is_index(node, n) for n in node.input):
            return None
        if node.op_type in PRESERVING:
            return reduce(Grid.joined, grids)
        if node.op_type == "Add":
            total = reduce(Grid.plus, grids)
            return total if max(-total.lo, total.hi) <= EXACT_FLOAT else None
        if node.op_type == "Max":
            return reduce(Grid.joined, grids)
        if node.op_type == "Relu":
            g = grids[0]
            return Grid(g.frac_length, max(g.lo, 0), max(g.hi, 0))
        return None
