"""Range statistics: every figure against numpy on the same values."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

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
    assert stats.mean == pytest.approx(flat.mean(), rel=1e-12)
    # The norm of each part is a float32 sum.
    assert stats.squares == pytest.approx((flat**2).sum(), rel=1e-6)
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
    np.testing.assert_array_equal(merged.exponents, whole.exponents)
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
