"""Gradients that are not autograd's: Caffe's own formulas, and the original's in-place defect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from adaption.later import Tensor, torch

__all__ = ["gradient_at_top", "own_gradient"]

Backward = Callable[[Tensor], Sequence[Tensor | None]]


@cache
def _own_gradient() -> type[torch.autograd.Function]:
    """A class of torch's, made when it is first needed: layers start without torch."""

    class OwnGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: Tensor, backward: Backward, *inputs: Tensor) -> Tensor:
            ctx.backward_of_inputs = backward
            return value.view_as(value)

        @staticmethod
        def backward(ctx: Any, *grad: Any) -> Any:
            return None, None, *ctx.backward_of_inputs(grad[0])

    return OwnGradient


def own_gradient(value: Tensor, backward: Backward, *inputs: Tensor) -> Tensor:
    """`value`, computed from `inputs`, with a backward pass of its own.

    Args:
        backward: from the gradient of `value` to one gradient (or None) per input.
    """
    y: Tensor = _own_gradient().apply(value.detach(), backward, *inputs)  # type: ignore[no-untyped-call]
    return y


def gradient_at_top(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """forward(x), whose derivative is taken at the top instead of the bottom.

    So the original computes it where a layer runs in place and its Backward reads the bottom data:
    the top has overwritten them. For element-wise layers only.
    """
    y = forward(x.detach())

    def backward(grad: Tensor) -> list[Tensor]:
        with torch.enable_grad():
            at = y.detach().requires_grad_()
            return list(torch.autograd.grad(forward(at), at, grad))

    return own_gradient(y, backward, x)
