"""EuclideanLoss: half the summed squared difference per sample. Caffe: euclidean_loss_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Shape, layer


@layer("EuclideanLoss", kind="loss", bottoms=2, is_loss=True)
@dataclass(frozen=True)
class EuclideanLoss(Layer):
    def top_shape(self, *bottoms: Shape) -> Shape:
        a, b = bottoms
        if a[0] != b[0] or _count(a) != _count(b):
            raise ShapeError(f"bottoms have shapes {a} and {b}, allowed: equal")
        return ()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b.view_as(a)).square().sum() / (2 * a.shape[0])


def _count(shape: Shape) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
