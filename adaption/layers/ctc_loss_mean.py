"""CTCLoss: connectionist temporal classification, as DeepTextSpotter trains. ctc_loss_layer.cu.

Bottoms: scores before the softmax, (T, N, 1, C), class 0 the blank; labels (N, L), of which those
above 0 count. The loss is the mean over the batch. Its gradient is that mean's whatever the
loss_weight is, and 0 where a sequence does not fit into the steps, as the source has it. Forks
whose layer of this name takes sequence indicators (three bottoms) are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.gradient import own_gradient


@layer("CTCLoss", kind="loss", bottoms=2, is_loss=True, no_gradient=(1,))
@dataclass(frozen=True)
class CTCLoss(Layer):
    def top_shape(self, *bottoms: Shape) -> Shape:
        x, label = bottoms
        if len(x) != 4 or x[2] != 1 or len(label) < 2 or label[0] != x[1]:
            raise ShapeError(
                f"bottoms have shapes {x} and {label}, allowed: (T, N, 1, C) and (N, L)"
            )
        return ()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        rows = label.detach().long().flatten(1)
        if int(rows.max()) >= x.shape[3]:
            raise FieldError("label", int(rows.max()), f"up to {x.shape[3] - 1}, the classes")
        kept = rows > 0
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            loss = F.ctc_loss(
                F.log_softmax(leaf[:, :, 0], 2),
                rows[kept],
                torch.full((x.shape[1],), x.shape[0], device=x.device),
                kept.sum(1),
                0,
                "none",
            ).mean()
            (gradient,) = torch.autograd.grad(loss, leaf)
        if not bool(torch.isfinite(loss)):
            loss, gradient = torch.zeros_like(loss), torch.zeros_like(gradient)
        return own_gradient(loss, lambda grad: (gradient,), x)
