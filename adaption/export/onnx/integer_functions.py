"""Tables of codes, sums of squares and interpolated factors as ONNX operators."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from adaption.exact.program import Interpolate, SquareSum, Table
from adaption.export.onnx.integer_codes import Codes
from adaption.numerics.exact import bits_of, integer_type

__all__ = ["interpolate", "square_sum", "table"]

INT64 = int(TensorProto.INT64)


def table(c: Codes, op: Table, x: str) -> str:
    """Gather from the entries, in the shortest integer type, by the code's place among them."""
    bottom, top = c.bottom(op), c.top(op)
    kind = c.type_of(bottom.bits, bits_of(0, len(op.entries)), bits_of(0, abs(op.first)))
    place = c.cast(x, kind)
    if op.first:
        place = c.op(kind, "Sub", place, c.constant(op.first, kind))
    entries = c.graph.constant(op.entries.astype(integer_type(top.bits)))
    found = c.graph.op("Gather", entries, place, axis=0)
    kind = c.type_of(top.bits)
    return c.op(kind, "Cast", found, to=kind)


def square_sum(c: Codes, op: SquareSum, x: str) -> str:
    """Squares, padded with zeros and summed slice by slice along each axis."""
    g, shape = c.graph, c.bottom(op).shape
    kind = c.type_of(c.top(op).bits)
    y = c.cast(x, kind)
    y = c.op(kind, "Mul", y, y)
    whole = [axis for axis, size in enumerate(op.windows, 1) if size is None]
    for axis, size in enumerate(op.windows, 1):
        if size is None or size == 1:
            continue
        pads = [0] * (2 * len(shape))
        pads[axis] = pads[axis + len(shape)] = size // 2
        y = g.op("Pad", y, g.constant(pads), c.constant(0, kind))
        ends = shape[axis]
        slices = [
            g.op("Slice", y, g.constant([i]), g.constant([i + ends]), g.constant([axis]))
            for i in range(size)
        ]
        y = slices[0]
        for other in slices[1:]:
            y = c.op(kind, "Add", y, other)
    return c.op(kind, "ReduceSum", y, g.constant(whole), keepdims=1) if whole else y


def interpolate(c: Codes, op: Interpolate, x: str) -> str:
    """As `numerics.exact.interpolated`; Div drops the fraction of what is not negative."""
    g, bits = c.graph, op.segment_bits
    x = c.cast(x, INT64)
    octaves = max(0, c.bottom(op).high.bit_length() - bits - 1)
    leading, shift = x, ""
    for power in range(octaves.bit_length() - 1, -1, -1):
        step = 1 << power
        small = g.op("Greater", c.constant(1 << (bits + step), INT64), leading)
        shifted = c.op(INT64, "Div", leading, c.constant(1 << step, INT64))
        leading = c.op(INT64, "Where", small, leading, shifted)
        moved = c.op(INT64, "Where", small, c.constant(0, INT64), c.constant(step, INT64))
        shift = c.op(INT64, "Add", shift, moved) if shift else moved
    nodes = g.constant(op.nodes)
    if not shift:  # every sum has a node of its own
        return c.cast(c.op(INT64, "Gather", nodes, x, axis=0), c.type_of(c.top(op).bits))
    place = c.op(INT64, "Mul", shift, c.constant(1 << bits, INT64))
    place = c.op(INT64, "Add", place, leading)
    after = c.op(INT64, "Add", place, c.constant(1, INT64))
    left, right = (c.op(INT64, "Gather", nodes, i, axis=0) for i in (place, after))
    powers = g.constant(np.int64(1) << np.arange(octaves + 1))
    length = c.op(INT64, "Gather", powers, shift, axis=0)
    start = c.op(INT64, "Mul", leading, length)
    fall = c.op(INT64, "Mul", c.op(INT64, "Sub", left, right), c.op(INT64, "Sub", x, start))
    y = c.op(INT64, "Sub", left, c.op(INT64, "Div", fall, length))
    return c.cast(y, c.type_of(c.top(op).bits))
