"""Rounding of float32 in place, in pieces that stay in cache: one pass over RAM, no second tensor.

Deterministic rounding gives the bits of `rounding.ROUNDINGS`. For stochastic rounding the random
numbers are made here: the generator's own, one at a time on one core, would take longer than the
convolution before them.
"""

from __future__ import annotations

from functools import cache

from adaption.later import Tensor, torch
from adaption.numerics.rounding import below_half

__all__ = ["can_round", "round_half_away_", "round_half_even_", "round_stochastic_"]

SIZE = 1 << 18  # values per piece; the random numbers depend on it, so it is the same everywhere


def can_round(x: Tensor, frac_length: int, rounding: str) -> bool:
    """Whether the functions here take `x`; scaling by up to 2^64 loses no bit."""
    return (
        rounding in ("half_away", "half_even", "stochastic")
        and x.dtype == torch.float32
        and abs(frac_length) <= 64
    )


def round_half_away_(
    x: Tensor, step: float, least: float, most: float, *, then_relu: bool = False, divisor: int = 1
) -> None:
    """x = clamp(round(x divisor / step), least, most) step / divisor, ties away from zero; as
    `steps_half_away`.

    Args:
        then_relu: make results below zero zero; such values need no half step of their sign, which
            saves a pass.
        divisor: of the grid. A code is divided by it: a product with its reciprocal would be off
            by a bit.
    """
    half = below_half(torch.float32) * step
    by = _constant(step, x.device)
    if then_relu and divisor == 1:
        x.add_(_constant(half, x.device)).div_(by, rounding_mode="trunc")
        x.clamp_(max(0, least), most).mul_(by)
        return
    least = max(0, least) if then_relu else least
    flat = x if x.numel() <= SIZE else _flat(x)
    for piece in torch.split(flat, SIZE) if flat is not x else (x,):
        if divisor != 1:
            piece.mul_(divisor)
        # Half a step of the value's sign; below half a step the value itself does as well, since
        # twice that is less than a step.
        piece.add_(piece.clamp(-half, half)).div_(by, rounding_mode="trunc")
        _onto_grid(piece.clamp_(least, most), by, divisor)
    _write_back(flat, x)


def round_half_even_(
    x: Tensor, step: float, least: float, most: float, *, then_relu: bool = False, divisor: int = 1
) -> None:
    """As `round_half_away_`, ties to even."""
    flat = x if x.numel() <= SIZE else _flat(x)
    least = max(0, least) if then_relu else least
    scale, by = _constant(divisor / step, x.device), _constant(step, x.device)
    for piece in torch.split(flat, SIZE) if flat is not x else (x,):
        _onto_grid(piece.mul_(scale).round_().clamp_(least, most), by, divisor)
    _write_back(flat, x)


def _onto_grid(codes: Tensor, step: Tensor, divisor: int) -> None:
    """codes = codes step / divisor."""
    codes.mul_(step)
    if divisor != 1:
        codes.div_(divisor)


def round_stochastic_(
    x: Tensor,
    step: float,
    least: float,
    most: float,
    generator: torch.Generator | None,
    *,
    divisor: int = 1,
) -> None:
    """x = floor(clamp(x divisor / step, least, most) + u) step / divisor, u uniform in [0, 1).

    The sum itself would not fit the mantissa; floor(y) + ceil(frac(y) - u) is the same number.
    The draw depends on the generator and on a value's place in the tensor (row by row, whatever
    the memory layout), not on threads or device.
    """
    flat = x.view(-1) if x.is_contiguous() else x.contiguous().view(-1)
    count = min(SIZE, flat.numel())
    low, room = x.new_empty(count), x.new_empty(count, dtype=torch.int32)
    by = _constant(step, x.device)
    pieces = torch.split(flat, SIZE)
    for piece, (factor, offset) in zip(pieces, _keys(len(pieces), generator), strict=True):
        u = _uniform(room[: piece.numel()], factor, offset)
        piece.mul_(divisor / step).clamp_(least, most)
        floor = torch.floor(piece, out=low[: piece.numel()])
        piece.sub_(floor).sub_(u).ceil_().add_(floor)
        _onto_grid(piece, by, divisor)
    _write_back(flat, x)


def _uniform(room: Tensor, factor: int, offset: int) -> Tensor:
    """23-bit uniform numbers in [0, 1) in the memory of `room` (int32).

    The top bits of factor t + offset modulo 2^32, with t from a fixed table: each is exactly
    uniform, since the offset is, and two are as good as independent, since the factor is random.
    Source: Dietzfelbinger, "Universal hashing and k-wise independent random variables via integer
    arithmetic without primes" (1996).
    """
    table = _table(room.device)[: room.numel()]
    start = torch.tensor(offset, dtype=torch.int32, device=room.device)
    bits = torch.add(start, table, alpha=factor, out=room)
    # -2^22..2^22-1 beside the bits of 1.5: the floats from 1 up to 2.
    bits.bitwise_right_shift_(9).add_(0x3FC00000)
    return bits.view(torch.float32).sub_(1)


def _keys(pieces: int, generator: torch.Generator | None) -> list[tuple[int, int]]:
    """An odd factor and an offset for each piece."""
    device = "cpu" if generator is None else generator.device
    drawn = torch.empty(pieces, 2, dtype=torch.int32, device=device)
    drawn.random_(-(2**31), 2**31, generator=generator)
    return [(factor | 1, offset) for factor, offset in drawn.tolist()]


@cache
def _table(device: torch.device) -> Tensor:
    """Fixed random integers, one per place in a piece."""
    table = torch.empty(SIZE, dtype=torch.int32)
    table.random_(-(2**31), 2**31, generator=torch.Generator().manual_seed(20))
    return table.to(device)


@cache
def _constant(value: float, device: torch.device) -> Tensor:
    """A float32 scalar: torch would make one from a Python number at every use."""
    return torch.tensor(value, dtype=torch.float32, device=device)


def _flat(x: Tensor) -> Tensor:
    """All values as one axis, in the order of memory; a copy where they do not lie side by side."""
    if x.is_contiguous():
        return x.view(-1)
    moved = x.permute(sorted(range(x.dim()), key=x.stride, reverse=True))
    return moved.view(-1) if moved.is_contiguous() else x.contiguous().view(-1)


def _write_back(flat: Tensor, x: Tensor) -> None:
    if flat.data_ptr() != x.data_ptr():
        x.copy_(flat.view(x.shape))
