"""Straight-through estimators: round in the forward pass, hand the gradient on in the backward.

Formats with `mask_saturated` hand on no gradient where the value was beyond their range. What is
kept for that is one bit per value.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adaption.numerics.formats import Format
from adaption.numerics.masks import PackedMask

__all__ = ["quantize_", "quantize_ste", "quantize_ste_", "view_ste"]


class _Quantize(torch.autograd.Function):
    """Owns its backward: torch's clamp gradient at the bounds has changed between releases."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, fmt: Format, generator: torch.Generator | None, in_place: bool
    ) -> Tensor:
        ctx.mask = PackedMask.of(fmt.inside(x)) if fmt.mask_saturated else None
        if not in_place:
            return fmt.quantize(x, generator)
        fmt.quantize_(x, generator)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        g = grad[0] if ctx.mask is None else grad[0] * ctx.mask.unpack()
        return g, None, None, None


class _View(torch.autograd.Function):
    """As `_Quantize`, of a tensor that is kept anyway: its mask is made again in the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fmt: Format, generator: torch.Generator | None) -> Tensor:
        ctx.source, ctx.fmt = x.detach(), fmt
        return fmt.quantize(x, generator)

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        g = grad[0] * ctx.fmt.inside(ctx.source) if ctx.fmt.mask_saturated else grad[0]
        return g, None, None


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
    fmt.quantize_(x, generator, then_relu=then_relu)


def quantize_ste(x: Tensor, fmt: Format, generator: torch.Generator | None = None) -> Tensor:
    """`fmt.quantize(x)` whose gradient is the identity, also where values saturate; 0 there with
    `mask_saturated`.

    Source: ADaPTION lp_act_layer.cpp, Backward_cpu copies the diff.
    """
    y: Tensor = _Quantize.apply(x, fmt.at(x), generator, False)  # type: ignore[no-untyped-call]
    return y


def quantize_ste_(x: Tensor, fmt: Format, generator: torch.Generator | None = None) -> Tensor:
    """As `quantize_ste`, in x's own memory: where no backward pass reads the values that were
    there. Returns the tensor to go on with."""
    fmt = fmt.at(x)
    if not (fmt.mask_saturated and x.requires_grad):
        fmt.quantize_(x, generator)
        return x
    y: Tensor = _Quantize.apply(x, fmt, generator, True)  # type: ignore[no-untyped-call]
    return y


def view_ste(x: Tensor, fmt: Format, generator: torch.Generator | None = None) -> Tensor:
    """As `quantize_ste`, of an `x` that stays alive and unchanged until the backward pass."""
    y: Tensor = _View.apply(x, fmt.at(x), generator)  # type: ignore[no-untyped-call]
    return y
