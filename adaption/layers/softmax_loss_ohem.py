"""SoftmaxWithLossOHEM: SoftmaxWithLoss that also tells the loss of each region. R-FCN, Intel.

Tops: the loss, the probabilities, and, for BoxAnnotatorOHEM, the loss of each label in the shape of
the labels, 0 where the label is ignored. Source: softmax_loss_ohem_layer.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Runtime, Shape, canonical_axis, layer
from adaption.layers.losses import check_labels, log_likelihood, normalizer


@layer(
    "SoftmaxWithLossOHEM",
    param="softmax_param",
    kind="loss",
    bottoms=2,
    tops=(1, 3),
    is_loss=True,
    no_gradient=(1,),
)
@dataclass(frozen=True)
class SoftmaxWithLossOHEM(Layer):
    axis: int

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        canonical_axis(self.axis, len(bottoms[0]))
        return [(), *bottoms][: len(self.spec.tops)]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        return self._losses(*tensors, original=runtime.original_semantics)

    def forward(self, x: Tensor, label: Tensor) -> Any:
        return self._losses(x, label)

    def _losses(self, x: Tensor, label: Tensor, *, original: bool = False) -> Any:
        axis = canonical_axis(self.axis, x.dim())
        param = self.spec.message.loss_param
        ignored = param.ignore_label if param.HasField("ignore_label") else None
        classes, outer = x.shape[axis], prod(x.shape[:axis])
        labels = label.detach().flatten().long()
        check_labels(labels, x.numel() // classes, classes, ignored)
        counted = labels != ignored if ignored is not None else torch.ones_like(labels) > 0
        log_p = torch.log_softmax(x, axis)
        rows = log_p.movedim(axis, -1).reshape(-1, classes)
        losses = -log_likelihood(rows, torch.where(counted, labels, 0)) * counted
        valid = int(counted.sum())
        total = losses.sum() / normalizer(param, outer, labels.numel() // max(1, outer), valid)
        p = log_p.detach().exp()
        if original and len(self.spec.tops) == 3:
            p = torch.zeros_like(p)  # with a third top the original leaves the second one empty
        return (total, p, losses.detach().reshape(label.shape))[: len(self.spec.tops)]
