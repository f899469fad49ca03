"""SoftmaxWithLoss: multinomial logistic loss of the softmax. Caffe: softmax_loss_layer.cpp."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adaption.layers.base import Layer, Shape, canonical_axis, layer
from adaption.layers.losses import check_labels, log_likelihood, normalizer


@layer(
    "SoftmaxWithLoss",
    param="softmax_param",
    kind="loss",
    reads_scores=True,
    keeps_order=True,
    bottoms=2,
    tops=(1, 2),
    is_loss=True,
    no_gradient=(1,),
)
@dataclass(frozen=True)
class SoftmaxWithLoss(Layer):
    axis: int

    def set_up_lines(self, top_shape: str) -> Iterator[tuple[str, str]]:
        """Its inner Softmax layer has the same name."""
        yield "layer_factory.hpp:77", f"Creating layer {self.spec.name}"

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        canonical_axis(self.axis, len(bottoms[0]))
        return [(), bottoms[0]][: len(self.spec.tops)]

    def forward(self, x: Tensor, label: Tensor) -> Any:
        axis = canonical_axis(self.axis, x.dim())
        param = self.spec.message.loss_param
        ignored = param.ignore_label if param.HasField("ignore_label") else None
        classes = x.shape[axis]
        log_p = torch.log_softmax(x, axis)
        labels = label.detach().flatten().long()
        check_labels(labels, x.numel() // classes, classes, ignored)
        counted = (
            torch.ones_like(labels, dtype=torch.bool) if ignored is None else labels != ignored
        )
        rows = log_p.movedim(axis, -1).reshape(-1, classes)
        total = -(log_likelihood(rows, torch.where(counted, labels, 0)) * counted).sum()
        valid = None if ignored is None else int(counted.sum())
        outer = math.prod(x.shape[:axis])
        loss = total / normalizer(param, outer, x.numel() // classes // max(1, outer), valid)
        return (loss, log_p.exp()) if len(self.spec.tops) == 2 else loss
