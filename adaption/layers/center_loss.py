"""CenterLoss: half the squared distance to the centre of the class. caffe-face: center_loss_layer.

Bottoms: features (N, ...), one label each. The centres' gradient is a step of their own: the mean
way to the samples of the class, counted one too many, whatever the weight of the loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Shape, canonical_axis, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.losses import check_labels, check_one_label_each


@layer(
    "CenterLoss", param="center_loss_param", kind="loss", bottoms=2, is_loss=True, no_gradient=(1,)
)
@dataclass(frozen=True)
class CenterLoss(Layer):
    num_output: int
    center_filler: Any
    axis: int

    def check(self) -> None:
        if self.num_output < 1:
            raise FieldError("center_loss_param.num_output", self.num_output, "1 or more")

    def top_shape(self, *bottoms: Shape) -> Shape:
        check_one_label_each(*bottoms)
        return ()

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        x = bottoms[0]
        return [(self.num_output, prod(x[canonical_axis(self.axis, len(x)) :]))]

    def blob_fillers(self) -> list[Any]:
        return [self.center_filler]

    def forward(self, x: Tensor, label: Tensor, centers: Tensor) -> Tensor:
        labels = label.detach().flatten().long()
        count = x.shape[0]
        check_labels(labels, count, self.num_output, None)
        way = x.detach().reshape(count, -1) - centers.detach()[labels]

        def backward(grad: Tensor) -> Sequence[Tensor]:
            total = torch.zeros_like(centers).index_add_(0, labels, way)
            seen = torch.bincount(labels, minlength=self.num_output).unsqueeze(1)
            return (way * (grad / count)).view_as(x), -total / (1 + seen)

        return own_gradient(way.square().sum() / (2 * count), backward, x, centers)
