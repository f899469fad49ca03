"""SigmoidCrossEntropyLoss: cross entropy of sigmoid(x) against targets, value by value.

Caffe: sigmoid_cross_entropy_loss_layer.cpp. By default it divides by the batch size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from adaption.errors import ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.losses import normalizer


@layer("SigmoidCrossEntropyLoss", kind="loss", bottoms=2, is_loss=True, no_gradient=(1,))
@dataclass(frozen=True)
class SigmoidCrossEntropyLoss(Layer):
    def top_shape(self, *bottoms: Shape) -> Shape:
        x, target = bottoms
        if not x or x[:1] != target[:1] or prod(x) != prod(target):
            raise ShapeError(f"bottoms have shapes {x} and {target}, allowed: equal")
        return ()

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        param = self.spec.message.loss_param
        targets = target.detach().reshape(x.shape)
        losses = F.binary_cross_entropy_with_logits(x, targets, reduction="none")
        valid = x.numel()
        if param.HasField("ignore_label"):
            counted = targets.trunc() != param.ignore_label  # the original compares as int
            losses = torch.where(counted, losses, 0)
            valid = int(counted.sum())
        outer = x.shape[0]
        divisor = normalizer(param, outer, x.numel() // max(1, outer), valid, default="BATCH_SIZE")
        return losses.sum() / divisor
