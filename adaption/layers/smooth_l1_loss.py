"""SmoothL1Loss: squared near 0, absolute beyond 1 / sigma². Fast R-CNN: smooth_L1_loss_layer.cu.

Bottoms: prediction, target, and optionally weights inside (of the difference) and outside (of the
loss). The sum is divided by the batch size. SSD's layer of this name is the one with two bottoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from adaption.errors import FieldError, LayerError, ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.losses import smooth_l1

LARGEST_SIGMA = 1e18  # its square is a float32


@layer(
    "SmoothL1Loss",
    param="smooth_l1_loss_param",
    kind="loss",
    bottoms=(2, 4),
    is_loss=True,
    forgets_loss_weight=True,
    no_gradient=(2, 3),
)
@dataclass(frozen=True)
class SmoothL1Loss(Layer):
    sigma: float

    def check(self) -> None:
        if len(self.spec.bottoms) == 3:
            raise LayerError("has 3 bottoms, allowed: 2, or 4 with inside and outside weights")
        if not 0 < self.sigma < LARGEST_SIGMA:
            raise FieldError("smooth_l1_loss_param.sigma", self.sigma, "above 0, and finite")

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        for shape in bottoms[1:]:
            if not x or shape[:1] != x[:1] or prod(shape) != prod(x):
                raise ShapeError(f"bottoms have shapes {x} and {shape}, allowed: equal")
        return ()

    def forward(self, x: Tensor, target: Tensor, *weights: Tensor) -> Tensor:
        inside, outside = (w.detach().view_as(x) for w in weights) if weights else (None, None)
        d = x - target.view_as(x)
        if inside is not None:
            d = d * inside
        losses = smooth_l1(d, self.sigma)
        if outside is not None:
            losses = losses * outside
        return losses.sum() / x.shape[0]
