"""What a format does to a tensor, told from its histogram, against doing it."""

from __future__ import annotations

import math

import pytest
import torch

from adaption.numerics import FixedPoint, saturated_share, sqnr_db
from adaption.precision.effects import effect_of
from adaption.precision.statistics import TensorStats

FORMATS = [
    FixedPoint(8, 5),
    FixedPoint(8, 3),
    FixedPoint(4, 2),
    FixedPoint(3, -1),
    FixedPoint(16, 12),
    FixedPoint(6, 3, "half_even", range="full"),
    FixedPoint(8, 5, is_signed=False),
]


def tensor(kind: str) -> torch.Tensor:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(1)) * 2
    if kind == "rectified":
        return x.relu()
    return x.pow(3) if kind == "heavy" else x


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("kind", ["normal", "rectified", "heavy"])
def test_effect_equals_the_rounded_tensor(kind: str, fmt: FixedPoint) -> None:
    x = tensor(kind)
    y = fmt.quantize(x)
    found = effect_of(TensorStats.of(x), fmt)
    # Values spread evenly within 1/8 of an octave: the accuracy that the module states.
    few = 0 < saturated_share(x, fmt) < 1e-3
    assert found.sqnr_db == pytest.approx(sqnr_db(x, y), abs=2 if few else 0.2)
    assert found.saturated == pytest.approx(saturated_share(x, fmt), abs=0.003)
    flushed = float(((x != 0) & (y == 0)).float().mean())
    assert found.flushed == pytest.approx(flushed, abs=0.003)


def test_stochastic_rounding_is_the_expected_error() -> None:
    x = tensor("normal")
    fmt = FixedPoint(8, 4, "stochastic")
    y = fmt.quantize(x, torch.Generator().manual_seed(2))
    assert effect_of(TensorStats.of(x), fmt).sqnr_db == pytest.approx(sqnr_db(x, y), abs=0.2)


@pytest.mark.parametrize(
    ("values", "fmt", "sqnr"),
    [
        pytest.param([0.0, 0.0], FixedPoint(8, 4), math.inf, id="nothing to lose"),
        pytest.param([1.0], FixedPoint(8, 4), math.inf, id="one value on the grid"),
        pytest.param([3.0], FixedPoint(3, 1), 20 * math.log10(3 / 1.5), id="one that saturates"),
        pytest.param([0.1, 0.1], FixedPoint(3, 1), 0.0, id="all flushed"),
        pytest.param([-1.0], FixedPoint(3, 1, is_signed=False), 0.0, id="negative, unsigned"),
    ],
)
def test_single_values(values: list[float], fmt: FixedPoint, sqnr: float) -> None:
    found = effect_of(TensorStats.of(torch.tensor(values)), fmt)
    assert found.sqnr_db == pytest.approx(sqnr, abs=1e-6)
