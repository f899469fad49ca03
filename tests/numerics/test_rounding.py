"""Rounding modes: every half, every float16, and the mean of the random one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from adaption.numerics import ROUNDINGS, FixedPoint
from adaption.numerics.rounding import round_half_away, steps_half_away


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def half_away(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """In float64, where x + 1/2 is exact for the values used here."""
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_away_on_every_16_bit_float(dtype: torch.dtype) -> None:
    x = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    x = x[x.isfinite()]
    got = ROUNDINGS["half_away"](x, None)
    np.testing.assert_array_equal(got.double().numpy(), half_away(x.double().numpy()))


@pytest.mark.parametrize("exponent", range(-3, 25))
def test_half_away_on_float32_of_every_binade(exponent: int) -> None:
    """Around every tie of the binade: the tie and its two neighbours."""
    low, high = 2.0**exponent, 2.0 ** (exponent + 1)
    ties = np.arange(np.floor(low) + 0.5, min(high, low + 2000), 1.0, dtype=np.float32)
    values = np.concatenate(
        [ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(np.inf))]
    )
    values = np.concatenate([values, -values, np.linspace(low, high, 999, dtype=np.float32)])
    got = ROUNDINGS["half_away"](torch.from_numpy(values), None).numpy()
    np.testing.assert_array_equal(got, half_away(values.astype(np.float64)))


def test_half_away_on_float64_below_one_half() -> None:
    x = torch.tensor([np.nextafter(0.5, 0), -np.nextafter(0.5, 0), 0.5, -0.5], dtype=torch.float64)
    assert ROUNDINGS["half_away"](x, None).tolist() == [0, 0, 1, -1]


def test_an_unknown_mode_cannot_be_added() -> None:
    with pytest.raises(TypeError):
        ROUNDINGS["mine"] = torch.floor  # type: ignore[index]


# -- stochastic: spec section 10, item 3 ----------------------------------------------------------

STOCHASTIC = FixedPoint.q("3.2", "stochastic")


@pytest.mark.parametrize("value", [0.3, -0.3])
def test_mean_of_stochastic_rounding_is_the_value(value: float) -> None:
    """100000 draws at a step of 0.25: one standard error is 0.00032, six of them make 0.002."""
    y = STOCHASTIC.quantize(torch.full((100_000,), value), generator(1))
    assert float(y.double().mean()) == pytest.approx(value, abs=0.002)
    assert set(y.tolist()) == ({0.25, 0.5} if value > 0 else {-0.25, -0.5})


def test_the_original_floors_instead() -> None:
    """What ADaPTION's CPU code makes of STOCHASTIC; kept under its own name."""
    y = FixedPoint.q("3.2", "floor").quantize(torch.tensor([0.3, -0.3]))
    assert y.tolist() == [0.25, -0.5]


def test_same_seed_same_result() -> None:
    x = torch.linspace(-4, 4, 1000)
    first, again, other = (STOCHASTIC.quantize(x, generator(s)) for s in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_values_on_the_grid_do_not_move() -> None:
    x = torch.arange(-15, 16) * 0.25
    assert torch.equal(STOCHASTIC.quantize(x, generator(1)), x)


def test_stochastic_never_leaves_the_range() -> None:
    x = torch.full((1000,), 3.99)
    assert STOCHASTIC.quantize(x, generator(1)).unique().tolist() == [3.75]
    assert STOCHASTIC.quantize(-x, generator(1)).unique().tolist() == [-3.75]


def test_stochastic_is_exact_where_the_sum_does_not_fit_the_mantissa() -> None:
    """floor(x + u) in float32 would move integers above 2^23."""
    x = torch.tensor([2.0**23 + 1, -(2.0**23) - 1, 2.0**24 - 1]).repeat(100)
    assert torch.equal(FixedPoint(32, 0, "stochastic").quantize(x, generator(1)), x)


def test_only_stochastic_is_random() -> None:
    assert {n for n in ROUNDINGS if FixedPoint(8, 4, n).is_random} == {"stochastic"}


@pytest.mark.parametrize("frac_length", [-64, -20, -3, 0, 1, 7, 14, 30, 64])
def test_steps_equal_scaling_and_rounding_bit_for_bit(frac_length: int) -> None:
    step = 2.0**-frac_length
    bits = torch.randint(
        -(2**31), 2**31 - 1, (200_000,), generator=torch.Generator().manual_seed(1)
    )
    anything = bits.to(torch.int32).view(torch.float32)
    ties = (torch.arange(-5000, 5000) + 0.5) * step
    around = torch.stack(
        [ties, ties.nextafter(ties * 0), ties.nextafter(ties * torch.inf)]
    ).flatten()
    x = torch.cat([anything, around, torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan])])
    # Denormals are left out: x / step may lose their bits, half a step never meets them.
    x = x[~((x != 0) & (x.abs() < torch.finfo(torch.float32).tiny))]
    want = round_half_away(x * 2.0**frac_length)
    found = steps_half_away(x, step)
    assert torch.equal(torch.nan_to_num(found), torch.nan_to_num(want))
    assert torch.equal(found.isnan(), want.isnan())
