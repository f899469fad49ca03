"""What the C statements of a loop need: where it stands, the variables it has, and constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from adaption.exact.program import Op, Quantize
from adaption.export.package.c.graph import Graph, refusal
from adaption.export.package.c.lines import Lines
from adaption.export.package.c.types import INT32, INT64, CType, float_literal, literal
from adaption.layers.base import Shape

__all__ = ["Index", "Memory", "Scalar", "Scalars"]


@dataclass(frozen=True)
class Index:
    """Where a loop stands: `flat` is the C expression of the element, `channel` that of its
    channel of `plane` elements, where the loop has one."""

    flat: str
    channel: str = ""
    plane: int = 1

    def of(self, own: Shape, top: Shape) -> str:
        """The element of a blob of shape `own` that meets this one of a top that it broadcasts to.

        Raises: ValueError when it does not.
        """
        rank = len(top)
        if len(own) > rank or any(
            n not in (1, m) for n, m in zip(own[::-1], top[::-1], strict=False)
        ):
            raise ValueError
        own = (1,) * (rank - len(own)) + tuple(own)
        terms, stride, inner, axis = [], 1, 1, rank - 1
        while axis >= 0:
            count = 1
            while axis >= 0 and own[axis] == top[axis]:
                count *= own[axis]
                axis -= 1
            if count > 1:
                terms.append(
                    self._term(
                        inner, count, stride, is_last=not any(n > 1 for n in top[: axis + 1])
                    )
                )
                stride, inner = stride * count, inner * count
            while axis >= 0 and own[axis] != top[axis]:
                inner *= top[axis]
                axis -= 1
        return " + ".join(terms) or "0"

    def _term(self, inner: int, count: int, stride: int, *, is_last: bool) -> str:
        """(element / inner) % count * stride, in the shortest form."""
        text, by = self.flat, inner
        if self.channel and inner % self.plane == 0:
            text, by = self.channel, inner // self.plane
        if by > 1:
            text = f"{text} / {by}"
        if not is_last:
            text = f"{text} % {count}"
        return f"{text} * {stride}" if stride > 1 else text


@dataclass(frozen=True)
class Scalar:
    """A C variable with its bounds; those of a float are 0."""

    text: str
    low: int
    high: int
    kind: CType


class Memory(Protocol):
    """What a loop reads, as C expressions."""

    def element(self, name: str, index: str) -> str:
        """An element of a stored value."""

    def source(self, op: Quantize, index: str) -> str:
        """An element of the input that is rounded."""

    def constant(self, op: Op, kind: str) -> npt.NDArray[np.int64]:
        """The codes of a constant."""

    def floats(self, op: Op, kind: str) -> npt.NDArray[np.float32]:
        """The values of a constant of float32."""

    def constant_name(self, op: Op, kind: str) -> str:
        """The C array that holds it."""

    def trace(self, name: str, index: str, code: str) -> str:
        """A statement that keeps a code of a value, for comparing."""


class Scalars:
    """Writes the operations of one stage at one place of its loop."""

    def __init__(self, graph: Graph, memory: Memory, lines: Lines, index: Index) -> None:
        self.graph, self.memory, self.lines, self.index = graph, memory, lines, index
        self._known: dict[str, Scalar] = {}

    def let(self, name: str, text: str, kind: CType) -> Scalar:
        """A variable for a value, from an expression of type `kind`."""
        own = self.graph.kind(name)
        if kind is INT64 and own is INT32:
            text = f"(int32_t)({text})"
        made = self._scalar(name)
        self._known[name] = made
        self.lines.add(f"const {own.name} {made.text} = {text};")
        self.lines.add(self.memory.trace(name, self.index.flat, made.text))
        return made

    def between(self, text: str) -> str:
        """A variable for a float on the way to a value."""
        name = f"t{len(self._known)}"
        self.lines.add(f"const float {name} = {text};")
        return name

    def same(self, op: Op) -> None:
        """The top is the bottom."""
        x, name = self.get(op, op.inputs[0]), op.outputs[0]
        self._known[name] = x
        self.lines.add(self.memory.trace(name, self.index.flat, x.text))

    def known(self, name: str) -> Scalar:
        return self._known[name]

    def get(self, op: Op, name: str) -> Scalar:
        """A bottom of an operation."""
        if name not in self._known:
            made = self._scalar(name)
            element = self.memory.element(name, self._place(op, name, self.graph.shape(name)))
            self.lines.add(f"const {made.kind.name} {made.text} = {element};")
            self._known[name] = made
        return self._known[name]

    def constant(self, op: Op, kind: str, within: CType = INT32) -> str:
        """The element of a constant: a literal where all are equal."""
        codes = self.memory.constant(op, kind)
        if (codes == codes.flat[0]).all():
            return literal(int(codes.flat[0]), within)
        return f"{self.memory.constant_name(op, kind)}[{self._place(op, kind, codes.shape)}]"

    def float_constant(self, op: Op, kind: str) -> str:
        """The same of a constant of float32."""
        values = self.memory.floats(op, kind)
        if (values == values.flat[0]).all():
            return float_literal(float(values.flat[0]))
        return f"{self.memory.constant_name(op, kind)}[{self._place(op, kind, values.shape)}]"

    def _scalar(self, name: str) -> Scalar:
        low, high = 0, 0
        if not self.graph.is_float(name):
            v = self.graph.value(name)
            low, high = v.low, v.high
        return Scalar(f"v{len(self._known)}", low, high, self.graph.kind(name))

    def _place(self, op: Op, what: str, shape: Shape) -> str:
        top = self.graph.shape(op.outputs[0])
        if np.prod(shape, dtype=int) == np.prod(top, dtype=int):
            return self.index.flat
        try:
            return self.index.of(shape, top)
        except ValueError:
            raise refusal(op, f"spreads its {what} of shape {shape} over {top}") from None
