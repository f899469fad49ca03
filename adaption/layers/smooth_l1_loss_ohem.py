"""SmoothL1LossOHEM: SmoothL1Loss that also tells the loss of each region. R-FCN.

Bottoms (N, C, H, W): prediction, target, and optionally weights of the difference; tops: the loss
and, for BoxAnnotatorOHEM, its part of each region (N, 1, H, W). Source: smooth_L1_loss_ohem_layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Runtime, Shape, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.losses import normalizer, smooth_l1


@layer(
    "SmoothL1LossOHEM",
    kind="loss",
    bottoms=(2, 3),
    tops=(1, 2),
    is_loss=True,
    forgets_loss_weight=True,
    no_gradient=(2,),
)
@dataclass(frozen=True)
class SmoothL1LossOHEM(Layer):
    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        x = bottoms[0]
        if not 1 <= len(x) <= 4:
            raise ShapeError(f"bottom has shape {x}, allowed: up to 4 axes")
        for shape in bottoms[1:]:
            if (*shape, 1, 1, 1)[:4] != (*x, 1, 1, 1)[:4]:
                raise ShapeError(f"bottoms have shapes {x} and {shape}, allowed: equal")
        n, _, height, width = (*x, 1, 1, 1)[:4]
        return [(), (n, 1, height, width)][: len(self.spec.tops)]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        return self._losses(*tensors, original=runtime.original_semantics)

    def forward(self, x: Tensor, target: Tensor, *weights: Tensor) -> Any:
        return self._losses(x, target, *weights)

    def _losses(self, x: Tensor, target: Tensor, *weights: Tensor, original: bool = False) -> Any:
        shape = (*x.shape, 1, 1, 1)[:4]
        d = x.reshape(shape) - target.reshape(shape)
        if weights:
            weighted = d * weights[0].detach().reshape(shape)
            # The original's gradient leaves the weight out; with weights 0 and 1 it is the same.
            d = own_gradient(weighted, lambda g: (g,), d) if original else weighted
        losses = smooth_l1(d)
        divisor = normalizer(self.spec.message.loss_param, shape[0], shape[2] * shape[3])
        total = losses.sum() / divisor
        if len(self.spec.tops) == 1:
            return total
        return total, losses.detach().sum(1, keepdim=True)
