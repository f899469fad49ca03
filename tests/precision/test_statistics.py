"""Range statistics: every figure against numpy on the same values."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from adaption.errors import FieldError
from adaption.numerics import FixedPoint, sqnr_db
from adaption.precision.effects import effect_of
from adaption.precision.evaluate import PointError
from adaption.precision.statistics import TensorStats


def stats_of(*values: float) -> TensorStats:
    made = TensorStats()
    made.update(torch.tensor(values))
    return made


def test_figures_equal_numpy() -> None:
    x = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1)) * 10
    x[0] = 0
    stats = TensorStats()
    for part in x:
        stats.update(part)
    flat = x.numpy().astype(np.float64)
    assert stats.count == x.numel()
    assert stats.zeros == 35
    assert (stats.minimum, stats.maximum) == (flat.min(), flat.max())
    assert stats.max_abs == np.abs(flat).max()
    # Pieces of 1024 values, and the norm of each part, are float32 sums.
    assert stats.mean == pytest.approx(flat.mean(), rel=1e-6)
    assert stats.squares == pytest.approx((flat**2).sum(), rel=1e-6)
    assert stats.std == pytest.approx(flat.std(), rel=1e-6)
    for exponent in range(-3, 7):
        assert stats.reaching(exponent) == (np.abs(flat) >= 2.0**exponent).sum()


def test_exponents_are_told_apart_at_powers_of_two() -> None:
    below = np.nextafter(np.float32(8), np.float32(0))
    stats = stats_of(8.0, -8.0, float(below), 0.5, 0.0)
    assert [stats.reaching(e) for e in (3, 2, -1)] == [2, 3, 4]
    shown = stats.histogram()
    assert shown["exponent_low"] == -1
    assert shown["positive"] == [1, 0, 0, 1, 1]
    assert shown["negative"] == [0, 0, 0, 0, 1]


def test_merging_parts_equals_the_whole() -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(2))
    whole, first, second = (TensorStats.counting_above() for _ in range(3))
    whole.update(x)
    first.update(x[:300])
    second.update(x[300:])
    merged = first.merge(second)
    assert merged.above is not None and whole.above is not None
    np.testing.assert_array_equal(merged.bins, whole.bins)
    np.testing.assert_array_equal(merged.above, whole.above)
    assert (merged.count, merged.minimum, merged.maximum) == (
        whole.count,
        whole.minimum,
        whole.maximum,
    )


def test_json_round_trip() -> None:
    stats = TensorStats.counting_above()
    stats.update(torch.tensor([-3.0, 0.0, 0.1, 1e-40, 5e7]))
    again = TensorStats.from_dict(json.loads(json.dumps(stats.to_dict())))
    assert again.to_dict() == stats.to_dict()
    # Denormals count as values, but have no power of two of their own.
    assert again.count == 5 and again.zeros == 1


def test_above_counts_what_the_original_counts() -> None:
    stats = TensorStats.counting_above()
    stats.update(torch.arange(100.0))
    assert stats.above is not None
    assert [int(stats.above[m]) for m in (0, 1, 5, 6, 7)] == [99, 98, 68, 36, 0]


def test_empty_and_non_finite() -> None:
    empty = TensorStats()
    empty.update(torch.zeros(0))
    assert empty.max_abs == 0 and math.isnan(empty.mean) and empty.is_finite
    assert not stats_of(1.0, math.inf).is_finite
    assert not stats_of(1.0, math.nan).is_finite


def test_large_tensors_are_counted_whole() -> None:
    x = torch.randn(3, 100_001, generator=torch.Generator().manual_seed(4))
    parts = TensorStats()
    for piece in x.flatten().split(50_000):
        parts.update(piece)
    whole = TensorStats.of(x)
    np.testing.assert_array_equal(whole.bins, parts.bins)
    assert whole.count == whole.bins.sum() == x.numel()


@pytest.mark.parametrize("shape", [(4, 64, 100, 101), (2, 3, 400, 400), (1_300_000,)], ids=str)
def test_sampled_histograms(shape: tuple[int, ...]) -> None:
    """A sample is spread evenly over every axis; count, min and max are of all values."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(8))
    x[torch.rand(shape, generator=torch.Generator().manual_seed(9)) < 0.3] = 0
    x.view(-1)[7] = 9.0
    whole = TensorStats.of(x)
    sampled = TensorStats()
    for turn in range(8):
        one = TensorStats.of(x, turn=turn)
        assert one.stride > 1 and math.gcd(one.stride, x.numel()) == 1
        assert one.bins.sum() == x.numel() and one.reaching(3) >= 1  # the greatest is known
        sampled.add(one)
    assert sampled.count == 8 * whole.count
    assert sampled.zero_share == pytest.approx(whole.zero_share, abs=0.01)
    assert sampled.bins[:, 0].sum() == sampled.zeros
    assert (sampled.minimum, sampled.maximum) == (whole.minimum, whole.maximum)
    assert sampled.std == pytest.approx(whole.std, rel=0.02)
    for percent in (25, 50, 90, 99):
        # A sample of some 40,000 values.
        assert sampled.percentile(percent) == pytest.approx(whole.percentile(percent), rel=0.06)
    again = TensorStats.from_dict(json.loads(json.dumps(sampled.to_dict())))
    assert again.to_dict() == sampled.to_dict() and again.stride == sampled.stride


