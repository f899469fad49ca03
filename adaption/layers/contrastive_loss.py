"""ContrastiveLoss of pairs: pulls similar ones together, pushes others a margin apart.

Caffe: contrastive_loss_layer.cpp. With d the distance of a pair of feature vectors, the loss is
the mean of d² / 2 (similar) and max(margin - d, 0)² / 2, or max(margin - d², 0) / 2 with
legacy_version, (dissimilar).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.errors import ShapeError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.gradient import own_gradient


@layer(
    "ContrastiveLoss",
    param="contrastive_loss_param",
    kind="loss",
    bottoms=3,
    is_loss=True,
    no_gradient=(2,),
)
@dataclass(frozen=True)
class ContrastiveLoss(Layer):
    margin: float
    legacy_version: bool

    def top_shape(self, *bottoms: Shape) -> Shape:
        a, b, similar = bottoms
        for shape in (a, b):
            if len(shape) < 2 or set(shape[2:]) - {1}:
                raise ShapeError(f"a bottom has shape {shape}, allowed: (N, C)")
        if a[:2] != b[:2]:
            raise ShapeError(f"bottoms have shapes {a} and {b}, allowed: equal")
        if similar[:1] != a[:1] or set(similar[1:]) - {1}:
            raise ShapeError(f"the third bottom has shape {similar}, allowed: ({a[0]},)")
        return ()

    def forward(self, a: Tensor, b: Tensor, similar: Tensor) -> Tensor:
        n = a.shape[0]
        with torch.no_grad():
            apart = (a - b.view_as(a)).reshape(n, -1)
            squared = apart.square().sum(1)
            is_similar = similar.flatten().trunc() != 0
            if self.legacy_version:
                missing = self.margin - squared
                pushed = missing.clamp_min(0)
            else:
                missing = self.margin - squared.sqrt()
                pushed = missing.clamp_min(0).square()
            loss = torch.where(is_similar, squared, pushed).sum() / n / 2

        def backward(grad: Tensor) -> Sequence[Tensor | None]:
            # 1e-4 keeps the original's gradient finite at distance 0.
            slope = 1 if self.legacy_version else missing / (squared.sqrt() + 1e-4)
            push = torch.where(missing > 0, -slope, 0)
            weight = torch.where(is_similar, 1, push) * (grad / n)
            into_a = (weight.unsqueeze(1) * apart).view_as(a)
            return into_a, -into_a.view_as(b), None

        return own_gradient(loss, backward, a, b, similar)
