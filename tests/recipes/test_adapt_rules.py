"""AdaPT's arithmetic: the acceptance values of its specification, as corrected."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from adaption.recipes.adapt_cost import (
    costs,
    overhead,
    size_ratio,
    size_ratio_weighted,
    speedup,
)
from adaption.recipes.adapt_rules import (
    divergence,
    grid,
    next_lookback,
    push_down,
    push_up,
    strict_divergence,
    strict_metric,
)

Row = tuple[int, int, int]


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# -- the quantizer -------------------------------------------------------------------------------


def test_quantizer() -> None:
    fmt = grid(8, 4)
    assert fmt.quantize(torch.tensor([100.0, -100.0])).tolist() == [7.9375, -8.0]
    y = fmt.quantize(torch.full((10**6,), 0.3), torch.Generator().manual_seed(0))
    assert sorted(y.unique().tolist()) == [0.25, 0.3125]
    assert float((y == 0.3125).float().mean()) == pytest.approx(0.8, abs=0.002)
    assert float(y.double().mean()) == pytest.approx(0.3, abs=1e-4)
    values = torch.arange(-128, 128) / 16
    assert torch.equal(fmt.quantize(values, torch.Generator().manual_seed(1)), values)


# -- PushUp --------------------------------------------------------------------------------------

E = math.e
TABLE: dict[tuple[float, ...], list[Row]] = {
    (1, 2, E): [(1, 9, 5), (1, 9, 5), (1, 9, 5), (1, 13, 5), (1, 13, 5)],
    (3,): [(0, 9, 4), (52, 32, 28), (103, 32, 28), (0, 12, 4), (103, 32, 24)],
    (4,): [(1, 9, 5), (4, 12, 8), (7, 15, 11), (1, 13, 5), (7, 19, 11)],
    (5,): [(3, 11, 7), (6, 14, 10), (8, 16, 12), (3, 15, 7), (8, 20, 12)],
    (7,): [(2, 10, 6), (14, 22, 18), (25, 32, 28), (2, 14, 6), (25, 32, 24)],
    (10, 20): [(1, 9, 5), (15, 23, 19), (28, 32, 28), (1, 13, 5), (28, 32, 24)],
}
COLUMNS = (("MIN", 4), ("MEAN", 4), ("MAX", 4), ("MIN", 8), ("MAX", 8))


@pytest.mark.parametrize(
    ("diversity", "rows"), [(d, rows) for key, rows in TABLE.items() for d in key]
)
def test_push_up(diversity: float, rows: list[Row]) -> None:
    for (strategy, buffer), want in zip(COLUMNS, rows, strict=True):
        assert push_up(diversity, 8, 4, strategy, buffer) == want


def test_push_up_at_the_ends() -> None:
    assert push_up(5, 31, 30, "MAX", 4)[1:] == (32, 28)
    assert push_up(5, 31, 30, "MAX", 8)[1:] == (32, 24)
    assert push_up(math.inf, 8, 4, "MAX", 4) == (1, 9, 5)


# -- lookback ------------------------------------------------------------------------------------


def windows(least: int, most: int, momentum: float, strict: bool) -> tuple[list[float], list[int]]:
    """Lookback of the first steps, and lengths of windows, with orthonormal gradients."""
    lookback, n = vector(float(least)), 0
    seen: list[float] = []
    closed: list[int] = []
    for _ in range(130):
        n += 1
        diversity = vector(math.sqrt(n))
        lookback = next_lookback(lookback, diversity, least, most, momentum, strict=strict)
        seen.append(float(lookback))
        if n >= math.floor(float(lookback) + 0.5):
            closed.append(n)
            n = 0
    return seen, closed


@pytest.mark.parametrize(
    ("settings", "first", "length"),
    [
        ((25, 100, 0.33), [50, 57, 58, 56, 53, 50], 28),
        ((25, 100, 1.0), [100, 71, 58, 50, 45, 41], 25),
        ((25, 150, 0.9), [138, 111, 90, 77], 29),
    ],
)
def test_released_lookback(
    settings: tuple[int, int, float], first: list[float], length: int
) -> None:
    seen, closed = windows(*settings, strict=True)
    assert seen[: len(first)] == first
    assert set(closed) == {length}


@pytest.mark.parametrize(
    ("settings", "length"), [((25, 100, 0.33), 25), ((25, 150, 0.9), 29), ((25, 100, 1.0), 25)]
)
def test_a_lookback_that_stays_a_float_reaches_its_minimum(
    settings: tuple[int, int, float], length: int
) -> None:
    _, closed = windows(*settings, strict=False)
    assert set(closed) == {length}


def test_a_sum_that_vanishes_gives_the_least_lookback() -> None:
    moved = next_lookback(vector(60.0), vector(math.inf), 25, 100, 1.0, strict=False)
    assert moved.tolist() == [25.0]


# -- PushDown ------------------------------------------------------------------------------------


def test_divergence_of_two_distributions() -> None:
    p, q = vector(0.5, 0.3, 0.2), vector(0.45, 0.35, 0.2)
    assert float((p * (p / q).log()).sum()) == pytest.approx(0.006435, abs=1e-6)
    assert strict_metric(p, q) == pytest.approx(-0.002487, abs=1e-6)
    uniform, other = vector(*[0.25] * 4), vector(0.3, 0.2, 0.25, 0.25)
    assert strict_metric(uniform, other) == pytest.approx(0.001606, abs=1e-6)
    # The same through histograms, large enough that half a count is nothing.
    n = 10**6
    w = torch.repeat_interleave(torch.arange(3.0), torch.tensor([n // 2, 3 * n // 10, n // 5]))
    v = torch.repeat_interleave(torch.arange(3.0), torch.tensor([9 * n // 20, 7 * n // 20, n // 5]))
    assert divergence(w, v, 3) == pytest.approx(0.006435, abs=1e-5)


def test_what_is_rounded_beyond_the_range_counts_in_the_last_bin() -> None:
    w = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.49])
    assert divergence(w, torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.5]), 5) == 0
    assert divergence(torch.full((9,), 0.5), torch.zeros(9), 4) == 0  # nothing to tell apart


@pytest.mark.parametrize(("frac_length", "share"), [(4, 1.0), (8, 0.99), (20, 0.755)])
def test_the_released_metric_never_settles(frac_length: int, share: float) -> None:
    """25 Gaussian weights, 50 bins: a maximum that is rounded up leaves the histogram."""
    generator = torch.Generator().manual_seed(3)
    fmt, losses = grid(32, frac_length), 0
    for _ in range(400):
        w = (torch.randn(25, generator=generator) * 0.08).unsqueeze(0)
        losses += strict_divergence(w, fmt.quantize(w, generator), 50) > 1e-6
    assert losses / 400 == pytest.approx(share, abs=0.05)


def gaussian(count: int, seed: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)) * 0.05


@pytest.mark.parametrize(
    ("count", "bins", "least", "most"),
    [(10**4, 50, 7, 11), (10**4, 100, 7, 11), (10**5, 50, 11, 13), (10**5, 100, 11, 13),
     (10**6, 100, 13, 14)],
)  # fmt: skip
def test_smallest_lossless_fraction(count: int, bins: int, least: int, most: int) -> None:
    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(7)

    for seed in range(2):
        w = gaussian(count, seed)
        wl, fl = push_down(w, 32, 24, bins, 1, generator)
        assert least <= fl <= most
        assert fl <= wl <= fl + 1  # |w| is below one half: no bit left of the point but the sign
        assert push_down(w, 32, 24, bins, 1, generator) == (wl, fl)
        assert push_down(w, 16, 4, bins, 1, generator)[1] <= 4  # never beyond the current


def test_divergence_falls_with_the_fraction() -> None:
    w = gaussian(10**5, 1)
    loss = {
        f: divergence(w, grid(32, f).quantize(w, torch.Generator().manual_seed(2)), 100)
        for f in (7, 8, 9, 10, 11, 12)
    }
    for f, (low, high) in {7: (3.0, 3.6), 8: (0.02, 0.05), 9: (0.012, 0.02), 10: (0.003, 0.007),
                           11: (0.0004, 0.0016), 12: (0.00015, 0.00044)}.items():  # fmt: skip
        assert low <= loss[f] <= high, (f, loss[f])


def test_strict_search_returns_the_failing_end() -> None:
    w = gaussian(2000, 1).view(40, 50)

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(7)

    _, fl = push_down(w, 16, 12, 50, 4, generator, strict=True)
    assert 4 <= fl <= 11  # never the current one, though that is what passes


def test_few_weights_have_fewer_bins() -> None:
    w = gaussian(30, 1)  # 6 bins instead of 100
    _, fl = push_down(w, 32, 24, 100, 1, lambda: torch.Generator().manual_seed(7))
    assert fl < 24


# -- the performance model -----------------------------------------------------------------------

MACS, SIZE = vector(1e6, 2e6), vector(1e3, 4e3)
BITS, LIVE = vector(12, 16), vector(0.75, 0.5)


def test_overhead() -> None:
    work = overhead(SIZE, BITS, LIVE, vector(50, 25), vector(100, 50)) / 4
    assert work.tolist() == pytest.approx([152160.16, 609280.32])


@pytest.mark.parametrize(
    ("batch", "strict", "want"),
    [(1, False, 1.576854), (64, False, 1.586621), (256, False, 1.586738), (1, True, 1.581304)],
)
def test_speedup(batch: int, strict: bool, want: float) -> None:
    extra = overhead(SIZE, BITS, LIVE, vector(50, 25), vector(100, 50)) / 4 / batch
    quantized, full = costs(MACS, BITS, LIVE, extra, strict=strict)
    if strict:
        assert quantized.tolist() == pytest.approx([9.11412e6, 1.63046e7], rel=1e-5)
    assert speedup(float(quantized.sum()), float(full.sum())) == pytest.approx(want, abs=5e-7)


def test_dense_words() -> None:
    for bits, want in ((16, 4 / 3), (8, 1.6), (32, 1.0)):
        quantized, full = costs(MACS, vector(bits, bits), vector(1, 1), vector(0, 0))
        assert speedup(float(quantized.sum()), float(full.sum())) == pytest.approx(want)


def test_sizes() -> None:
    quantized, full = costs(MACS, BITS, LIVE, vector(0, 0))
    assert speedup(float(quantized.sum()), float(full.sum())) == pytest.approx(1.58678, abs=5e-6)
    assert float(full.sum() / quantized.sum()) == pytest.approx(3.840, abs=5e-4)
    assert size_ratio(BITS, LIVE) == pytest.approx(0.27344, abs=5e-6)
    assert size_ratio_weighted(SIZE, BITS, LIVE) == pytest.approx(0.25625)
    assert 1 + 2 * size_ratio(BITS, LIVE) == pytest.approx(1.54688, abs=1e-5)