@pytest.mark.parametrize("percent", [10, 50, 90, 99, 99.9, 100])
def test_percentiles_are_within_an_eighth_of_an_octave(percent: float) -> None:
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(6))
    x[::2] = 0
    exact = np.percentile(np.abs(x.numpy()[1::2]), percent)
    assert TensorStats.of(x).percentile(percent) == pytest.approx(exact, rel=0.01)
    single = TensorStats.of(torch.tensor([3.0, 0.0]))
    assert 3 <= single.percentile(percent) <= 3.0 * 9 / 8


def test_saturation_by_integer_bits() -> None:
    x = torch.tensor([0.3, -0.6, 1.5, 3.0, -5.0, 0.0, 0.0, 0.0])
    assert TensorStats.of(x).saturation() == {
        "4": 0.0, "3": 1 / 8, "2": 2 / 8, "1": 3 / 8, "0": 4 / 8, "-1": 5 / 8,
    }  # fmt: skip


@pytest.mark.parametrize("turn", [None, 2])
def test_statistics_behind_relu_follow_from_those_before(turn: int | None) -> None:
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(7))
    x[10:20] = 0
    found, want = TensorStats.of(x, turn=turn).rectified(), TensorStats.of(x.relu(), turn=turn)
    assert found is not None
    for name in ("count", "minimum", "maximum"):
        assert getattr(found, name) == getattr(want, name), name
    # Of a sample, a few counts are shared out anew.
    few = 0 if turn is None else 400
    assert found.zeros == pytest.approx(want.zeros, abs=few)
    assert np.abs(found.bins - want.bins).max() <= few
    assert (found.mean, found.std) == pytest.approx((want.mean, want.std), rel=1e-4)


@pytest.mark.parametrize("special", [math.nan, math.inf])
def test_what_is_not_finite_is_never_missed(special: float) -> None:
    x = torch.zeros(300_000)
    x[12345] = special
    assert all(not TensorStats.of(x, turn=turn).is_finite for turn in (None, 0, 1, 2))


@pytest.mark.parametrize("special", [1e-40, math.nan])
def test_where_they_do_not_follow(special: float) -> None:
    assert stats_of(1.0, special, -1.0).rectified() is None


def test_a_histogram_that_was_edited_wrongly() -> None:
    values = stats_of(1.0, 2.0, -3.0).to_dict()
    values["histogram"]["positive"][0] = 5
    with pytest.raises(FieldError) as caught:
        TensorStats.from_dict(values)
    assert str(caught.value) == (
        "histogram is '7 values in all', allowed: as many as count says, 3"
    )


