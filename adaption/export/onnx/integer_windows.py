"""Pooling windows on integer codes: onnxruntime pools 8 bits only, so windows are taken apart.

A window is the greatest, or the sum, of strided slices along the height and then along the width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from adaption.export.onnx.graph import Array, OnnxGraph
from adaption.layers.base import Shape
from adaption.layers.pooling import Pooling

__all__ = ["LAST", "lower_windows"]

LAST = int(np.iinfo(np.int64).max)  # as the end of a slice


def lower_windows(
    g: OnnxGraph,
    form: Pooling,
    x: str,
    shape: Shape,
    join: Callable[[str, str], str],
    whole: str | None,
    padding: Array,
) -> str:
    """The windows of a pooling layer.

    Args:
        join: writes the maximum or the sum of two slices.
        whole: operator that does the same along a whole axis, where there is one.
        padding: what lies outside the image, of x's element type.
    """
    axes = dict(zip((2, 3), form.windows(shape), strict=True))
    before = [w.pad for w in axes.values()]
    behind = [w.pad_after for w in axes.values()]
    if min(behind) < 0:
        ends = [after if after < 0 else LAST for after in behind]
        x = g.op("Slice", x, g.constant([0, 0]), g.constant(ends), g.constant([2, 3]))
    pads = [0, 0, *before, 0, 0, *(max(0, after) for after in behind)]
    if any(pads):
        x = g.op("Pad", x, g.constant(pads), g.constant(padding))
    for axis, window in axes.items():
        if window.top == 1 and whole is not None:
            x = g.op(whole, x, g.constant([axis]), keepdims=1)
            continue
        slices = [
            g.op(
                "Slice",
                x,
                g.constant([start]),
                g.constant([start + 1 - window.kernel or LAST]),  # counted from behind
                g.constant([axis]),
                g.constant([window.stride]),
            )
            for start in range(window.kernel)
        ]
        x = slices[0]
        for other in slices[1:]:
            x = join(x, other)
    return x
