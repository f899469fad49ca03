"""QdqPass: a lowered graph with QuantizeLinear and DequantizeLinear where values lie on a grid.

Runtimes fuse DequantizeLinear, operator, QuantizeLinear into one integer kernel. What is written
follows onnxruntime (core/optimizer/qdq_transformer): 8-bit activations are uint8 throughout, since
its kernels want bottom and top of one type, with zero point 0 where a value is never negative and
128 elsewhere. Scales are powers of two, so that a code's value is exact in float32.

Kernels for AVX2 and AVX-512 without VNNI add pairs of uint8 times int8 products in 16 bits, and
saturate. Weights are int8 only where such a pair cannot reach 2^15 (codes 0..127 times int8 never
do); elsewhere they are uint8 with zero point 128, for which the kernels add in 32 bits. So the file
is exact on every processor, without a session option. With `adds_in_32_bits` weights are int8
throughout, which is faster where the processor adds such products in 32 bits.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from adaption.export.exact.constants import half_away
from adaption.export.grids import PRESERVING, Grid, Values
from adaption.export.onnx_graph import Array, OnnxGraph
from adaption.numerics import FixedPoint

__all__ = ["POINT", "QdqPass", "container_of"]

POINT = "ActivationPoint"  # stands for an activation point until the pass
WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
SUMS = ("Conv", "Gemm")  # onnxruntime has integer kernels for these
PAIR_LIMIT = 2**15 - 1  # of the 16 bits in which some kernels add two products
EXACT_FLOAT = 2**24  # float32 holds every integer up to here
LONGEST_SHIFT = 17  # up to here, a sum beyond 2^24 saturates an 8-bit top, however it rounds


@dataclass(frozen=True)
class _Container:
    """The integer type that holds a grid's codes, as code + zero_point."""

    dtype: type[np.integer]
    zero_point: int

    @property
    def bits(self) -> int:
        return np.iinfo(self.dtype).bits

    def holds(self, grid: Grid) -> bool:
        limits = np.iinfo(self.dtype)
        return limits.min <= grid.lo + self.zero_point and grid.hi + self.zero_point <= limits.max


@dataclass(frozen=True)
class _Sum:
    """What an integer kernel adds up: greatest magnitude in LSBs, and the products' grid."""

    layer: str
    worst: int
    frac_length: int


CONTAINERS = (
    _Container(np.uint8, 0),
    _Container(np.uint8, 128),
    _Container(np.int16, 0),
    _Container(np.uint16, 0),
)


def container_of(grid: Grid | None, most_bits: int = 16) -> _Container | None:
    if grid is None:
        return None
    return next((c for c in CONTAINERS if c.bits <= most_bits and c.holds(grid)), None)


