"""Free size: models that take images of any height and width, where every layer allows it.

A model is one list of operators for all sizes. Whether a layer writes the same for all is found by
lowering the net at others, one for every remainder that its strides can leave: a pooling layer that
rounds its top size up, for one, needs other padding where the division leaves a remainder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adaption.errors import AdaptionError, LayerError
from adaption.export.onnx.graph import OnnxGraph
from adaption.export.onnx.lowered import Lowered

__all__ = ["check_free_size", "enlarged", "free_dims"]

Shape = tuple[int, ...]
Dims = tuple[int | str | None, ...]
MOST = 64  # sizes that are tried

FIX = "export for the sizes that are needed, one file each"


def enlarged(shape: Shape, more: tuple[int, int]) -> Shape:
    """An image of greater height and width; other blobs stay as they are."""
    if len(shape) != 4:
        return shape
    return (*shape[:2], shape[2] + more[0], shape[3] + more[1])


def check_free_size(
    first: Lowered,
    lowered: Callable[[tuple[int, int]], Lowered],
    difference: Callable[[OnnxGraph, OnnxGraph], str],
) -> None:
    """Lower the net at greater sizes and compare.

    Raises: LayerError naming the layer that depends on the size.
    """
    heights = [s[2] for s in first.graph.shapes.values() if len(s) == 4 and s[2] > 1]
    stride = -(-max(heights, default=1) // min(heights, default=1))
    if stride > MOST:
        raise LayerError(f"its strides multiply to {stride}, allowed for a free size: {MOST}", FIX)
    for i in range(1, stride + 1):
        for more in ((i, i), (i, 0)):
            try:
                layer = difference(first.graph, lowered(more).graph)
            except AdaptionError as error:
                if not error.layer:
                    raise
                layer = error.layer
            if layer:
                raise LayerError("its operators depend on height and width", FIX).at(layer=layer)


def free_dims(
    dims: Mapping[str, Dims], others: Mapping[str, Shape], inputs: Mapping[str, Shape]
) -> dict[str, Dims]:
    """Dims with "H" and "W" for inputs, None for what follows from them."""
    made = {}
    for name, shape in dims.items():
        other = others[name]
        named = [
            ("H" if axis == 2 else "W") if name in inputs else None for axis in range(len(shape))
        ]
        made[name] = tuple(
            size if size == now or not isinstance(size, int) else free
            for size, now, free in zip(shape, other, named, strict=True)
        )
    return made
