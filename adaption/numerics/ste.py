"""Straight-through estimators: round in the forward pass, hand the gradient on in the backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adaption.numerics.formats import FixedPoint, Format

__all__ = ["quantize_", "quantize_ste"]


class _Quantize(torch.autograd.Function):
    """Owns its backward: torch's clamp gradient at the bounds has changed between releases."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fmt: Format, generator: torch.Generator | None) -> Tensor:
        return fmt.quantize(x, generator)

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        return grad[0], None, None


def quantize_(
    x: Tensor,
    fmt: Format,
    generator: torch.Generator | None = None,
    *,
    then_relu: bool = False,
) -> None:
    """Round `x` in its own memory, and take its ReLU `then`. Its graph stays as it is, so the
    gradient of rounding is the identity.

    Only where no backward pass reads the values that were there.
    """
    if isinstance(fmt, FixedPoint):
        fmt.quantize_(x, generator, then_relu=then_relu)
        return
    memory = x.detach()
    memory.copy_(fmt.quantize(memory, generator))
    if then_relu:
        memory.relu_()


def quantize_ste(x: Tensor, fmt: Format, generator: torch.Generator | None = None) -> Tensor:
    """`fmt.quantize(x)` whose gradient is the identity, also where values saturate.

    Source: ADaPTION lp_act_layer.cpp, Backward_cpu copies the diff.
    """
    y: Tensor = _Quantize.apply(x, fmt, generator)  # type: ignore[no-untyped-call]
    return y