class QdqPass:
    """One pass over a lowered graph. `moved` maps values to their new names."""

    def __init__(
        self,
        g: OnnxGraph,
        points: Mapping[str, FixedPoint],
        on_grid: Mapping[str, FixedPoint],
        weights: Mapping[str, FixedPoint],
        kept: dict[Hashable, Array],
        *,
        adds_in_32_bits: bool = False,
    ) -> None:
        self.g = g
        self.kept = kept  # codes made so far, also by an earlier pass
        self.points = points
        self.on_grid = on_grid
        self.weights = weights
        self.adds_in_32_bits = adds_in_32_bits
        self.values = Values(g.constants)
        self.containers: dict[str, _Container] = {}  # of the values that DequantizeLinear made
        self.moved: dict[str, str | None] = {}
        self.notes: list[str] = []
        self.in_float: list[str] = []  # activation points that round what float32 operators made
        self.off_grid: list[str] = []  # layers whose biases are rounded, and how many
        self.sums: dict[str, _Sum] = {}  # exact sums of products
        self.made: set[str] = set()  # what operators that stay as they are made
        self._copies: dict[str, str] = {}

    def run(self) -> None:
        nodes, self.g.nodes = self.g.nodes, []
        for node in _relu_first(nodes, self.moved):
            with self.g.scope(self.g.owners[node.name]):
                self._write(node)
        if self.in_float:
            self.notes.append(
                "results of float32 operators are rounded, and codes may differ from exact"
                f" arithmetic beside a tie, at: {', '.join(self.in_float)}"
            )
        if self.off_grid:
            self.notes.append(
                "biases that are no multiples of their products' LSB were rounded to it"
                f" (half_away), and codes may differ at ties: {', '.join(self.off_grid)}"
            )

    def _write(self, node: NodeProto) -> None:
        node.input[:] = [self.moved.get(n) or n for n in node.input]
        if node.op_type == POINT:
            self.moved[node.output[0]] = self._point(node.input[0], self.points[node.name])
            return
        if node.op_type in WITH_WEIGHTS and node.input[1] in self.g.constants:
            self._with_weights(node)
            return
        self._append(node)
        if node.op_type == "Relu" and node.input[0] in self.sums:
            self.sums[node.output[0]] = self.sums[node.input[0]]
        for name in node.output:
            if name in self.on_grid:
                self.values.set_grid(name, Grid.of(self.on_grid[name]))
        if node.op_type in PRESERVING and any(n in self.containers for n in node.input):
            self._stay_integer(node.output[0])

    def _append(self, node: NodeProto) -> None:
        self.g.nodes.append(node)
        self.made.update(node.output)
        self.values.follow(node)

    # -- activations -------------------------------------------------------------------------

    def _point(self, x: str, fmt: FixedPoint) -> str:
        grid = Grid.of(fmt)
        if self.values.is_never_negative(x):
            grid = Grid(grid.frac_length, 0, grid.hi)
        container = container_of(grid)
        assert container is not None  # the style has seen to it
        self._check_requantization(x, fmt)
        if x not in self.sums and self.values.grid(x) is None and x in self.made:
            self.in_float.append(f'"{self.g.layer}"')
        return self._quantized(x, grid, container, saturates=True)

    def _stay_integer(self, name: str) -> None:
        """Quantize a value that is on a grid already, so that its operator runs on integers."""
        grid = self.values.grid(name)
        container = container_of(grid, 8)
        if grid is not None and container is not None:
            self.moved[name] = self._quantized(name, grid, container)

    def _quantized(
        self, x: str, grid: Grid, container: _Container, *, saturates: bool = False
    ) -> str:
        g, dtype, zero = self.g, container.dtype, container.zero_point
        scale, zero_point = g.constant(np.float32(grid.lsb)), g.constant(dtype(zero))
        lo, hi = grid.lo + zero, grid.hi + zero
        narrower = saturates and (lo, hi) != (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if narrower and container.bits > 8:  # onnxruntime has no Clip for 16-bit integers
            bounds = (np.float32(code * grid.lsb) for code in (grid.lo, grid.hi))
            x = g.op("Clip", x, *map(g.constant, bounds))
        code = g.op("QuantizeLinear", x, scale, zero_point)
        if narrower and container.bits == 8:
            code = g.op("Clip", code, g.constant(dtype(lo)), g.constant(dtype(hi)))
        made: str = g.op("DequantizeLinear", code, scale, zero_point)
        self.values.set_grid(made, grid)
        self.containers[made] = container
        return made

    # -- weights -----------------------------------------------------------------------------

    def _with_weights(self, node: NodeProto) -> None:
        """Write an operator that has weights: on integers where they fit, else in float32."""
        fmt = self.weights.get(node.input[1])
        if fmt is None or not -(2**15) <= fmt.min_code <= fmt.max_code < 2**15:
            self._alone(node)
            self._append(node)
            return
        layer = self.g.owners[node.name]
        values = self.g.constants[node.input[1]]
        codes = self._codes(values, fmt)
        x = self._integer_bottom(node.input[0])
        grid, is_short = self.values.grid(x), codes.dtype == np.int8
        worst = None if grid is None else _worst_sum(node, codes, grid)
        if grid is not None and worst is not None and self._is_8_bit(x) and is_short:
            if node.op_type in SUMS and worst < 2**31:
                node.input[0] = x
                node.input[1] = self._integer_weight(node, codes, fmt)
                frac_length = fmt.frac_length + grid.frac_length
                self._store_bias(node, frac_length)
                self.sums[node.output[0]] = _Sum(layer, worst, frac_length)
                self._append(node)
                return
            why = (
                f"its sums reach {worst.bit_length() + 1} bits, more than 32-bit accumulators hold"
            )
            if node.op_type not in SUMS:
                why = f"there is no integer kernel for {node.op_type}"
        elif grid is None:
            why = "its bottom is not rounded"
        else:
            why = "its bottom or its weights need more than 8 bits"
        said = "may round"
        if grid is not None and worst is not None and worst <= EXACT_FLOAT:
            said = "are exact"
            frac_length = fmt.frac_length + grid.frac_length
            self.sums[node.output[0]] = _Sum(layer, worst, frac_length)
        self.notes.append(f'layer "{layer}" runs in float32, where its sums {said}: {why}')
        self._alone(node)
        node.input[1] = self._integer_weight(node, codes, fmt)
        self._append(node)

    def _codes(self, values: Array, fmt: FixedPoint) -> Array:
        """Integer codes, int8 where that holds them; the same array for the same values."""
        key = (values.ctypes.data, values.shape, fmt)
        if key not in self.kept:
            step = 2.0**-fmt.frac_length
            is_short = values.min(initial=0) >= -128 * step and values.max(initial=0) <= 127 * step
            codes = np.empty(values.shape, np.int8 if is_short else np.int16)
            for to, row in zip(codes, values, strict=True):  # large blobs in pieces
                to[...] = np.rint(row * np.float32(2.0**fmt.frac_length))
            self.kept[key] = codes
        return self.kept[key]

    def _is_8_bit(self, x: str) -> bool:
        return x in self.containers and self.containers[x].bits == 8

    def _alone(self, node: NodeProto) -> None:
        """Keep an operator in float32. onnxruntime would round its weights to 8 bits by itself when
        its bottom came straight from DequantizeLinear; a Clip that changes nothing prevents that.
        """
        x = node.input[0]
        grid = self.values.grid(x)
        if x in self.containers and grid is not None:
            bounds = (np.float32(code * grid.lsb) for code in (grid.lo, grid.hi))
            node.input[0] = self.g.op("Clip", x, *map(self.g.constant, bounds))

    def _integer_bottom(self, x: str) -> str:
        """The bottom as 8-bit integers where it is on such a grid, else as it is."""
        grid = self.values.grid(x)
        container = container_of(grid, 8)
        if x in self.containers or grid is None or container is None:
            return x
        self.moved[x] = self._quantized(x, grid, container)
        return self.moved[x] or x

    def _integer_weight(self, node: NodeProto, codes: Array, fmt: FixedPoint) -> str:
        """The weights as integers behind DequantizeLinear; layers that share them share it."""
        g = self.g
        container = self._integer_container(node.input[0], codes)
        key = f"{node.input[1]}/{container}"
        if key not in self._copies:
            stored = codes
            if container.dtype != codes.dtype:
                stored = (codes.astype(np.int16) + container.zero_point).astype(container.dtype)
            self._copies[key] = g.op(
                "DequantizeLinear",
                g.blob(0, stored),
                g.constant(np.float32(fmt.lsb)),
                g.constant(container.dtype(container.zero_point)),
            )
        return self._copies[key]

    def _integer_container(self, x: str, codes: Array) -> _Container:
        if codes.dtype != np.int8:
            return _Container(np.int16, 0)
        grid, container = self.values.grid(x), self.containers.get(x)
        if self.adds_in_32_bits or grid is None or container is None:
            return _Container(np.int8, 0)
        greatest = max(int(codes.max(initial=0)), -int(codes.min(initial=0)))
        pair = 2 * (grid.hi + container.zero_point) * greatest
        return _Container(np.int8, 0) if pair <= PAIR_LIMIT else _Container(np.uint8, 128)

    def _store_bias(self, node: NodeProto, frac_length: int) -> None:
        """The bias as 32-bit integers on the grid of the products, 2^-frac_length."""
        if len(node.input) < 3:
            return
        g, layer = self.g, self.g.owners[node.name]
        exact = g.constants[node.input[2]].astype(np.float64) * 2.0**frac_length
        codes = half_away(exact)
        if (codes != exact).any():
            self.off_grid.append(f'"{layer}" ({np.count_nonzero(codes != exact)})')
        stored = g.blob(1, codes.astype(np.int32))
        node.input[2] = g.op("DequantizeLinear", stored, g.constant(np.float32(2.0**-frac_length)))

    def _check_requantization(self, x: str, fmt: FixedPoint) -> None:
        """onnxruntime turns 32-bit sums into float32 before it rounds them to the top's codes."""
        made = self.sums.get(x)
        if made is None or made.worst <= EXACT_FLOAT:
            return
        if made.frac_length - fmt.frac_length > LONGEST_SHIFT:
            self.notes.append(
                f'layer "{made.layer}": sums of up to {made.worst.bit_length() + 1} bits are'
                " requantized in float32, which may round a sum beside a tie onto it"
            )


def _relu_first(nodes: list[NodeProto], moved: dict[str, str | None]) -> Iterator[NodeProto]:
    """The operators, with each activation point that only a Relu reads put behind that Relu.

    Rounding and saturation are monotone and keep 0, so the two may change places; what the point
    gave has no value of its own any more.
    """
    readers: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    waiting: dict[str, NodeProto] = {}  # what a point gave -> the point
    for node in nodes:
        after = readers.get(node.output[0], [])
        if node.op_type == POINT and len(after) == 1 and after[0].op_type == "Relu":
            waiting[node.output[0]] = node
            continue
        point = waiting.pop(node.input[0], None) if node.input else None
        if point is None:
            yield node
            continue
        moved[point.output[0]] = None
        node.input[0], point.output[0] = point.input[0], node.output[0]
        node.output[0] = point.input[0] = f"{node.output[0]}:unrounded"
        yield node
        yield point


def _worst_sum(node: NodeProto, codes: Array, grid: Grid) -> int:
    """Greatest magnitude that an integer sum can reach, over all outputs; without bias."""
    attributes = {a.name: a.i for a in node.attribute}
    outputs = 1 if node.op_type == "Gemm" and not attributes.get("transB") else 0
    axes = tuple(i for i in range(codes.ndim) if i != outputs)
    positive = np.maximum(codes, 0).sum(axis=axes, dtype=np.int64)
    negative = np.minimum(codes, 0).sum(axis=axes, dtype=np.int64)
    lo, hi = min(grid.lo, 0), max(grid.hi, 0)
    most = positive * hi + negative * lo
    least = positive * lo + negative * hi
    return int(max(most.max(initial=0), -least.min(initial=0)))
