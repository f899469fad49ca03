"""How each operation of exact arithmetic is written in ONNX. Operators are integer, but for the
first and the last (Quantize, Dequantize) and what exact arithmetic has in float, too. Where float64
is allowed for words of 33 to 53 bits, its operators hold and round integers as exactly, and faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from types import MappingProxyType
from typing import Any

import numpy as np
from onnx import TensorProto

from adaption.exact.program import (
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
    Quantize,
    Round,
    Slope,
    SquareSum,
    Table,
    WindowSum,
)
from adaption.export.onnx.integer_codes import DOUBLE, INT32, INT64, NUMPY, Codes
from adaption.export.onnx.integer_floats import FLOAT_EMITTERS
from adaption.export.onnx.integer_functions import interpolate, square_sum, table
from adaption.export.onnx.integer_products import lower_product
from adaption.export.onnx.integer_windows import lower_windows
from adaption.export.onnx.styles import FloatStyle
from adaption.numerics.exact import FLOAT64_BITS

__all__ = ["EMITTERS"]

QUOTIENT_BITS = FLOAT64_BITS - 2  # a float64 quotient of fewer bits meets a tie only if it is one


def quantize(c: Codes, op: Quantize, x: str) -> str:
    return c.op(INT32, "Cast", FloatStyle().codes(c.graph, x, op.format), to=INT32)


def product(c: Codes, op: Product, x: str) -> str:
    return lower_product(c, op, x)


def multiply_add(c: Codes, op: MultiplyAdd, x: str) -> str:
    kind = c.type_of(c.bottom(op).bits, c.top(op).bits + 1)
    y = c.cast(x, kind)
    if (op.multiplier != 1).any():
        y = c.op(kind, "Mul", y, c.constant(op.multiplier, kind))
    return c.op(kind, "Add", y, c.constant(op.addend, kind)) if op.addend.any() else y


def round_codes(c: Codes, op: Round, x: str) -> str:
    if c.in_float and _fits_a_quotient(op, c.bottom(op).bits):
        return _rounded_in_double(c, op, x)
    bits = max(c.bottom(op).bits + op.factor.bit_length() - 1, op.divisor.bit_length() + 1) + 2
    kind = c.type_of(bits)
    y = c.cast(x, kind)
    if op.factor != 1:
        y = c.op(kind, "Mul", y, c.constant(op.factor, kind))
    if op.divisor != 1:
        y = _divided(c, y, op.divisor, op.rounding, kind)
    if op.low is not None:
        assert op.high is not None
        y = c.clipped(kind, y, op.low, op.high)
    return c.cast(y, c.type_of(c.top(op).bits))


def _fits_a_quotient(op: Round, bits: int) -> bool:
    """Whether float64 quotients round as exact ones do, or lie far beyond where codes saturate."""
    scaled = bits + op.factor.bit_length() - 1
    if op.low is not None and op.high is not None and op.rounding != "half_away":
        most = (max(-op.low, op.high) + 1) * op.divisor
        scaled = min(scaled, most.bit_length() + 1)
    return scaled <= QUOTIENT_BITS


def _rounded_in_double(c: Codes, op: Round, x: str) -> str:
    y = c.cast(x, DOUBLE)
    if op.factor != 1:
        y = c.op(DOUBLE, "Mul", y, c.constant(op.factor, DOUBLE))
    sign = ""
    if op.rounding == "half_away":
        sign = c.op(DOUBLE, "Sign", y)
        y = c.op(DOUBLE, "Add", c.op(DOUBLE, "Abs", y), c.constant(op.divisor / 2, DOUBLE))
    if op.divisor & (op.divisor - 1):
        y = c.op(DOUBLE, "Div", y, c.constant(op.divisor, DOUBLE))
    elif op.divisor != 1:
        y = c.op(DOUBLE, "Mul", y, c.constant(1 / op.divisor, DOUBLE))
    y = c.op(DOUBLE, "Round" if op.rounding == "half_even" else "Floor", y)
    if sign:
        y = c.op(DOUBLE, "Mul", sign, y)
    if op.low is not None:
        assert op.high is not None
        y = c.clipped(DOUBLE, y, op.low, op.high)
    return c.cast(y, c.type_of(c.top(op).bits))


def _divided(c: Codes, x: str, divisor: int, rounding: str, kind: int) -> str:
    """x / divisor, rounded; ONNX's Div of integers drops the fraction, as C's."""
    if rounding == "half_away":
        factor, half = (1, divisor // 2) if divisor % 2 == 0 else (2, divisor)
        doubled = x if factor == 1 else c.op(kind, "Mul", x, c.constant(2, kind))
        below = c.graph.op("Greater", c.constant(0, kind), x)
        away = c.op(kind, "Where", below, c.constant(-half, kind), c.constant(half, kind))
        return c.op(
            kind, "Div", c.op(kind, "Add", doubled, away), c.constant(factor * divisor, kind)
        )
    by = c.constant(divisor, kind)
    rest = c.remainder(kind, x, divisor)
    low = c.op(kind, "Div", c.op(kind, "Sub", x, rest), by)
    if rounding == "floor":
        return low
    doubled = c.op(kind, "Mul", rest, c.constant(2, kind))
    odd = c.remainder(kind, low, 2)
    # Beyond the half, or on it and odd: 2 rest + odd > divisor.
    beyond = c.graph.op("Greater", c.op(kind, "Add", doubled, odd), by)
    return c.op(kind, "Add", low, c.op(kind, "Cast", beyond, to=kind))


def accumulate(c: Codes, op: Accumulate, x: str) -> str:
    y = c.cast(x, INT64)
    if op.shift:
        y = _divided(c, y, 1 << op.shift, op.rounding, INT64)
    if op.addend.any():
        y = c.op(INT64, "Add", y, c.constant(op.addend, INT64))
    half = 1 << (op.word_length - 1)
    if op.overflow == "saturate":
        y = c.clipped(INT64, y, -half, half - 1)
    else:
        up = c.op(INT64, "Add", y, c.constant(half, INT64))
        y = c.remainder(INT64, up, 2 * half)
        y = c.op(INT64, "Sub", y, c.constant(half, INT64))
    return c.cast(y, c.type_of(c.top(op).bits))


def slope(c: Codes, op: Slope, x: str) -> str:
    kind = c.type_of(c.bottom(op).bits, c.top(op).bits)
    y = c.cast(x, kind)
    is_positive = c.graph.op("Greater", y, c.constant(0, kind))
    sides = (c.op(kind, "Mul", y, c.constant(f, kind)) for f in (op.positive, op.negative))
    return c.op(kind, "Where", is_positive, *sides)


def clamp(c: Codes, op: Clamp, x: str) -> str:
    top = c.top(op)  # its bounds are the stated ones, or those of the bottom where none is stated
    return c.clipped(c.types[x], x, top.low, top.high)


def max_pool(c: Codes, op: MaxPool, x: str) -> str:
    value, kind = c.bottom(op), c.types[x]
    lowest = np.asarray(value.low, NUMPY[kind])

    def join(x: str, y: str) -> str:
        return c.greatest(kind, x, y)

    whole = "ReduceMax" if kind == INT32 else None
    return c.made(lower_windows(c.graph, op.form, x, value.shape, join, whole, lowest), kind)


def window_sum(c: Codes, op: WindowSum, x: str) -> str:
    kind = c.type_of(c.top(op).bits)
    zero = np.asarray(0, NUMPY[kind])
    shape = c.bottom(op).shape

    def join(x: str, y: str) -> str:
        return c.op(kind, "Add", x, y)

    y = lower_windows(c.graph, op.form, c.cast(x, kind), shape, join, "ReduceSum", zero)
    return c.made(y, kind)


def add(c: Codes, op: Add, *xs: str) -> str:
    return _chained(c, op, "Add", xs)


def multiply(c: Codes, op: Multiply, *xs: str) -> str:
    return _chained(c, op, "Mul", xs)


def _chained(c: Codes, op: Op, op_type: str, xs: Sequence[str]) -> str:
    kind = c.type_of(*(c.values[v].bits + 2 for v in (*op.inputs, *op.outputs)))
    y, *rest = (c.cast(x, kind) for x in xs)
    for x in rest:
        y = c.op(kind, op_type, y, x)
    return y


def apply(c: Codes, op: Apply, *xs: str) -> Any:
    kind = c.type_of(*(c.values[v].bits for v in op.inputs))
    made = op.form.lower(_Applied(c, kind), *(c.cast(x, kind) for x in xs))
    tops = (made,) if isinstance(made, str) else tuple(made)
    return tuple(c.made(top, kind) for top in tops)


class _Applied:
    """Implements layers.base.Lowering for layers that move, pick or compare codes."""

    def __init__(self, c: Codes, kind: int) -> None:
        self.c = c
        self.kind = kind
        self.constant, self.shape, self.value = c.graph.constant, c.graph.shape, c.graph.value

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        if op_type == "Max":
            return reduce(partial(self.c.greatest, self.kind), inputs)
        if op_type == "Resize":  # nearest neighbour; onnxruntime has none of int64
            y = inputs[0]
            for axis, scale in zip(attributes["axes"], self.value(inputs[2]), strict=True):
                places = np.arange(self.shape(inputs[0])[axis]).repeat(int(scale))
                y = self.c.graph.op("Gather", y, self.constant(places), axis=axis)
            return y
        return self.c.graph.op(op_type, *inputs, outputs=outputs, **attributes)


def dequantize(c: Codes, op: Dequantize, x: str) -> str:
    y = c.cast(x, DOUBLE)
    y = c.graph.op("Mul", y, c.graph.constant(np.float64(2.0**-op.value.frac_length)))
    if op.value.divisor != 1:
        y = c.graph.op("Div", y, c.graph.constant(np.float64(op.value.divisor)))
    top: str = c.graph.op("Cast", y, to=TensorProto.FLOAT)
    c.graph.shapes[top] = op.value.shape
    return top


def float_layer(c: Codes, op: FloatLayer, *xs: str) -> Any:
    g, node = c.graph, op.node
    shapes = [g.shape(x) for x in xs]
    blobs = [g.blob(i, t.detach().numpy()) for i, t in enumerate(node.quantized_blobs())]
    if node.layer.same_tops_as_bottoms:
        tops = tuple(node.layer.lower(g, x, *blobs) for x in xs)
    else:
        made = node.layer.lower(g, *xs, *blobs)
        tops = (made,) if isinstance(made, str) else tuple(made)
    g.shapes.update(
        (t, tuple(s)) for t, s in zip(tops, node.layer.top_shapes(*shapes), strict=True)
    )
    return tops


Emitter = Callable[..., Any]

EMITTERS: MappingProxyType[type[Op], Emitter] = MappingProxyType(
    {
        Quantize: quantize,
        Product: product,
        MultiplyAdd: multiply_add,
        Round: round_codes,
        Accumulate: accumulate,
        Slope: slope,
        Clamp: clamp,
        MaxPool: max_pool,
        WindowSum: window_sum,
        Add: add,
        Multiply: multiply,
        Table: table,
        SquareSum: square_sum,
        Interpolate: interpolate,
        Apply: apply,
        Dequantize: dequantize,
        FloatLayer: float_layer,
        **FLOAT_EMITTERS,
    }
)
"""For each operation: (codes, operation, names of its inputs) -> name or names of its outputs."""
