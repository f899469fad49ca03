"""Caller: the C calls of a program's operations, and where their values are in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.errors import LayerError
from adaption.export.exact.program import (
    Accumulate,
    Add,
    Apply,
    Clamp,
    Dequantize,
    FloatLayer,
    Interpolate,
    MaxPool,
    Multiply,
    MultiplyAdd,
    Op,
    Product,
    Program,
    Quantize,
    Round,
    Slope,
    SquareSum,
    Table,
    WindowSum,
)
from adaption.export.package.constants import PackedConstant, constants_of
from adaption.export.package.moves import Move, moves_of
from adaption.export.package.names import comment, identifier, printed
from adaption.layers.base import Shape
from adaption.layers.convolution import Convolution
from adaption.layers.eltwise import Eltwise
from adaption.layers.inner_product import InnerProduct
from adaption.layers.pooling import Pooling

__all__ = ["Caller", "Output"]

MOST_COPIES = 64  # ranges that a layer moves; more become a table of indices
ROUNDINGS = {"half_away": "HALF_AWAY", "half_even": "HALF_EVEN", "floor": "FLOOR"}
LOWEST, HIGHEST = "INT64_MIN", "INT64_MAX"


@dataclass(frozen=True)
class Output:
    """One output blob: where its codes are, how many, and their scale."""

    blob: str
    place: str
    count: int
    frac_length: int
    divisor: int


class Caller:
    """`lines` is the body of net_run; `constants` those it uses, `identifiers` their C names;
    `tables` are definitions of indices."""

    def __init__(self, program: Program, input_shapes: Mapping[str, Shape]) -> None:
        self.program = program
        self.input_shapes = input_shapes
        self.tables: list[str] = []
        self.notes: list[str] = []
        self.lines: list[str] = []
        self.constants: list[PackedConstant] = []
        self.identifiers: dict[str, str] = {}
        self.arena_size = 0
        self._floats: dict[str, str] = {}  # float value -> C expression, of inputs
        self._of_output: dict[str, str] = {}  # float value -> the codes it was made of
        self._own = constants_of(program)
        self.inputs, self.input_size = self._place_inputs()
        live = self._live()
        self._offsets = self._placed(live)
        left_out = []
        for op in program.ops:
            if isinstance(op, FloatLayer):
                left_out += self._float_layer(op)
            elif isinstance(op, Dequantize):
                self._of_output[op.outputs[0]] = op.inputs[0]
            else:
                self._write(op)
        self.outputs = [self._output(b, v) for b, v in program.outputs.items()]
        if left_out:
            names = ", ".join(f'"{layer}"' for layer in dict.fromkeys(left_out))
            self.notes.append(
                f"the program ends with codes: layers in float32 behind them are left out: {names}"
            )

    # -- memory ------------------------------------------------------------------------------

    def _place_inputs(self) -> tuple[list[tuple[str, Shape]], int]:
        placed: list[tuple[str, Shape]] = []
        offset = 0
        for blob, value in self.program.inputs.items():
            shape = self.input_shapes[blob][1:]
            self._floats[value] = f"inputs + {offset}"
            placed.append((blob, shape))
            offset += prod(shape)
        return placed, offset

    def _live(self) -> dict[str, tuple[int, int]]:
        """For each value of codes, the operations that first and last use it."""
        last = len(self.program.ops)
        ends = {self._origin(v) for v in self.program.outputs.values()}
        found: dict[str, tuple[int, int]] = {}
        for i, op in enumerate(self.program.ops):
            for name in op.outputs:
                if name in self.program.values:
                    found[name] = (i, last if name in ends else i)
            for name in op.inputs:
                if name in found:
                    found[name] = (found[name][0], max(found[name][1], i))
        return found

    def _origin(self, value: str) -> str:
        """The codes that a float output was made of."""
        makers = {o: op for op in self.program.ops for o in op.outputs}
        while value not in self.program.values:
            op = makers.get(value)
            if op is None:
                raise LayerError(
                    "no layer of the net is computed in integers", "quantize the net first"
                )
            value = op.inputs[0]
        return value

    def _placed(self, live: dict[str, tuple[int, int]]) -> dict[str, int]:
        """Offsets in the arena: each value at the lowest place free while it lives."""
        placed: dict[str, int] = {}
        for name, (first, last) in live.items():
            size, offset = self._count(name), 0
            taken = sorted(
                (placed[n], placed[n] + self._count(n))
                for n in placed
                if live[n][0] <= last and first <= live[n][1]
            )
            for start, end in taken:
                if offset + size <= start:
                    break
                offset = max(offset, end)
            placed[name] = offset
            self.arena_size = max(self.arena_size, offset + size)
        return placed

    def _shape(self, name: str) -> Shape:
        return self.program.values[name].shape[1:]

    def _count(self, name: str) -> int:
        return prod(self._shape(name))

    def _at(self, name: str) -> str:
        return f"arena + {self._offsets[name]}"

    # -- operations --------------------------------------------------------------------------

    def _float_layer(self, op: FloatLayer) -> list[str]:
        source = op.inputs[0]
        if source in self._floats:
            layer = op.node.layer
            if not (layer.is_identity or layer.hands_on()):
                raise self._refusal(
                    op, f"runs in float32 before its bottom is rounded ({op.node.spec.type})",
                    "round the input in front of it",
                )  # fmt: skip
            self._floats[op.outputs[0]] = self._floats[source]
            return []
        for name in op.outputs:
            self._of_output[name] = self._of_output[source]
        return [op.layer]

    def _output(self, blob: str, value: str) -> Output:
        name = value if value in self.program.values else self._of_output[value]
        made = self.program.values[name]
        return Output(blob, self._at(name), self._count(name), made.frac_length, made.divisor)

    def _write(self, op: Op) -> None:
        self.lines.append(f"/* {comment(op.layer)}: {type(op).__name__} */")
        CALLS[type(op)](self, op)
        for name in op.outputs:
            self.lines += [
                "if (trace)",
                f'    trace("{printed(name)}", {self._at(name)}, {self._count(name)});',
            ]

    def _call(self, function: str, *arguments: Any) -> None:
        self.lines.append(f"{function}({', '.join(map(str, arguments))});")

    def _constant(self, op: Op, kind: str) -> PackedConstant:
        found = next(c for c in self._own[op.outputs[0]] if c.kind == kind)
        self.constants.append(found)
        taken = {name.lower() for name in self.identifiers.values()}
        self.identifiers[found.name] = identifier(found.name, taken)
        return found

    def _spread(self, op: Op, kind: str) -> str:
        """A struct spread of a constant that broadcasts against the top."""
        constant = self._constant(op, kind)
        return self._spread_over(op, kind, self.identifiers[constant.name], constant.codes.shape)

    def _spread_over(self, op: Op, what: str, values: str, shape: Shape) -> str:
        own, rest = list(shape), list(self._shape(op.outputs[0]))
        inner = 1
        while own and own[-1] == 1:  # the same for all places behind
            own.pop()
            inner *= rest.pop() if rest else 1
        while own and own[0] == 1:  # and again for each before
            own.pop(0)
        if own != rest[len(rest) - len(own) :]:
            raise self._refusal(op, f"spreads its {what} over axes that do not touch", "")
        inner = inner if own else max(1, self._count(op.outputs[0]))
        return f"(struct spread){{{values}, {inner}, {max(1, prod(shape))}}}"

    def _refusal(self, op: Op, fact: str, fix: str) -> LayerError:
        error = LayerError(f"{fact}; this has no C form", fix)
        return error.at(layer=op.layer)

    def quantize(self, op: Quantize) -> None:
        f = op.format
        source = self._floats[op.inputs[0]]
        self._call(
            "quantize", source, _double(f.frac_length), ROUNDINGS[f.rounding],
            f.min_code, f.max_code, self._at(op.outputs[0]), self._count(op.outputs[0]),
        )  # fmt: skip

    def product(self, op: Product) -> None:
        if op.shift:
            raise self._refusal(op, "shifts each product", "use an accumulator without it")
        weight = self._constant(op, "weight")
        bits = weight.bits
        name = self.identifiers[weight.name]
        bottom, top = op.inputs[0], op.outputs[0]
        x, y = self._at(bottom), self._at(top)
        form = op.form
        if isinstance(form, InnerProduct):
            outputs = form.num_output
            size = weight.codes.size // outputs
            self._call(
                f"inner_product_{bits}", x, name, self._count(bottom) // size, size, outputs,
                int(form.transpose), y,
            )  # fmt: skip
            return
        assert isinstance(form, Convolution)
        shape, made = self._shape(bottom), self._shape(top)
        if len(shape) != 3 or form.axis != 1:
            raise self._refusal(op, f"convolves a bottom of {len(shape) + 1} axes", "")
        g = form.geometry(4)
        window = _window(shape, g.kernel, g.stride, g.pad, made)
        numbers = [made[0], *g.dilation, form.groups(shape[0])]
        described = f"&(struct convolution){{{window}, {', '.join(map(str, numbers))}}}"
        function = "deconvolve" if form.is_transposed else "convolve"
        self._call(f"{function}_{bits}", described, x, name, y)

    def multiply_add(self, op: MultiplyAdd) -> None:
        constants = [self._spread(op, kind) for kind in ("multiplier", "addend")]
        self._elementwise("multiply_add", op, *constants)

    def rescale(self, op: Round) -> None:
        self._elementwise(
            "rescale", op, op.factor, op.divisor, ROUNDINGS[op.rounding],
            *_bounds(op.low, op.high),
        )  # fmt: skip

    def accumulate(self, op: Accumulate) -> None:
        self._elementwise(
            "accumulate", op, 1 << op.shift, ROUNDINGS[op.rounding], self._spread(op, "addend"),
            f"INT64_C({1 << (op.word_length - 1)})", int(op.overflow == "wrap"),
        )  # fmt: skip

    def slope(self, op: Slope) -> None:
        self._elementwise("slope", op, op.positive, self._spread(op, "negative"))

    def clamp(self, op: Clamp) -> None:
        self._elementwise("clamp", op, *_bounds(op.low, op.high))

    def _elementwise(self, function: str, op: Op, *settings: Any) -> None:
        top = op.outputs[0]
        self._call(function, self._at(op.inputs[0]), *settings, self._at(top), self._count(top))

    def add(self, op: Add) -> None:
        self._fold("add", op)

    def multiply(self, op: Multiply) -> None:
        y = op.outputs[0]
        if self._shape(op.inputs[0]) != self._shape(y):
            raise self._refusal(op, "spreads the first of its factors", "")
        self._call("copy", self._at(op.inputs[0]), self._at(y), self._count(y))
        for x in op.inputs[1:]:
            factor = self._spread_over(op, "factor", self._at(x), self._shape(x))
            self._call("multiply", factor, self._at(y), self._count(y))

    def table(self, op: Table) -> None:
        table = self._constant(op, "table")
        name = self.identifiers[table.name]
        self._elementwise(f"lookup_{table.bits}", op, f"INT64_C({op.first})", name)

    def square_sum(self, op: SquareSum) -> None:
        x, y, shape = self._at(op.inputs[0]), self._at(op.outputs[0]), self._shape(op.inputs[0])
        whole = op.windows.count(None)
        if whole and op.windows == (None,) * whole + (1,) * (len(shape) - whole):
            self._call("sum_squares", x, prod(shape[:whole]), prod(shape[whole:]), y)
            return
        if whole or len(shape) > 3:
            raise self._refusal(op, f"sums squares over {op.windows} of a blob of {shape}", "")
        sizes = (*shape, 1, 1)[:3], (*op.windows, 1, 1)[:3]
        self._call("sum_squares_around", x, *sizes[0], *sizes[1], y)

    def interpolate(self, op: Interpolate) -> None:
        nodes = self._constant(op, "nodes")
        self._elementwise("interpolate", op, self.identifiers[nodes.name], op.segment_bits)

    def _fold(self, function: str, op: Op) -> None:
        y, count = self._at(op.outputs[0]), self._count(op.outputs[0])
        if any(self._count(x) != count for x in op.inputs):
            raise self._refusal(op, "combines blobs of different shapes", "")
        self._call("copy", self._at(op.inputs[0]), y, count)
        for x in op.inputs[1:]:
            self._call(function, self._at(x), y, count)

    def max_pool(self, op: MaxPool) -> None:
        self._pool("max_pool", op, op.form)

    def window_sum(self, op: WindowSum) -> None:
        self._pool("window_sum", op, op.form)

    def _pool(self, function: str, op: Op, form: Pooling) -> None:
        bottom, top = op.inputs[0], op.outputs[0]
        h, w = form.windows((1, *self._shape(bottom)))
        window = _window(
            self._shape(bottom), (h.kernel, w.kernel), (h.stride, w.stride), (h.pad, w.pad),
            self._shape(top),
        )  # fmt: skip
        self._call(function, f"&(struct window){window}", self._at(bottom), self._at(top))

    def apply(self, op: Apply) -> None:
        if isinstance(op.form, Eltwise):
            self._fold("maximum", op)
            return
        for top, moved in zip(op.outputs, moves_of(self.program, op), strict=True):
            if moved is None:
                kind = type(op.form).__name__
                raise self._refusal(
                    op, f"{kind} mixes samples, or computes with its bottoms",
                    "give the net an input of one sample",
                )  # fmt: skip
            if len(moved) > MOST_COPIES and len(op.inputs) == 1:
                self._gather(op, top, moved)
                continue
            for source, start, to, count in moved:
                x, y = self._at(op.inputs[source]), self._at(top)
                self._call("copy", f"{x} + {start}", f"{y} + {to}", count)

    def _gather(self, op: Apply, top: str, moved: list[Move]) -> None:
        places = [start + i for _, start, _, count in moved for i in range(count)]
        name = f"places_{len(self.tables)}"
        rows = (", ".join(map(str, places[i : i + 16])) for i in range(0, len(places), 16))
        body = "".join(f"    {row},\n" for row in rows)
        self.tables.append(f"static const int32_t {name}[{len(places)}] = {{\n{body}}};\n")
        self._call("gather", self._at(op.inputs[0]), name, self._at(top), len(places))


def _window(shape: Shape, kernel: Shape, stride: Shape, pad: Shape, top: Shape) -> str:
    numbers = [*shape, *kernel, *stride, *pad, *top[-2:]]
    return f"{{{', '.join(map(str, numbers))}}}"


def _bounds(low: int | None, high: int | None) -> tuple[str, str]:
    return (
        LOWEST if low is None else f"INT64_C({low})",
        HIGHEST if high is None else f"INT64_C({high})",
    )


def _double(exponent: int) -> str:
    return repr(2.0**exponent)


CALLS: dict[type[Op], Callable[[Caller, Any], None]] = {
    Accumulate: Caller.accumulate,
    Add: Caller.add,
    Apply: Caller.apply,
    Clamp: Caller.clamp,
    MaxPool: Caller.max_pool,
    Multiply: Caller.multiply,
    MultiplyAdd: Caller.multiply_add,
    Product: Caller.product,
    Quantize: Caller.quantize,
    Interpolate: Caller.interpolate,
    Round: Caller.rescale,
    Slope: Caller.slope,
    SquareSum: Caller.square_sum,
    Table: Caller.table,
    WindowSum: Caller.window_sum,
}
