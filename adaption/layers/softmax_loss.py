"""SoftmaxWithLoss: multinomial logistic loss of the softmax. Caffe: softmax_loss_layer.cpp.

SegNet's weight_by_label_freqs multiplies the loss of each prediction by class_weighting of its
label; what the sum is divided by counts each once (caffe-segnet, softmax_loss_layer.cpp).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError
from adaption.later import Tensor, torch
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
    reads=("weight_by_label_freqs", "class_weighting"),
)
@dataclass(frozen=True)
class SoftmaxWithLoss(Layer):
    axis: int

    def set_up_lines(self, top_shape: str) -> Iterator[tuple[str, str]]:
        """Its inner Softmax layer has the same name."""
        yield "layer_factory.hpp:77", f"Creating layer {self.spec.name}"

    def scores_of(self) -> tuple[int, int | None]:
        param = self.spec.message.loss_param
        return self.axis, param.ignore_label if param.HasField("ignore_label") else None

    @property
    def _is_weighted(self) -> bool:
        return bool(self.spec.message.loss_param.weight_by_label_freqs)

    def _class_weights(self, classes: int) -> Tensor:
        weights = list(self.spec.message.loss_param.class_weighting)
        if len(weights) != classes:
            raise FieldError(
                "loss_param.class_weighting",
                f"given {len(weights)} times",
                f"once per class ({classes})",
            )
        return torch.tensor(weights)

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        axis = canonical_axis(self.axis, len(bottoms[0]))
        if self._is_weighted:
            self._class_weights(bottoms[0][axis])
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
        own = torch.where(counted, labels, 0)
        share = self._class_weights(classes).to(x)[own] * counted if self._is_weighted else counted
        total = -(log_likelihood(rows, own) * share).sum()
        valid = None if ignored is None else int(counted.sum())
        outer = math.prod(x.shape[:axis])
        loss = total / normalizer(param, outer, x.numel() // classes // max(1, outer), valid)
        return (loss, log_p.exp()) if len(self.spec.tops) == 2 else loss
