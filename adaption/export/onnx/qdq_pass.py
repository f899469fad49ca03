"""QdqPass: a lowered graph with QuantizeLinear and DequantizeLinear where values lie on a grid.

Runtimes fuse DequantizeLinear, operator, QuantizeLinear into one integer kernel. What is written
follows onnxruntime (core/optimizer/qdq_transformer): 8-bit activations are uint8 throughout, since
its kernels want bottom and top of one type, with zero point 0 where a value is never negative and
128 elsewhere. Scales are powers of two, so that a code's value is exact in float32.

Between points, operators stay in float32 where all they make is exact there: values on a grid, sums
of products below 2^24. Where one would round (PReLU, batch norm, average pooling, sums of longer
words), what exact arithmetic does from the last codes on stands instead, operation by operation; so
every code is the one that exact arithmetic gives with biases at the products' scale, half to even.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from onnx import NodeProto, TensorProto, helper

from adaption.exact.constants import half_away
from adaption.export.onnx.exact_parts import ExactParts
from adaption.export.onnx.graph import Array, OnnxGraph
from adaption.export.onnx.grids import (
    EXACT_FLOAT,
    PRESERVING,
    Container,
    Grid,
    Stored,
    Values,
    container_of,
)
from adaption.export.onnx.qdq_weights import QdqWeights, worst_sum
from adaption.export.onnx.styles import FloatStyle
from adaption.numerics import FixedPoint

__all__ = ["POINT", "QdqPass"]

POINT = "ActivationPoint"  # stands for an activation point until the pass
WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
SUMS = ("Conv", "Gemm")  # onnxruntime has integer kernels for these
PICKING = (*PRESERVING, "Clip", "Max", "Min", "Relu")  # a result is one of what they are given
ROUNDING = (*WITH_WEIGHTS, "Add", "AveragePool", "BatchNormalization", "LeakyRelu", "Mul", "PRelu",
            "Sub")  # fmt: skip
LONGEST_SHIFT = 17  # up to here, a sum beyond 2^24 saturates an 8-bit top, however it rounds


class QdqPass:
    """One pass over a lowered graph.

    `moved` maps values to their new names, None for those that are gone. `notes` say what is
    peculiar, `exceptions` are the layers at which codes may differ from exact arithmetic's.

    Args:
        points: formats of the activation points, by the name of their mark.
        weights: formats of weights, by their constant.
        kept: codes made so far, also by an earlier pass.
        ends: values that the graph hands out.
        limited: layers with an accumulator that is narrower than their sums may be.
        parts: gives the net in exact arithmetic, for what float32 operators would round; None for
            a net that has no such form.
    """

    def __init__(
        self,
        g: OnnxGraph,
        *,
        points: Mapping[str, FixedPoint],
        weights: Mapping[str, FixedPoint],
        kept: dict[Hashable, Array],
        ends: Sequence[str],
        limited: frozenset[str],
        parts: Callable[[Mapping[str, Stored]], ExactParts | None],
        adds_in_32_bits: bool = False,
    ) -> None:
        self.g = g
        self.points = points
        self.weights = weights
        self.ends = ends
        self.limited = limited
        self.values = Values(g.constants)
        self.containers: dict[str, Container] = {}  # of the values that DequantizeLinear made
        self.stored: dict[str, Stored] = {}  # by the name that a value had before the pass
        self.moved: dict[str, str | None] = {}
        self.notes: list[str] = []
        self.exceptions: dict[str, None] = {}
        self.parts: ExactParts | None = None  # where it was needed
        self._find_parts = parts
        self._said: list[tuple[str, str]] = []  # a note that counts if this value is still made
        self._in_float: list[str] = []  # points that round what float32 operators made
        self._off_grid: list[tuple[str, str]] = []  # value, layer whose bias is rounded, how much
        self._sums: dict[str, int] = {}  # what integer kernels make: the products' frac_length
        self._exact: set[str] = set()  # off any grid that is known, but as exact arithmetic's
        self._rounded: set[str] = set()  # made of codes, and rounded in float32
        self._made: set[str] = set()  # by operators that stay as they are
        self._readers: dict[str, Counter[str]] = {}
        self._stock = QdqWeights(g, kept, adds_in_32_bits=adds_in_32_bits)

    @cached_property
    def _parts(self) -> ExactParts | None:
        """The net in exact arithmetic; made when it is first needed, since it takes memory."""
        self.parts = self._find_parts(self.stored)
        return self.parts

    def run(self) -> None:
        nodes = list(_relu_first(self.g.nodes, self.moved))
        self.g.nodes = []
        for node in nodes:
            for name in node.input:
                self._readers.setdefault(name, Counter())[node.op_type] += 1
        for node in nodes:
            with self.g.scope(self.g.owners[node.name]):
                self._write(node)
        self._drop_unread()
        made = {name for node in self.g.nodes for name in node.output}
        self.notes += [note for value, note in self._said if value in made]
        if self._in_float:
            self.notes.append(
                "results of float32 operators are rounded, and codes may differ from exact"
                f" arithmetic beside a tie, at: {', '.join(self._in_float)}"
            )
        self.notes += self.parts.notes() if self.parts else []
        off_grid = [layer for value, layer in self._off_grid if value in made]
        if off_grid:
            self.notes.append(
                "biases that are no multiples of their products' LSB were rounded to it"
                f" (half_away), and codes may differ at ties: {', '.join(off_grid)}"
            )

    def _write(self, node: NodeProto) -> None:
        node.input[:] = [self.moved.get(n) or n for n in node.input]
        if node.op_type == POINT:
            x, top = node.input[0], node.output[0]
            self.moved[top] = self._point(x, top, self.points[node.name])
            return
        if node.op_type in WITH_WEIGHTS and node.input[1] in self.g.constants:
            self._with_weights(node)
        else:
            self._append(node)
        self._judge(node)
        if node.op_type in PRESERVING and any(n in self.containers for n in node.input):
            self._stay_integer(node.output[0])
        for name in node.output:
            if name in self._rounded and self._is_handed_on(name):
                floats = self._parts and self._parts.floats(name)
                if floats:
                    self.moved[name] = floats
                    self._rounded.add(floats)
                    self._made.add(floats)

    def _append(self, node: NodeProto) -> None:
        self.g.nodes.append(node)
        self._made.update(node.output)
        self.values.follow(node)

    def _drop_unread(self) -> None:
        """Leave out operators whose results exact ones have replaced."""
        read = {self.moved.get(name) or name for name in self.ends}
        kept = []
        for node in reversed(self.g.nodes):
            if read.intersection(node.output):
                kept.append(node)
                read.update(node.input)
        self.g.nodes = kept[::-1]

    # -- what is exact -----------------------------------------------------------------------

    def _judge(self, node: NodeProto) -> None:
        """Learn whether float32 holds an operator's results as exact arithmetic has them."""
        given = [n for n in node.input if n and n not in self.g.constants]
        exact = bool(given) and all(map(self._is_exact, given))
        x = given[0] if given else ""
        if node.op_type == "Relu" and x in self._sums and self._is_read_once(x):
            self._sums[node.output[0]] = self._sums[x]
        picks = node.op_type in PICKING
        if exact and picks:
            self._exact.update(node.output)
        is_rounded = not picks and node.op_type in ROUNDING and any(map(self._is_code, given))
        if node.op_type == "Gemm" and node.output[0] in self._sums:
            is_rounded = False  # its kernel rounds a sum of integers once
        if is_rounded or not self._rounded.isdisjoint(given):
            self._rounded.update(n for n in node.output if not self._is_exact(n))

    def _is_exact(self, name: str) -> bool:
        return name in self._exact or self.values.grid(name) is not None or name not in self._made

    def _is_code(self, name: str) -> bool:
        """Whether a value is an exact one that is made of codes."""
        is_sum = name in self._sums or (name in self._exact and name in self._made)
        return is_sum or self.values.grid(name) is not None

    def _is_read_once(self, name: str) -> bool:
        return self._readers[name].total() == 1 and name not in self.ends

    def _is_handed_on(self, name: str) -> bool:
        """Whether a value is an output, or read by what has no integer form."""
        known = {POINT, *PICKING, *ROUNDING}
        return name in self.ends or not known.issuperset(self._readers.get(name, ()))

    # -- activations -------------------------------------------------------------------------

    def _point(self, x: str, top: str, fmt: FixedPoint) -> str:
        """Write the activation point that makes `top` of x."""
        grid = Grid.of(fmt)
        if self.values.is_never_negative(x):
            grid = Grid(grid.frac_length, 0, grid.hi)
        container = container_of(grid)
        quantizes = container if fmt.rounding != "floor" else None
        is_known = self._is_exact(x) or (
            quantizes is not None and quantizes.bits == 8 and self._fuses_exactly(x, fmt)
        )
        codes = None if is_known or self._parts is None else self._parts.codes(top)
        if codes is not None:
            return self._from_codes(top, codes, grid, container)
        if not is_known:
            self._in_float.append(f'"{self.g.layer}"')
            self.exceptions[self.g.layer] = None
        if quantizes is not None:
            return self._quantized(top, x, grid, quantizes, saturates=True)
        return self._in_float32(FloatStyle().activation(self.g, x, fmt), grid)

    def _fuses_exactly(self, x: str, fmt: FixedPoint) -> bool:
        """Whether an integer kernel makes and rounds x. onnxruntime's turn 32-bit sums into float32
        before they round them: beyond 2^24, that is exact where the top saturates anyway."""
        made = self._sums.get(x)
        if made is None or not self._is_read_once(x):
            return False
        return made - fmt.frac_length <= LONGEST_SHIFT

    def _from_codes(self, top: str, codes: str, grid: Grid, container: Container | None) -> str:
        """The activation point's result from its int32 codes."""
        g = self.g
        if container is None:
            floats = g.op("Cast", codes, to=TensorProto.FLOAT)
            return self._in_float32(g.op("Mul", floats, g.constant(grid.lsb)), grid)
        if container.zero_point:
            codes = g.op("Add", codes, g.constant(np.int32(container.zero_point)))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(container.dtype))
        return self._unpacked(top, g.op("Cast", codes, to=kind), grid, container)

    def _in_float32(self, x: str, grid: Grid) -> str:
        """Note that x is on a grid, where float32 holds that."""
        self._made.add(x)
        if max(-grid.lo, grid.hi) <= EXACT_FLOAT:
            self.values.set_grid(x, grid)
        return x

    def _stay_integer(self, name: str) -> None:
        """Quantize a value that is on a grid already, so that its operator runs on integers."""
        grid = self.values.grid(name)
        container = container_of(grid, 8)
        if grid is not None and container is not None:
            self.moved[name] = self._quantized(name, name, grid, container)

    def _quantized(
        self, top: str, x: str, grid: Grid, container: Container, *, saturates: bool = False
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
        return self._unpacked(top, code, grid, container)

    def _unpacked(self, top: str, code: str, grid: Grid, container: Container) -> str:
        """The values of codes; `top` is what they were called before the pass."""
        g = self.g
        scale = g.constant(np.float32(grid.lsb))
        zero_point = g.constant(container.dtype(container.zero_point))
        made: str = g.op("DequantizeLinear", code, scale, zero_point)
        self.values.set_grid(made, grid)
        self.containers[made] = container
        self.stored[top] = Stored(code, container, grid)
        return made

    # -- weights -----------------------------------------------------------------------------

    def _with_weights(self, node: NodeProto) -> None:
        """Write an operator that has weights: on integers where they fit, else in float32."""
        fmt = self.weights.get(node.input[1])
        if fmt is None or not -(2**15) <= fmt.min_code <= fmt.max_code < 2**15:
            self._alone(node)
            self._append(node)
            return
        layer, top = self.g.owners[node.name], node.output[0]
        codes = self._stock.codes(self.g.constants[node.input[1]], fmt)
        x = self._integer_bottom(node.input[0])
        grid, is_short = self.values.grid(x), codes.dtype == np.int8
        said = "may round"
        if layer in self.limited:
            why = "accumulators of stated width are for exact arithmetic"
        elif grid is None:
            why = "its bottom is not rounded"
        else:
            frac_length = fmt.frac_length + grid.frac_length
            bias = self._bias_codes(node, frac_length)
            worst = worst_sum(node, codes, grid) + int(np.abs(bias).max(initial=0))
            if worst <= EXACT_FLOAT:
                said = "are exact"
                self._exact.add(top)
            why = "its bottom or its weights need more than 8 bits"
            if self._is_8_bit(x) and is_short:
                if node.op_type in SUMS and worst < 2**31:
                    node.input[0] = x
                    node.input[1] = self._weight(node, codes, fmt)
                    self._store_bias(node, bias, frac_length)
                    self._sums[top] = frac_length
                    self._append(node)
                    return
                bits = worst.bit_length() + 1
                why = f"its sums reach {bits} bits, more than 32-bit accumulators hold"
                if node.op_type not in SUMS:
                    why = f"there is no integer kernel for {node.op_type}"
            if top in self._exact and bias.size:
                rounded = np.asarray(bias * 2.0**-frac_length, np.float32)
                node.input[2] = self.g.blob(1, rounded)
        self._said.append((top, f'layer "{layer}" runs in float32, where its sums {said}: {why}'))
        self._alone(node)
        node.input[1] = self._weight(node, codes, fmt)
        self._append(node)

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
        self.moved[x] = self._quantized(x, x, grid, container)
        return self.moved[x] or x

    def _weight(self, node: NodeProto, codes: Array, fmt: FixedPoint) -> str:
        x = node.input[0]
        grid, bottom = self.values.grid(x), self.containers.get(x)
        return self._stock.stored(node.input[1], codes, fmt, grid, bottom)

    def _bias_codes(self, node: NodeProto, frac_length: int) -> Array:
        """The bias on the grid of the products, 2^-frac_length; empty where there is none."""
        if len(node.input) < 3:
            return np.zeros(0, np.int64)
        exact = self.g.constants[node.input[2]].astype(np.float64) * 2.0**frac_length
        codes = half_away(exact)
        if (codes != exact).any():
            how_many = f'"{self.g.owners[node.name]}" ({np.count_nonzero(codes != exact)})'
            self._off_grid.append((node.output[0], how_many))
        return codes

    def _store_bias(self, node: NodeProto, codes: Array, frac_length: int) -> None:
        """The bias as 32-bit integers."""
        if codes.size:
            stored, scale = self.g.blob(1, codes.astype(np.int32)), np.float32(2.0**-frac_length)
            node.input[2] = self.g.op("DequantizeLinear", stored, self.g.constant(scale))


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
