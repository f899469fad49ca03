"""Float scalars: the C statements of float32 operations on each value, inside a loop.

Each is the one IEEE operation of `exact.float_ops`, or several in its order, rounded after each:
with the same bits therefore, where the compiler fuses no multiplication with an addition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from adaption.exact.float_ops import (
    FloatAffine,
    FloatClip,
    FloatMean,
    FloatMultiply,
    FloatSlope,
    FloatSum,
    ScaleSums,
)
from adaption.exact.program import Dequantize, Op
from adaption.export.package.c.graph import check_same_shape
from adaption.export.package.c.scalar_writer import Scalars
from adaption.export.package.c.types import FLOAT, float_literal

__all__ = ["FLOAT_SCALARS", "mean"]


def dequantize(s: Scalars, op: Dequantize) -> None:
    x, v = s.get(op, op.inputs[0]), op.value
    over = f" / {float(v.divisor)!r}" if v.divisor != 1 else ""
    by = f" * {(2.0**-v.frac_length)!r}" if v.frac_length else ""
    s.let(op.outputs[0], f"(float)((double){x.text}{by}{over})", FLOAT)


def scale_sums(s: Scalars, op: ScaleSums) -> None:
    x = s.get(op, op.inputs[0])
    s.let(op.outputs[0], f"(float){x.text} * {s.float_constant(op, 'scale')}", FLOAT)


def affine(s: Scalars, op: FloatAffine) -> None:
    """Two statements: compilers that fuse within an expression only fuse nothing here."""
    text = s.get(op, op.inputs[0]).text
    if op.multiplier is not None:
        product = f"{text} * {s.float_constant(op, 'multiplier')}"
        text = product if op.addend is None else s.between(product)
    if op.addend is not None:
        text = f"{text} + {s.float_constant(op, 'addend')}"
    s.let(op.outputs[0], text, FLOAT)


def float_sum(s: Scalars, op: FloatSum) -> None:
    check_same_shape(s.graph, op)
    s.let(op.outputs[0], " + ".join(s.get(op, x).text for x in op.inputs), FLOAT)


def float_multiply(s: Scalars, op: FloatMultiply) -> None:
    s.let(op.outputs[0], " * ".join(s.get(op, x).text for x in op.inputs), FLOAT)


def float_slope(s: Scalars, op: FloatSlope) -> None:
    x = s.get(op, op.inputs[0]).text
    s.let(op.outputs[0], f"{x} > 0 ? {x} : {x} * {s.float_constant(op, 'slopes')}", FLOAT)


def float_clip(s: Scalars, op: FloatClip) -> None:
    text = s.get(op, op.inputs[0]).text
    for function, end in (("at_least_float", op.low), ("at_most_float", op.high)):
        if end is not None and math.isfinite(end):
            text = f"{function}({text}, {float_literal(end)})"
    s.let(op.outputs[0], text, FLOAT)


def mean(s: Scalars, op: FloatMean, total: str) -> str:
    """The expression of a mean, from that of a sum."""
    return f"{total} / {s.float_constant(op, 'sizes')}"


FLOAT_SCALARS: MappingProxyType[type[Op], Callable[[Any, Any], None]] = MappingProxyType(
    {
        Dequantize: dequantize,
        FloatAffine: affine,
        FloatClip: float_clip,
        FloatMultiply: float_multiply,
        FloatSlope: float_slope,
        FloatSum: float_sum,
        ScaleSums: scale_sums,
    }
)
