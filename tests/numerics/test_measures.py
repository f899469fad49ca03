"""SQNR and shares, with the cases where a logarithm or a division could break."""

from __future__ import annotations

import math

import pytest
import torch

from adaption.errors import ShapeError
from adaption.numerics import FixedPoint, saturated_share, sqnr_db, zero_share

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("reference", "quantized", "want"),
    [
        pytest.param([1.0, -1.0], [0.9, -0.9], 20.0, id="a tenth of the amplitude is 20 dB"),
        pytest.param([3.0, 4.0], [0.0, 0.0], 0.0, id="nothing left"),
        pytest.param([1.0, 2.0], [1.0, 2.0], INF, id="equal"),
        pytest.param([0.0, 0.0], [0.0, 0.0], INF, id="both zero"),
        pytest.param([0.0], [1.0], -INF, id="noise alone"),
        pytest.param([1.0], [INF], -INF, id="infinite noise"),
        pytest.param([], [], INF, id="empty"),
        pytest.param([1e-30], [0.9e-30], 20.0, id="squares below float32"),
        pytest.param([1e30], [0.9e30], 20.0, id="squares above float32"),
    ],
)
def test_sqnr(reference: list[float], quantized: list[float], want: float) -> None:
    got = sqnr_db(torch.tensor(reference), torch.tensor(quantized))
    assert got == pytest.approx(want, abs=1e-5)  # 0.9 is not exact in float32


def test_sqnr_of_nan_is_nan() -> None:
    assert math.isnan(sqnr_db(torch.tensor([NAN]), torch.tensor([0.0])))


def test_sqnr_of_a_uniform_value() -> None:
    """6.02 dB per bit: the noise of a step is lsb²/12, the power of -M..M is M²/3."""
    fmt = FixedPoint(8, 7)
    x = torch.rand(200_000, generator=torch.Generator().manual_seed(1)) * 2 - 1
    x *= fmt.max_value
    want = 20 * math.log10(2**8 * fmt.max_value)
    # One standard error of either mean square is 0.3 %, 0.01 dB.
    assert sqnr_db(x, fmt.quantize(x)) == pytest.approx(want, abs=0.05)


def test_sqnr_refuses_other_shapes() -> None:
    with pytest.raises(ShapeError) as caught:
        sqnr_db(torch.zeros(2, 3), torch.zeros(3, 2))
    assert str(caught.value) == "shapes differ: (2, 3) and (3, 2)"


def test_saturated_share() -> None:
    fmt = FixedPoint.q("2.2")
    assert saturated_share(torch.tensor([1.75, 1.76, -1.75, -9.0]), fmt) == 0.5
    assert saturated_share(torch.tensor([INF, -INF, NAN, 0.0]), fmt) == 0.5
    unsigned = FixedPoint(4, 2, is_signed=False)
    assert saturated_share(torch.tensor([-0.1, 0.0, 3.75, 4.0]), unsigned) == 0.5
    full = FixedPoint(4, 2, range="full")
    assert saturated_share(torch.tensor([-2.0, 1.75, 2.0, 0.0]), full) == 0.25


def test_zero_share() -> None:
    assert zero_share(torch.tensor([0.0, -0.0, 1e-45, 1.0])) == 0.5


def test_shares_of_nothing_are_zero() -> None:
    assert zero_share(torch.empty(0)) == saturated_share(torch.empty(0), FixedPoint(8, 4)) == 0.0
