"""Scalars: the C statements of operations on each value, inside a loop.

A value is int32_t where every code there can be fits, and int64_t where not; so is whatever is
computed on the way to it. What is float32 in the program is float: see `float_scalars`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.exact.constants import bounds_of
from adaption.exact.program import (
    Accumulate,
    Add,
    Apply,
    Clamp,
    Interpolate,
    Multiply,
    MultiplyAdd,
    Op,
    Quantize,
    Round,
    Slope,
    Table,
)
from adaption.export.package.c.float_scalars import FLOAT_SCALARS
from adaption.export.package.c.graph import check_same_shape, is_move
from adaption.export.package.c.scalar_writer import Scalar, Scalars
from adaption.export.package.c.types import FLOAT, INT32, INT64, CType, computed_in, literal

__all__ = ["write_scalars"]

ROUNDINGS = {"half_away": "away", "half_even": "even", "floor": "floor"}
FLOAT_BITS = 24  # of codes that float32 holds
ZERO = np.zeros((), np.int64)


def write_scalars(s: Scalars, ops: Sequence[Op]) -> None:
    """Write the operations of one stage at one place of its loop."""
    for op in ops:
        SCALARS[type(op)](s, op)


def quantize(s: Scalars, op: Quantize) -> None:
    f = op.format
    factor = 2.0**f.frac_length * f.divisor
    after, scale = "_double", repr(factor)
    if 0 <= f.frac_length <= 127 and max(f.max_code, -f.min_code) < 1 << FLOAT_BITS:
        # Then no product by a power of two is rounded, and none too small for a float.
        after, scale = "", f"{factor!r}f"
    if op.inputs[0] in s.graph.input_of:
        source = s.memory.source(op, s.index.flat)
    else:
        source = s.get(op, op.inputs[0]).text
    ends = f"{literal(f.min_code)}, {literal(f.max_code)}"
    s.let(
        op.outputs[0], f"quantize_{ROUNDINGS[f.rounding]}{after}({source}, {scale}, {ends})", INT32
    )


def multiply_add(s: Scalars, op: MultiplyAdd) -> None:
    x, top = s.get(op, op.inputs[0]), s.graph.value(op.outputs[0])
    by, plus = s.memory.constant(op, "multiplier"), s.memory.constant(op, "addend")
    product = bounds_of(x.low, x.high, by, ZERO)
    kind = computed_in(top.low, top.high, x.low, x.high, *product, *_ends(by), *_ends(plus))
    text = _as(x, kind)
    if (by != 1).any():
        text = f"{text} * {s.constant(op, 'multiplier', kind)}"
    if plus.any():
        text = f"{text} + {s.constant(op, 'addend', kind)}"
    s.let(op.outputs[0], text, kind)


def rescale(s: Scalars, op: Round) -> None:
    x = s.get(op, op.inputs[0])
    text, kind, low, high = _divided(x, op.factor, op.divisor, op.rounding)
    if op.low is not None and op.high is not None:
        text = _limited(text, kind, (low, high), (op.low, op.high))
    s.let(op.outputs[0], text, kind)


def accumulate(s: Scalars, op: Accumulate) -> None:
    x, plus = s.get(op, op.inputs[0]), s.memory.constant(op, "addend")
    text, kind, low, high = _divided(x, 1, 1 << op.shift, op.rounding)
    half = 1 << (op.word_length - 1)
    low, high = bounds_of(low, high, ZERO + 1, plus)
    # Wrapping adds half a range first.
    wide = computed_in(low, high, low + half, high + half, 2 * half, *_ends(plus))
    if wide is not kind:
        text = f"(int64_t){text}" if kind is INT32 else text
        wide = INT64
    if plus.any():
        text = f"{text} + {s.constant(op, 'addend', wide)}"
    if op.overflow == "wrap":
        bits = 32 if wide is INT32 else 64
        text = f"wrap_{bits}({text}, {literal(half, wide)})"
    else:
        text = _limited(text, wide, (low, high), (-half, half - 1))
    s.let(op.outputs[0], text, wide)


def slope(s: Scalars, op: Slope) -> None:
    x, top = s.get(op, op.inputs[0]), s.graph.value(op.outputs[0])
    kind = computed_in(top.low, top.high, x.low, x.high, op.positive, *_ends(op.negative))
    text = _as(x, kind)
    above = text if op.positive == 1 else f"{text} * {literal(op.positive, kind)}"
    below = f"{text} * {s.constant(op, 'negative', kind)}"
    s.let(op.outputs[0], f"{x.text} > 0 ? {above} : {below}", kind)


def clamp(s: Scalars, op: Clamp) -> None:
    x = s.get(op, op.inputs[0])
    low = x.low if op.low is None else op.low
    high = x.high if op.high is None else op.high
    s.let(op.outputs[0], _limited(x.text, x.kind, (x.low, x.high), (low, high)), x.kind)


def add(s: Scalars, op: Add) -> None:
    check_same_shape(s.graph, op)
    _folded(s, op, "+", lambda a, b: (a[0] + b[0], a[1] + b[1]))


def multiply(s: Scalars, op: Multiply) -> None:
    _folded(s, op, "*", _product_bounds)


def _product_bounds(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)


def _folded(
    s: Scalars,
    op: Op,
    sign: str,
    joined: Callable[[tuple[int, int], tuple[int, int]], tuple[int, int]],
) -> None:
    xs, top = [s.get(op, name) for name in op.inputs], s.graph.value(op.outputs[0])
    bounds = (xs[0].low, xs[0].high)
    ends = [top.low, top.high, *(end for x in xs for end in (x.low, x.high))]
    for x in xs[1:]:
        bounds = joined(bounds, (x.low, x.high))
        ends += bounds
    kind = computed_in(*ends)
    terms = [_as(xs[0], kind), *(x.text for x in xs[1:])]
    s.let(op.outputs[0], f" {sign} ".join(terms), kind)


def table(s: Scalars, op: Table) -> None:
    x = s.get(op, op.inputs[0])
    first = (
        f" - {literal(op.first, x.kind)}" if op.first > 0 else f" + {literal(-op.first, x.kind)}"
    )
    place = f"{x.text}{first if op.first else ''}"
    top = s.graph.value(op.outputs[0])
    entry = f"{s.memory.constant_name(op, 'table')}[{place}]"
    s.let(op.outputs[0], entry, computed_in(top.low, top.high))


def interpolate(s: Scalars, op: Interpolate) -> None:
    x, nodes = s.get(op, op.inputs[0]), s.memory.constant(op, "nodes")
    bits = 32 if INT32.holds(0, int(nodes.max())) else 64
    name = s.memory.constant_name(op, "nodes")
    s.let(op.outputs[0], f"interpolate_{bits}({x.text}, {name}, {op.segment_bits})", INT64)


def apply(s: Scalars, op: Apply) -> None:
    """Flatten and its like, or Eltwise MAX."""
    if is_move(op):
        s.same(op)
        return
    check_same_shape(s.graph, op)
    xs = [s.get(op, name) for name in op.inputs]
    kind = computed_in(*(end for x in xs for end in (x.low, x.high)))
    if xs[0].kind is FLOAT:
        kind = FLOAT
    text = _as(xs[0], kind)
    for x in xs[1:]:
        text = f"greatest_{'float' if kind is FLOAT else _bits(kind)}({text}, {x.text})"
    s.let(op.outputs[0], text, kind)


SCALARS: MappingProxyType[type[Op], Callable[[Scalars, Any], None]] = MappingProxyType(
    {
        **FLOAT_SCALARS,
        Accumulate: accumulate,
        Add: add,
        Apply: apply,
        Clamp: clamp,
        Interpolate: interpolate,
        Multiply: multiply,
        MultiplyAdd: multiply_add,
        Quantize: quantize,
        Round: rescale,
        Slope: slope,
        Table: table,
    }
)


# -- expressions -----------------------------------------------------------------------------------


def _bits(kind: CType) -> int:
    return 8 * kind.size


def _as(x: Scalar, kind: CType) -> str:
    """A variable in a type at least as wide as its own."""
    return x.text if x.kind is kind else f"({kind.name}){x.text}"


def _limited(text: str, kind: CType, bounds: tuple[int, int], ends: tuple[int, int]) -> str:
    """Clamped where codes within `bounds` may lie beyond `ends`."""
    if ends[0] <= bounds[0] and bounds[1] <= ends[1]:
        return text
    # An end that is out of reach may be beyond the type.
    low, high = max(ends[0], min(bounds[0], ends[1])), min(ends[1], max(bounds[1], ends[0]))
    if bounds[1] <= ends[1]:
        return f"at_least_{_bits(kind)}({text}, {literal(low, kind)})"
    if ends[0] <= bounds[0]:
        return f"at_most_{_bits(kind)}({text}, {literal(high, kind)})"
    return f"limit_{_bits(kind)}({text}, {literal(low, kind)}, {literal(high, kind)})"


def _ends(codes: npt.NDArray[np.int64]) -> tuple[int, int]:
    return int(codes.min()), int(codes.max())


def _divided(x: Scalar, factor: int, divisor: int, rounding: str) -> tuple[str, CType, int, int]:
    """x · factor / divisor, rounded: the expression, its type, its bounds."""
    low, high = x.low * factor, x.high * factor
    shift = divisor.bit_length() - 1
    is_shift = divisor == 1 << shift
    most = max(abs(low), abs(high))
    # On the way: half a step more, or for other divisors twice the value and a step.
    way = (divisor // 2 if is_shift else most + divisor) * (rounding != "floor")
    kind = computed_in(x.low, x.high, -most - way, most + way, divisor * (1 if is_shift else 2))
    text = _as(x, kind)
    if factor != 1:
        text = f"{text} * {literal(factor, kind)}"
    ends = low // divisor, -(-high // divisor)
    if divisor == 1:
        return text, kind, low, high
    how, name = ("round", shift) if is_shift else ("divide", literal(divisor, kind))
    return f"{how}_{ROUNDINGS[rounding]}_{_bits(kind)}({text}, {name})", kind, *ends
