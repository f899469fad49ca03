"""Samples that are counted behind the pass give what counting at once gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from adaption.precision.sample import Sample, together
from adaption.precision.statistics import TensorStats

LARGE = torch.randn(2, 3, 80, 81, generator=torch.Generator().manual_seed(3))


def with_value(value: float) -> torch.Tensor:
    x = LARGE.clone()
    x[0, 0] = value
    return x


def require_equal(found: TensorStats, want: TensorStats) -> None:
    assert str(found.to_dict()) == str(want.to_dict())  # NaN equals itself in a text
    np.testing.assert_array_equal(found.bins, want.bins)


@pytest.mark.parametrize("turn", [0, 1, 7])
@pytest.mark.parametrize(
    "x",
    [
        pytest.param(LARGE, id="sampled"),
        pytest.param(LARGE.to(memory_format=torch.channels_last), id="channels last"),
        pytest.param(LARGE[0, 0].clone(), id="taken whole"),
        pytest.param(torch.zeros(2, 0), id="empty"),
        pytest.param(with_value(math.nan), id="nan"),
    ],
)
def test_counting_later_even_when_the_memory_was_overwritten(x: torch.Tensor, turn: int) -> None:
    x = x.clone()
    want = TensorStats.of(x, turn=turn)
    sample = Sample.of(x, turn)
    x.fill_(99)
    require_equal(sample.stats, want)


@pytest.mark.parametrize(
    "value", [pytest.param(v, id=str(v)) for v in (-1.0, 0.0, 1e-40, -1e-40, math.nan)]
)
def test_rectified_follows_whatever_the_values(value: float) -> None:
    """Also of denormals and NaN, where the finished statistics do not tell."""
    x = with_value(value)
    rectified = Sample.of(x, 0).rectified()
    assert rectified is not None
    found, want = rectified.stats, TensorStats.of(x.relu(), turn=0)
    assert str((found.count, found.minimum, found.maximum)) == str(
        (want.count, want.minimum, want.maximum)
    )
    assert found.bins.sum() == found.count
    assert found.zero_share == pytest.approx(want.zero_share, abs=0.01)
    assert found.mean == pytest.approx(want.mean, rel=1e-4, nan_ok=True)
    again = rectified.rectified()
    assert again is not None
    require_equal(again.stats, found)


def test_finished_statistics_may_not_tell() -> None:
    assert Sample.finished(TensorStats.of(with_value(math.nan))).rectified() is None
    known = Sample.finished(TensorStats.of(LARGE)).rectified()
    assert known is not None
    want = TensorStats.of(LARGE.relu())
    np.testing.assert_array_equal(known.stats.bins, want.bins)
    assert known.stats.mean == pytest.approx(want.mean)


def test_parts_together_leave_the_parts_alone() -> None:
    parts = [Sample.of(LARGE, 0), Sample.of(LARGE[0], 0)]
    alone = parts[0].stats.copy()
    both = together(parts)
    require_equal(both, parts[0].stats.merge(parts[1].stats))
    require_equal(parts[0].stats, alone)
