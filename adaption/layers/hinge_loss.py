"""HingeLoss, one class against all others, L1 or L2, over the batch size. hinge_loss_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.losses import check_labels, check_one_label_each


@layer(
    "HingeLoss", param="hinge_loss_param", kind="loss", bottoms=2, is_loss=True, no_gradient=(1,)
)
@dataclass(frozen=True)
class HingeLoss(Layer):
    norm: str

    def top_shape(self, *bottoms: Shape) -> Shape:
        check_one_label_each(*bottoms[:2])
        return ()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        rows = x.reshape(x.shape[0], -1)
        labels = label.detach().flatten().long()
        check_labels(labels, rows.shape[0], rows.shape[1], None)
        is_own = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, labels.unsqueeze(1), True)
        missing = torch.relu(1 + torch.where(is_own, -rows, rows))
        total = missing.square().sum() if self.norm == "L2" else missing.sum()
        return total / x.shape[0]
