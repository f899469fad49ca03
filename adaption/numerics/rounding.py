"""Rounding of real values to integers, by name. All functions keep shape and dtype."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import MappingProxyType

from adaption.later import Tensor, torch

__all__ = ["ROUNDINGS", "round_half_away", "round_stochastic", "steps_half_away"]


@cache
def below_half(dtype: torch.dtype) -> float:
    """The largest value of a type below one half.

    trunc(x + copysign(this, x)) is round-half-away for every x; with 0.5 itself, 0.49999997 would
    become 1.
    """
    bits = {torch.float16: 12, torch.bfloat16: 9, torch.float32: 25, torch.float64: 54}
    return 0.5 - 2.0 ** -bits[dtype]


def round_half_away(x: Tensor) -> Tensor:
    """Nearest integer, ties away from zero: C's `round`, and ADaPTION's DETERMINISTIC."""
    half = torch.tensor(below_half(x.dtype), dtype=x.dtype, device=x.device)
    return torch.copysign(half, x).add_(x).trunc_()


def steps_half_away(x: Tensor, step: float) -> Tensor:
    """round_half_away(x / step) in fewer passes over memory.

    Args:
        step: a power of two, 2^-64..2^64. Scaling by it changes no bit of a sum, so half a step
            can be added before the division, which truncates in the same pass.
    """
    half = torch.tensor(below_half(x.dtype) * step, dtype=x.dtype, device=x.device)
    return torch.copysign(half, x).add_(x).div_(step, rounding_mode="trunc")


def round_half_even(x: Tensor) -> Tensor:
    """Nearest integer, ties to even: what ONNX QuantizeLinear does."""
    return torch.round(x)


def round_stochastic(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """floor(x + u), u uniform in [0, 1): unbiased, E[result] = x.

    Written as floor(x) + (u < x - floor(x)), which stays exact where x + u would not fit the
    mantissa.
    """
    low = torch.floor(x)
    draw = torch.rand(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return low + (draw < x - low)


ROUNDINGS: MappingProxyType[str, Callable[[Tensor, torch.Generator | None], Tensor]] = (
    MappingProxyType(
        {
            "half_away": lambda x, _: round_half_away(x),
            "half_even": lambda x, _: round_half_even(x),
            "stochastic": round_stochastic,
            # What the original's CPU code makes of STOCHASTIC: its random term is always zero.
            "floor": lambda x, _: torch.floor(x),
        }
    )
)
"""Rounding modes by name; each takes values in LSBs and a generator (used by stochastic only)."""
