"""BatchReindex: picks samples of the first bottom by the indices in the second.

Caffe: batch_reindex_layer.cpp. A sample may be picked often; its gradients add up.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer

_INT64 = 7  # onnx.TensorProto.INT64


@layer("BatchReindex", kind="arrangement", is_homogeneous=True, bottoms=2, no_gradient=(1,))
@dataclass(frozen=True)
class BatchReindex(Layer):
    def top_shape(self, *bottoms: Shape) -> Shape:
        x, index = bottoms
        if len(index) != 1:
            raise ShapeError(f"the second bottom has shape {index}, allowed: 1 axis (indices)")
        if not x:
            raise ShapeError("the first bottom has no axes, allowed: 1 or more")
        return (*index, *x[1:])

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        at = index.detach().long()
        bad = (at < 0) | (at >= x.shape[0])
        if bool(bad.any()):
            raise FieldError("index", int(at[bad][0]), f"0..{x.shape[0] - 1}")
        return x[at]

    def lower(self, g: Lowering, *names: str) -> str:
        x, index = names
        y: str = g.op("Gather", x, g.op("Cast", index, to=_INT64), axis=0)
        return y
