"""MultinomialLogisticLoss: -mean log p[label] of probabilities.

Caffe: multinomial_logistic_loss_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.losses import LOG_THRESHOLD, check_labels, check_one_label_each


@layer("MultinomialLogisticLoss", kind="loss", bottoms=2, is_loss=True, no_gradient=(1,))
@dataclass(frozen=True)
class MultinomialLogisticLoss(Layer):
    def top_shape(self, *bottoms: Shape) -> Shape:
        check_one_label_each(*bottoms)
        return ()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        n = x.shape[0]
        rows = x.detach().reshape(n, -1)
        labels = label.detach().flatten().long()
        check_labels(labels, n, rows.shape[1], None)
        own = labels.unsqueeze(1)
        p = rows.gather(1, own).clamp_min(LOG_THRESHOLD)

        def backward(grad: Tensor) -> Sequence[Tensor]:
            # Not 0 below the floor, as clamp's would be.
            down = torch.zeros_like(rows).scatter_(1, own, -grad / n / p)
            return (down.view_as(x),)

        return own_gradient(-p.log().sum() / n, backward, x)
