"""CtcLoss: connectionist temporal classification of scores. CRNN's caffe: ctc_loss_layer.cpp.

Bottoms: scores before the softmax (T, N, C), labels (N, L) with blanks as padding, wherever they
stand. The loss is the mean over the batch, but the gradient is that of the sum (warp-ctc's), as
published learning rates expect. A sequence that does not fit into the steps has loss 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.gradient import own_gradient


@layer("CtcLoss", param="ctc_loss_param", kind="loss", bottoms=2, is_loss=True, no_gradient=(1,))
@dataclass(frozen=True)
class CtcLoss(Layer):
    alphabet_size: int
    time_step: int
    blank_label: int

    def check(self) -> None:
        for name in ("alphabet_size", "time_step"):
            if getattr(self, name) < 1:
                raise FieldError(f"ctc_loss_param.{name}", getattr(self, name), "1 or more")
        if not 0 <= self.blank_label < self.alphabet_size:
            raise FieldError(
                "ctc_loss_param.blank_label", self.blank_label, f"0..{self.alphabet_size - 1}"
            )

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, label = bottoms
        if len(x) != 3 or len(label) < 2 or label[0] != x[1]:
            raise ShapeError(f"bottoms have shapes {x} and {label}, allowed: (T, N, C) and (N, L)")
        if x[2] != self.alphabet_size or x[0] < self.time_step:
            raise ShapeError(
                f"scores have shape {x}, allowed: {self.time_step} steps or more of"
                f" {self.alphabet_size} classes, as ctc_loss_param says"
            )
        return ()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        rows = label.detach().long().flatten(1)
        bad = (rows < 0) | (rows >= self.alphabet_size)
        if bool(bad.any()):
            raise FieldError("label", int(rows[bad][0]), f"0..{self.alphabet_size - 1}")
        kept = rows != self.blank_label
        if not bool(kept.any()):
            raise FieldError("label", "blank throughout", "a label in at least one sequence")
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            losses = F.ctc_loss(
                F.log_softmax(leaf[: self.time_step], 2),
                rows[kept],
                torch.full((x.shape[1],), self.time_step, device=x.device),
                kept.sum(1),
                self.blank_label,
                "none",
                zero_infinity=True,
            )
            (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        return own_gradient(losses.mean(), lambda grad: (grad * gradient,), x)
