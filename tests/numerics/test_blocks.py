"""Rounding in place and in pieces: the same bits as on the whole; random numbers that are fair."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from adaption.numerics import FixedPoint, blocks
from adaption.numerics.rounding import round_half_away

Q = FixedPoint(8, 4)
STOCHASTIC = FixedPoint(8, 4, "stochastic")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed)) * 4


Layout = Callable[[Tensor], Tensor]
LAYOUTS: dict[str, Layout] = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(0, 3).contiguous().transpose(0, 3),
    "with gaps": lambda x: torch.stack([x, x], 4)[..., 0],
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@pytest.fixture(params=[7, 64, blocks.SIZE])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(blocks, "SIZE", request.param)
    blocks._table.cache_clear()
    request.addfinalizer(blocks._table.cache_clear)
    return int(request.param)


@layouts
@pytest.mark.parametrize("then_relu", [False, True])
@pytest.mark.parametrize("rounding", ["half_away", "half_even"])
def test_rounding_in_place_is_what_it_says(
    rounding: str, layout: Layout, then_relu: bool, size: int
) -> None:
    x = normal(3, 4, 5, 6)
    x[0, :2] = (x[0, :2] * 16).floor() / 16 + 1 / 32  # ties
    way = {"half_away": round_half_away, "half_even": torch.round}[rounding]
    want = way(x * 16).clamp_(-127, 127) / 16
    want = want.relu() if then_relu else want
    at = layout(x.clone())
    stride, memory = at.stride(), at.data_ptr()
    assert FixedPoint(8, 4, rounding).quantize_(at, then_relu=then_relu) is at
    assert torch.equal(at, want)
    assert (at.stride(), at.data_ptr()) == (stride, memory)


@pytest.mark.parametrize("frac_length", [-64, -3, 0, 5, 64])
@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("rounding", ["half_away", "half_even"])
def test_relu_behind_rounding_on_any_bits(rounding: str, frac_length: int, is_signed: bool) -> None:
    bits = torch.randint(-(2**31), 2**31 - 1, (100_000,), generator=generator(1))
    x = torch.cat([bits.to(torch.int32).view(torch.float32), normal(1000) * 2.0**-frac_length])
    fmt = FixedPoint(9, frac_length, rounding, is_signed, "full")
    want, found = fmt.quantize(x).relu(), fmt.quantize_(x.clone(), then_relu=True)
    assert torch.equal(found.nan_to_num(nan=-1), want.nan_to_num(nan=-1))


@pytest.mark.parametrize("rounding", ["floor", "stochastic"])
def test_relu_behind_the_other_roundings(rounding: str) -> None:
    fmt = FixedPoint(8, 4, rounding)
    want = fmt.quantize(normal(100), generator(1)).relu()
    assert torch.equal(fmt.quantize_(normal(100), generator(1), then_relu=True), want)


@layouts
def test_stochastic_does_not_depend_on_the_layout(layout: Layout, size: int) -> None:
    x = normal(3, 4, 5, 6)
    want = STOCHASTIC.quantize(x, generator(2))
    found = layout(x)
    assert torch.equal(STOCHASTIC.quantize(found, generator(2)), want)
    assert torch.equal(STOCHASTIC.quantize_(found.clone(), generator(2)), want)


def test_stochastic_does_not_depend_on_threads() -> None:
    x = normal(3, blocks.SIZE)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(STOCHASTIC.quantize(x, generator(2)))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_the_next_draw_is_another_one() -> None:
    g = generator(3)
    x = normal(1000)
    first, second = STOCHASTIC.quantize(x, g), STOCHASTIC.quantize(x, g)
    assert not torch.equal(first, second)
    g.manual_seed(3)
    assert torch.equal(STOCHASTIC.quantize(x, g), first)


def draws(pieces: int, seed: int) -> Tensor:
    """(pieces, SIZE) uniform numbers, as rounding uses them."""
    keys = blocks._keys(pieces, generator(seed))
    rooms = torch.empty(pieces, blocks.SIZE, dtype=torch.int32)
    return torch.stack([blocks._uniform(r, *k) for r, k in zip(rooms, keys, strict=True)])


def test_uniform_numbers_are_uniform() -> None:
    """Chi-squared over 256 bins of 2^20 numbers: 255 expected, standard deviation 22.6."""
    u = draws(4, 1).double()
    assert 0 <= float(u.min()) and float(u.max()) < 1
    counts = torch.histc(u, 256, 0, 1)
    expected = u.numel() / 256
    assert float(((counts - expected) ** 2 / expected).sum()) < 255 + 6 * 22.6
    assert float(u.mean()) == pytest.approx(0.5, abs=6 * 12**-0.5 * 2**-10)  # six standard errors


def test_uniform_numbers_are_independent() -> None:
    """Of neighbours, of distant places, and of one place in two draws; six standard errors."""
    one, two = (draws(4, seed).flatten().double() - 0.5 for seed in (1, 2))
    pairs = {
        "two draws": (one, two),
        "two pieces": (one[: blocks.SIZE], one[blocks.SIZE : 2 * blocks.SIZE]),
        **{f"places {n} apart": (one[:-n], one[n:]) for n in (1, 2, 3, 32, 1024, 4096)},
    }
    for name, (a, b) in pairs.items():
        assert abs(float((a * b).mean() * 12)) < 6 * a.numel() ** -0.5, name


def test_every_place_is_fair_over_many_draws() -> None:
    """A place whose number never changed would round always the same way."""
    g = generator(4)
    x = torch.full((2000,), 0.25)
    fmt = FixedPoint(8, 0, "stochastic")
    ups = torch.stack([fmt.quantize(x, g) for _ in range(2000)]).double()
    # 2000 draws of a chance of 1/4: standard deviation 19.4 ups.
    assert bool(((ups.sum(0) - 500).abs() < 6 * 19.4).all())
    assert bool(((ups.sum(1) - 500).abs() < 6 * 19.4).all())


def test_small_fractions_count() -> None:
    """A value 2^-10 above the grid goes up once in 1024: 4096 of 2^22, standard deviation 64."""
    x = torch.full((1 << 22,), 3 + 2.0**-10)
    y = FixedPoint(8, 0, "stochastic").quantize(x, generator(5))
    assert abs(int((y == 4).sum()) - 4096) < 6 * 64
    assert bool(((y == 3) | (y == 4)).all())


def test_empty_and_single() -> None:
    for fmt in (Q, STOCHASTIC):
        assert fmt.quantize_(torch.empty(0, 3), generator(1)).shape == (0, 3)
        assert fmt.quantize_(torch.tensor(100.0), generator(1)).item() == 127 / 16
