"""LabelsequenceAccuracy: share of sequences that are decoded without a fault. CRNN's caffe.

Bottoms: scores (N, T, C), labels (N, L). The best class of each step is taken, repeats are
collapsed and blanks dropped; blanks among the labels are padding, wherever they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from adaption.errors import ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Shape, layer


@layer(
    "LabelsequenceAccuracy",
    param="labelsequence_accuracy_param",
    kind="loss",
    measures=True,
    bottoms=2,
    is_differentiable=False,
    no_gradient=(0, 1),
)
@dataclass(frozen=True)
class LabelsequenceAccuracy(Layer):
    blank_label: int

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, label = bottoms
        if len(x) != 3 or len(label) != 2 or label[0] != x[0]:
            raise ShapeError(f"bottoms have shapes {x} and {label}, allowed: (N, T, C) and (N, L)")
        return ()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        best = x.detach().argmax(2).tolist()
        right = sum(
            [c for c, _ in groupby(steps) if c != self.blank_label]
            == [c for c in wanted if c != self.blank_label]
            for steps, wanted in zip(best, label.detach().tolist(), strict=True)
        )
        return x.new_tensor(right / max(len(best), 1))