def test_zeros_have_no_sign() -> None:
    """Zeros with a minus counted as flushed values, as rounding small negative ones makes them."""
    x = torch.tensor([-0.0, 0.0, -0.0, -1.5, 2.0])
    stats = TensorStats.of(x)
    assert stats.zeros == 3 and stats.bins[1, :8].sum() == 0 and stats.bins[0, :8].sum() == 3
    assert effect_of(stats, FixedPoint(8, 4)).flushed == 0
    nothing = TensorStats.of(torch.tensor([-0.0, -0.0]))
    assert str(nothing.minimum) == "0.0" and nothing.is_never_negative
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 0.05
    rounded = FixedPoint(8, 4).quantize(values)
    assert torch.signbit(rounded[rounded == 0]).any()
    assert effect_of(TensorStats.of(rounded), FixedPoint(8, 4)).flushed == 0
    point = PointError()
    point.update(rounded, FixedPoint(8, 4).quantize(rounded), FixedPoint(8, 4))
    assert point.to_dict()["flushed_share"] == 0
    assert point.to_dict()["zero_share_before"] == TensorStats.of(rounded).zero_share


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        ([1.0, -1.0], 0),
        ([0.75, 2], -2),
        ([96, 64], 5),
        ([3 * 2.0**-30], -30),
        ([0.1, 0.2], None),
        ([1024.0, 1.0 / 64], -6),
        ([1024.0, 1.0 / 128], None),  # more than 16 bits from one end to the other
        ([*np.arange(-500, 500) / 128.0], -7),
        ([*np.arange(0, 500) / 128.0, math.pi], None),
    ],
)
def test_the_grid_that_values_lie_on(values: list[float], grid: int | None) -> None:
    stats = TensorStats.of(torch.tensor(values))
    assert stats.grid == grid
    assert TensorStats.from_dict(stats.to_dict()).grid == grid
    empty = TensorStats()
    empty.add(TensorStats.of(torch.zeros(3)))
    empty.add(stats)
    empty.add(TensorStats.of(torch.zeros(3)))
    assert empty.grid == grid
    empty.add(TensorStats.of(torch.tensor([0.3])))
    assert empty.grid is None


def test_what_lies_on_a_grid_loses_nothing_on_finer_ones() -> None:
    x = torch.arange(-60, 61) / 64
    stats = TensorStats.of(x)
    assert effect_of(stats, FixedPoint(8, 6)).sqnr_db == math.inf
    assert effect_of(stats, FixedPoint(8, 5)).sqnr_db < 40
    cut = FixedPoint(6, 6)  # up to 31/64
    assert effect_of(stats, cut).sqnr_db == pytest.approx(sqnr_db(x, cut.quantize(x)), abs=0.5)


def test_a_large_tensor_counts_as_the_sum_of_its_pieces() -> None:
    """More values than are counted at once: the bins are those of all, counted in one go."""
    x = torch.randn(2_500_000, generator=torch.Generator().manual_seed(5)).mul_(40)
    x[::7] = 0
    x[3] = -0.0
    fields = x.numpy().view(np.uint32) >> 20
    want = np.bincount(fields, minlength=4096).reshape(2, 2048)
    want[:, 0] = want[:, 0].sum(), 0  # a zero has no sign
    stats = TensorStats.of(x)
    np.testing.assert_array_equal(stats.bins, want)
    assert stats.zeros == x.numel() - int(torch.count_nonzero(x))
    pieces = x.split(1 << 20)
    # float32 inside a piece, float64 over them, in this order.
    assert stats.total == sum(float(p.sum()) for p in pieces)
    assert stats.magnitudes == sum(float(p.abs().sum()) for p in pieces)
    assert stats.squares == sum(float(torch.dot(p, p)) for p in pieces)
    assert stats.signed_squares == sum(float(torch.dot(p, p.abs())) for p in pieces)
