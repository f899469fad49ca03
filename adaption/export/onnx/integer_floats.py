"""float32 operations of exact arithmetic in ONNX: the same IEEE operations, in the same order.

Multiplications and additions are operators of their own, which onnxruntime does not fuse. A product
with float weights is a Scan, which adds in float64 what one weight after the other contributes:
Conv and Gemm add in an order of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from types import MappingProxyType
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from adaption.exact.float_ops import (
    FloatAffine,
    FloatClip,
    FloatMean,
    FloatMultiply,
    FloatProduct,
    FloatSlope,
    FloatSum,
    ScaleSums,
)
from adaption.exact.program import Op
from adaption.export.onnx.graph import OnnxGraph
from adaption.export.onnx.integer_codes import Codes
from adaption.export.onnx.integer_windows import LAST, lower_windows
from adaption.layers.convolution import Convolution
from adaption.layers.inner_product import InnerProduct

__all__ = ["FLOAT_EMITTERS"]

FLOAT, DOUBLE = int(TensorProto.FLOAT), int(TensorProto.DOUBLE)


def scale_sums(c: Codes, op: ScaleSums, x: str) -> str:
    g = c.graph
    y: str = g.op("Mul", g.op("Cast", x, to=FLOAT), g.constant(op.scale))
    return y


def affine(c: Codes, op: FloatAffine, x: str) -> str:
    g, y = c.graph, x
    if op.multiplier is not None:
        y = g.op("Mul", y, g.constant(op.multiplier))
    return y if op.addend is None else str(g.op("Add", y, g.constant(op.addend)))


def total(c: Codes, op: FloatSum, *xs: str) -> str:
    return reduce(partial(c.graph.op, "Add"), xs)


def multiply(c: Codes, op: FloatMultiply, *xs: str) -> str:
    return reduce(partial(c.graph.op, "Mul"), xs)


def slope(c: Codes, op: FloatSlope, x: str) -> str:
    g = c.graph
    is_positive = g.op("Greater", x, g.constant(0.0))
    y: str = g.op("Where", is_positive, x, g.op("Mul", x, g.constant(op.slopes)))
    return y


def clip(c: Codes, op: FloatClip, x: str) -> str:
    g = c.graph
    low, high = ("" if end is None else g.constant(float(end)) for end in (op.low, op.high))
    y: str = g.op("Clip", x, *([low, high] if high else [low]))
    return y


def mean(c: Codes, op: FloatMean, x: str) -> str:
    g = c.graph
    zero = np.zeros((), np.float32)
    y = lower_windows(g, op.form, x, g.shape(x), partial(g.op, "Add"), None, zero)
    top: str = g.op("Div", y, g.constant(op.sizes))
    return top


def product(c: Codes, op: FloatProduct, x: str) -> str:
    """Taps (N, groups, count, H, W) against weights (groups, outputs, count), along the count."""
    g, form = c.graph, op.form
    weight = op.by_tap()
    groups, outputs, count = weight.shape
    if isinstance(form, InnerProduct):
        rows = g.op("Reshape", x, g.constant([-1, count]))
        taps = g.op("Unsqueeze", rows, g.constant([1, 3, 4]))
    else:
        assert isinstance(form, Convolution)
        taps = _taps(g, form, x, groups, count)
    y = _scanned(g, taps, g.constant(weight), groups, outputs)
    if isinstance(form, InnerProduct):
        y = g.op("Squeeze", y, g.constant([1, 3, 4]))
        top = form.top_shape(g.shape(x))
        if len(top) != 2:
            y = g.op("Reshape", y, g.constant([-1, *top[1:]] if len(top) > 1 else [-1]))
        return str(y)
    y = g.op("Reshape", y, g.constant([0, 1, groups * outputs, 0, 0]))
    return str(g.op("Squeeze", y, g.constant([1])))


def _taps(g: OnnxGraph, form: Convolution, x: str, groups: int, count: int) -> str:
    """What each weight of a filter meets, in the order of its memory: channel, row, column."""
    geometry = form.geometry(4)
    pads = [0, 0, *geometry.pad, 0, 0, *geometry.pad_end]
    if any(pads):
        x = g.op("Pad", x, g.constant(pads), g.constant(0.0))
    axes, steps = g.constant([2, 3]), g.constant(list(geometry.stride))
    reach = [d * (k - 1) for d, k in zip(geometry.dilation, geometry.kernel, strict=True)]
    parts = []
    for i in range(geometry.kernel[0]):
        for j in range(geometry.kernel[1]):
            start = [i * geometry.dilation[0], j * geometry.dilation[1]]
            ends = [s - r or LAST for s, r in zip(start, reach, strict=True)]  # from behind
            part = g.op("Slice", x, g.constant(start), g.constant(ends), axes, steps)
            parts.append(g.op("Unsqueeze", part, g.constant([2])))
    found = g.op("Concat", *parts, axis=2) if len(parts) > 1 else parts[0]
    return str(g.op("Reshape", found, g.constant([0, groups, count, 0, 0])))


def _scanned(g: OnnxGraph, taps: str, weight: str, groups: int, outputs: int) -> str:
    """float32 of the sum over axis 2 of both, in float64; (N, groups, outputs, H, W)."""
    shape = g.op("Shape", taps)
    first, last = (
        g.op("Slice", shape, g.constant([start]), g.constant([end]))
        for start, end in ((0, 1), (3, 5))
    )
    sizes = g.op("Concat", first, g.constant([groups, outputs]), last, axis=0)
    zero = helper.make_tensor("zero", DOUBLE, [1], [0.0])
    start = g.op("ConstantOfShape", sizes, value=zero)
    body = _step([g.free(f"{g.layer}/step:{name}") for name in STEP])
    made = g.op("Scan", start, taps, weight, body=body, num_scan_inputs=2, scan_input_axes=[2, 2])
    return str(g.op("Cast", made, to=FLOAT))


STEP = ("total", "tap", "weight", "axes1", "axes2", "x", "w", "xs", "ws", "product", "sum")


def _step(names: list[str]) -> Any:
    """The body of a Scan: total + tap · weight, in float64."""
    n = dict(zip(STEP, names, strict=True))

    def node(kind: str, inputs: tuple[str, ...], top: str, **attributes: Any) -> Any:
        bottoms = [n[name] for name in inputs]
        return helper.make_node(kind, bottoms, [n[top]], name=n[top], **attributes)

    def axes(name: str, *values: int) -> Any:
        tensor = helper.make_tensor(n[name], TensorProto.INT64, [len(values)], values)
        return node("Constant", (), name, value=tensor)

    nodes = [
        axes("axes1", 2),
        axes("axes2", 2, 3),
        node("Cast", ("tap",), "x", to=DOUBLE),
        node("Cast", ("weight",), "w", to=DOUBLE),
        node("Unsqueeze", ("x", "axes1"), "xs"),
        node("Unsqueeze", ("w", "axes2"), "ws"),
        node("Mul", ("xs", "ws"), "product"),
        node("Add", ("total", "product"), "sum"),
    ]
    given = [
        helper.make_tensor_value_info(n[name], kind, None)
        for name, kind in (("total", DOUBLE), ("tap", FLOAT), ("weight", FLOAT))
    ]
    top = helper.make_tensor_value_info(n["sum"], DOUBLE, None)
    return helper.make_graph(nodes, n["sum"] + "/body", given, [top])


FLOAT_EMITTERS: MappingProxyType[type[Op], Callable[..., str]] = MappingProxyType(
    {
        ScaleSums: scale_sums,
        FloatAffine: affine,
        FloatSum: total,
        FloatMultiply: multiply,
        FloatSlope: slope,
        FloatClip: clip,
        FloatMean: mean,
        FloatProduct: product,
    }
)
"""For each operation of exact.float_ops: (codes, operation, names of its inputs) -> its output."""
