"""Caller: the C calls of a program's operations, and where their values are in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

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
from adaption.export.package.c_floats import (
    FLOAT_CALLS,
    FloatValues,
    dequantize,
    float_layer,
    float_literal,
)
from adaption.export.package.c_memory import Memory
from adaption.export.package.constants import PackedConstant, constants_of
from adaption.export.package.moves import Move, moves_of
from adaption.export.package.names import comment, identifier, printed
from adaption.layers.base import Layer, Shape
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
    """One output blob: where its codes are, how many, and their scale; or float32 values."""

    blob: str
    place: str
    count: int
    frac_length: int = 0
    divisor: int = 1
    is_float: bool = False


class Caller:
    """`lines` is the body of net_run; `constants` those it uses, `identifiers` their C names;
    `tables` are definitions of indices."""

    def __init__(self, program: Program, input_shapes: Mapping[str, Shape]) -> None:
        if not program.values:
            raise LayerError(
                "no layer of the net is computed in integers", "quantize the net first"
            )
        self.program = program
        self.input_shapes = input_shapes
        self.tables: list[str] = []
        self.notes: list[str] = []
        self.lines: list[str] = []
        self.constants: list[PackedConstant] = []
        self.identifiers: dict[str, str] = {}
        self.float_values = FloatValues(program)
        self._own = constants_of(program)
        self._input_places: dict[str, str] = {}
        self.inputs, self.input_size = self._place_inputs()
        live = self._live()
        self.codes = Memory("arena", {n: self.count(n) for n in program.values}, live)
        floats = {n: self.count(n) for n in self.float_values.computed}
        self.floats = Memory("floats", floats, live)
        for op in program.ops:
            if any(n in self.codes or n in self.floats for n in op.outputs):
                self._write(op)
        self.outputs = [self._output(b, v) for b, v in self.float_values.ends.items()]
        if self.float_values.left_out:
            names = ", ".join(f'"{layer}"' for layer in dict.fromkeys(self.float_values.left_out))
            end = "with codes: layers in float32 behind them are left out"
            if self.floats.size:
                end = "before layers in float32 that have no C form"
            self.notes.append(f"the program ends {end}: {names}")

    # -- memory ------------------------------------------------------------------------------

    def _place_inputs(self) -> tuple[list[tuple[str, Shape]], int]:
        placed: list[tuple[str, Shape]] = []
        offset = 0
        for blob, value in self.program.inputs.items():
            shape = self.input_shapes[blob][1:]
            self._input_places[value] = f"inputs + {offset}"
            placed.append((blob, shape))
            offset += prod(shape)
        return placed, offset

    def _live(self) -> dict[str, tuple[int, int]]:
        """For each value, the operations that first and last use it."""
        last = len(self.program.ops)
        ends = set(self.float_values.ends.values())
        found: dict[str, tuple[int, int]] = {}
        for i, op in enumerate(self.program.ops):
            for name in op.outputs:
                if name in self.program.values or name in self.float_values.computed:
                    found[name] = (i, last if name in ends else i)
            for name in op.inputs:
                if name in found:
                    found[name] = (found[name][0], max(found[name][1], i))
        return found

    def _whole_shape(self, name: str) -> Shape:
        if name in self.program.values:
            return self.program.values[name].shape
        return self.program.float_shapes.get(name) or self.input_shapes[name]

    def shape(self, name: str) -> Shape:
        """Of one sample of a value."""
        return self._whole_shape(name)[1:]

    def count(self, name: str) -> int:
        return prod(self.shape(name))

    def at(self, name: str) -> str:
        """Where a value is, as a C expression."""
        if name in self.codes:
            return self.codes.at(name)
        if name in self.floats:
            return self.floats.at(name)
        return self._input_places[self.float_values.aliases[name]]

    # -- operations --------------------------------------------------------------------------

    def _output(self, blob: str, name: str) -> Output:
        if name not in self.program.values:
            return Output(blob, self.at(name), self.count(name), is_float=True)
        made = self.program.values[name]
        return Output(blob, self.at(name), self.count(name), made.frac_length, made.divisor)

    def _write(self, op: Op) -> None:
        self.lines.append(f"/* {comment(op.layer)}: {type(op).__name__} */")
        CALLS[type(op)](self, op)
        for name in op.outputs:
            if name in self.codes:
                self.lines += [
                    "if (trace)",
                    f'    trace("{printed(name)}", {self.at(name)}, {self.count(name)});',
                ]

    def call(self, function: str, *arguments: Any) -> None:
        self.lines.append(f"{function}({', '.join(map(str, arguments))});")

    def _constant(self, op: Op, kind: str) -> PackedConstant:
        found = next(c for c in self._own[op.outputs[0]] if c.kind == kind)
        self.constants.append(found)
        taken = {name.lower() for name in self.identifiers.values()}
        self.identifiers[found.name] = identifier(found.name, taken)
        return found

    def constant_name(self, op: Op, kind: str) -> str:
        """The C array of a constant."""
        return self.identifiers[self._constant(op, kind).name]

    def _spread(self, op: Op, kind: str) -> str:
        """A struct spread of a constant that broadcasts against the top."""
        constant = self._constant(op, kind)
        return self._spread_over(op, kind, self.identifiers[constant.name], constant.codes.shape)

    def float_spread(self, op: Op, kind: str) -> str:
        """The same of a float32 constant."""
        return self._spread(op, kind).replace("(struct spread)", "(struct float_spread)", 1)

    def _spread_over(self, op: Op, what: str, values: str, shape: Shape) -> str:
        own, rest = list(shape), list(self.shape(op.outputs[0]))
        inner = 1
        while own and own[-1] == 1:  # the same for all places behind
            own.pop()
            inner *= rest.pop() if rest else 1
        while own and own[0] == 1:  # and again for each before
            own.pop(0)
        if own != rest[len(rest) - len(own) :]:
            raise self._refusal(op, f"spreads its {what} over axes that do not touch", "")
        inner = inner if own else max(1, self.count(op.outputs[0]))
        return f"(struct spread){{{values}, {inner}, {max(1, prod(shape))}}}"

    def _refusal(self, op: Op, fact: str, fix: str) -> LayerError:
        error = LayerError(f"{fact}; this has no C form", fix)
        return error.at(layer=op.layer)

    def quantize(self, op: Quantize) -> None:
        f = op.format
        function, factor = "quantize", _double(f.frac_length)
        if f.divisor != 1:
            # As FixedPoint.codes has it: a product in float32.
            function = "quantize_product"
            factor = float_literal(float(np.float32(2.0**f.frac_length * f.divisor)))
        self.call(
            function, self.at(op.inputs[0]), factor, ROUNDINGS[f.rounding],
            f.min_code, f.max_code, self.at(op.outputs[0]), self.count(op.outputs[0]),
        )  # fmt: skip

    def product(self, op: Product) -> None:
        if op.shift:
            raise self._refusal(op, "shifts each product", "use an accumulator without it")
        weight = self._constant(op, "weight")
        bits = weight.bits
        name = self.identifiers[weight.name]
        bottom, top = op.inputs[0], op.outputs[0]
        x, y = self.at(bottom), self.at(top)
        form = op.form
        if isinstance(form, InnerProduct):
            outputs = form.num_output
            size = weight.codes.size // outputs
            self.call(
                f"inner_product_{bits}", x, name, self.count(bottom) // size, size, outputs,
                int(form.transpose), y,
            )  # fmt: skip
            return
        assert isinstance(form, Convolution)
        function = "deconvolve" if form.is_transposed else "convolve"
        self.call(f"{function}_{bits}", self.convolution(op, form), x, name, y)

    def convolution(self, op: Op, form: Convolution) -> str:
        """A struct convolution. Raises: LayerError where it is not in two dimensions."""
        shape, made = self.shape(op.inputs[0]), self.shape(op.outputs[0])
        if len(shape) != 3 or form.axis != 1:
            raise self._refusal(op, f"convolves a bottom of {len(shape) + 1} axes", "")
        g = form.geometry(4)
        window = _window(shape, g.kernel, g.stride, g.pad, made)
        numbers = [made[0], *g.dilation, form.groups(shape[0])]
        return f"&(struct convolution){{{window}, {', '.join(map(str, numbers))}}}"

    def multiply_add(self, op: MultiplyAdd) -> None:
        constants = [self._spread(op, kind) for kind in ("multiplier", "addend")]
        self.elementwise("multiply_add", op, *constants)

    def rescale(self, op: Round) -> None:
        self.elementwise(
            "rescale", op, op.factor, op.divisor, ROUNDINGS[op.rounding],
            *_bounds(op.low, op.high),
        )  # fmt: skip

    def accumulate(self, op: Accumulate) -> None:
        self.elementwise(
            "accumulate", op, 1 << op.shift, ROUNDINGS[op.rounding], self._spread(op, "addend"),
            f"INT64_C({1 << (op.word_length - 1)})", int(op.overflow == "wrap"),
        )  # fmt: skip

    def slope(self, op: Slope) -> None:
        self.elementwise("slope", op, op.positive, self._spread(op, "negative"))

    def clamp(self, op: Clamp) -> None:
        self.elementwise("clamp", op, *_bounds(op.low, op.high))

    def elementwise(self, function: str, op: Op, *settings: Any) -> None:
        top = op.outputs[0]
        self.call(function, self.at(op.inputs[0]), *settings, self.at(top), self.count(top))

    def add(self, op: Add) -> None:
        self.fold("add", op)

    def multiply(self, op: Multiply) -> None:
        y = op.outputs[0]
        if self.shape(op.inputs[0]) != self.shape(y):
            raise self._refusal(op, "spreads the first of its factors", "")
        self.call("copy", self.at(op.inputs[0]), self.at(y), self.count(y))
        for x in op.inputs[1:]:
            factor = self._spread_over(op, "factor", self.at(x), self.shape(x))
            self.call("multiply", factor, self.at(y), self.count(y))

    def table(self, op: Table) -> None:
        table = self._constant(op, "table")
        name = self.identifiers[table.name]
        self.elementwise(f"lookup_{table.bits}", op, f"INT64_C({op.first})", name)

    def square_sum(self, op: SquareSum) -> None:
        x, y, shape = self.at(op.inputs[0]), self.at(op.outputs[0]), self.shape(op.inputs[0])
        whole = op.windows.count(None)
        if whole and op.windows == (None,) * whole + (1,) * (len(shape) - whole):
            self.call("sum_squares", x, prod(shape[:whole]), prod(shape[whole:]), y)
            return
        if whole or len(shape) > 3:
            raise self._refusal(op, f"sums squares over {op.windows} of a blob of {shape}", "")
        sizes = (*shape, 1, 1)[:3], (*op.windows, 1, 1)[:3]
        self.call("sum_squares_around", x, *sizes[0], *sizes[1], y)

    def interpolate(self, op: Interpolate) -> None:
        nodes = self._constant(op, "nodes")
        self.elementwise("interpolate", op, self.identifiers[nodes.name], op.segment_bits)

    def fold(self, function: str, op: Op) -> None:
        """The first input, and the others one by one into it."""
        y, count = self.at(op.outputs[0]), self.count(op.outputs[0])
        if any(self.count(x) != count for x in op.inputs):
            raise self._refusal(op, "combines blobs of different shapes", "")
        self.call(self._copy(op), self.at(op.inputs[0]), y, count)
        for x in op.inputs[1:]:
            self.call(function, self.at(x), y, count)

    def _copy(self, op: Op) -> str:
        return "copy" if op.outputs[0] in self.codes else "float_copy"

    def max_pool(self, op: MaxPool) -> None:
        self._pool("max_pool", op, op.form)

    def window_sum(self, op: WindowSum) -> None:
        self._pool("window_sum", op, op.form)

    def _pool(self, function: str, op: Op, form: Pooling) -> None:
        self.call(
            function, self.pooling_window(op, form), self.at(op.inputs[0]), self.at(op.outputs[0])
        )

    def pooling_window(self, op: Op, form: Pooling) -> str:
        """A struct window."""
        shape = self.shape(op.inputs[0])
        h, w = form.windows((1, *shape))
        window = _window(
            shape, (h.kernel, w.kernel), (h.stride, w.stride), (h.pad, w.pad),
            self.shape(op.outputs[0]),
        )  # fmt: skip
        return f"&(struct window){window}"

    def apply(self, op: Apply) -> None:
        if isinstance(op.form, Eltwise):
            self.fold("maximum", op)
        else:
            self.move(op, op.form)

    def move(self, op: Op, form: Layer) -> None:
        """Copies, or a table of places, for a layer that only moves values."""
        shapes = [self._whole_shape(n) for n in op.inputs]
        for top, moved in zip(op.outputs, moves_of(form, shapes), strict=True):
            if moved is None:
                kind = type(form).__name__
                raise self._refusal(
                    op, f"{kind} mixes samples, or computes with its bottoms",
                    "give the net an input of one sample",
                )  # fmt: skip
            if len(moved) > MOST_COPIES and len(op.inputs) == 1:
                self._gather(op, top, moved)
                continue
            for source, start, to, count in moved:
                x, y = self.at(op.inputs[source]), self.at(top)
                self.call(self._copy(op), f"{x} + {start}", f"{y} + {to}", count)

    def _gather(self, op: Op, top: str, moved: list[Move]) -> None:
        places = [start + i for _, start, _, count in moved for i in range(count)]
        name = f"places_{len(self.tables)}"
        rows = (", ".join(map(str, places[i : i + 16])) for i in range(0, len(places), 16))
        body = "".join(f"    {row},\n" for row in rows)
        self.tables.append(f"static const int32_t {name}[{len(places)}] = {{\n{body}}};\n")
        function = "gather" if top in self.codes else "float_gather"
        self.call(function, self.at(op.inputs[0]), name, self.at(top), len(places))


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
    Dequantize: dequantize,
    FloatLayer: float_layer,
    **FLOAT_CALLS,
}
