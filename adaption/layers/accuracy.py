"""Accuracy: share of labels among the top_k classes. Caffe: accuracy_layer.cpp.

Ties are won by the highest class index. Scores among which one is NaN are no prediction: they are
wrong for every label. The second top is the accuracy per class, ignored labels counted in none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Shape, canonical_axis, layer
from adaption.layers.losses import check_labels


@layer(
    "Accuracy",
    param="accuracy_param",
    kind="loss",
    measures=True,
    reads_scores=True,
    ignores_scale=True,
    bottoms=2,
    tops=(1, 2),
    is_differentiable=False,
    no_gradient=(0, 1),
)
@dataclass(frozen=True)
class Accuracy(Layer):
    top_k: int
    axis: int
    ignore_label: int | None

    def scores_of(self) -> tuple[int, int | None]:
        return self.axis, self.ignore_label

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        axis = canonical_axis(self.axis, len(bottoms[0]))
        if not 1 <= self.top_k <= bottoms[0][axis]:
            raise FieldError(
                "accuracy_param.top_k", self.top_k, f"1..{bottoms[0][axis]}, the classes"
            )
        return [(), (bottoms[0][axis],)][: len(self.spec.tops)]

    def forward(self, x: Tensor, label: Tensor) -> Any:
        axis = canonical_axis(self.axis, x.dim())
        classes = x.shape[axis]
        rows = x.detach().movedim(axis, -1).reshape(-1, classes)
        labels = label.detach().flatten().long()
        check_labels(labels, rows.shape[0], classes, self.ignore_label)
        counted = torch.ones_like(labels, dtype=torch.bool)
        if self.ignore_label is not None:
            counted = labels != self.ignore_label
        safe = torch.where(counted, labels, 0)
        own = rows.gather(1, safe.unsqueeze(1))
        index = torch.arange(classes, device=x.device)
        ahead = (rows > own) | ((rows == own) & (index > safe.unsqueeze(1)))
        hit = (ahead.sum(1) < self.top_k) & counted & ~rows.isnan().any(1)
        share = hit.sum().to(x.dtype) / counted.sum().clamp_min(1)
        if len(self.spec.tops) == 1:
            return share
        seen = torch.bincount(labels[counted], minlength=classes).to(x.dtype)
        right = torch.bincount(labels[hit], minlength=classes).to(x.dtype)
        return share, right / seen.clamp_min(1)
