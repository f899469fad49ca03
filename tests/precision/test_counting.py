"""Counts and sums of all values: the same as torch's, whatever the memory looks like."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from adaption.precision.counting import count_rounding, count_zeros

GENERATOR = torch.Generator().manual_seed(3)
PLAIN = torch.randn(3, 24, 31, 19, generator=GENERATOR).relu_() * 40
LAST = PLAIN.to(memory_format=torch.channels_last)
ODD = torch.tensor([-0.0, 0.0, 1e-42, -1e-42, 7.0, math.nan, math.inf, -math.inf])
CASES = [
    pytest.param(PLAIN, PLAIN.round(), id="NCHW"),
    pytest.param(LAST, LAST.round(), id="channels last"),
    pytest.param(PLAIN, LAST.round(), id="one of each"),
    pytest.param(PLAIN[:, 3:11, ::2], PLAIN[:, 3:11, ::2].round(), id="a part"),
    pytest.param(PLAIN.flatten(1), PLAIN.flatten(1).round(), id="two axes"),
    pytest.param(PLAIN[0, 0, 0, 0], PLAIN[0, 0, 0, 0].round(), id="one value"),
    pytest.param(torch.zeros(0, 3), torch.zeros(0, 3), id="none"),
    pytest.param(PLAIN.double(), PLAIN.double().round(), id="float64"),
    pytest.param(PLAIN * 1e30, torch.zeros_like(PLAIN), id="squares beyond float32"),
    pytest.param(PLAIN * 1e-30, torch.zeros_like(PLAIN), id="squares below float32"),
]


@pytest.mark.parametrize(("x", "y"), [*CASES, pytest.param(ODD, ODD.round(), id="odd values")])
@pytest.mark.parametrize("reach", [(-1.0, 30.0), (0.0, 0.0), (1.0, 1e9), (-1e9, 1e9)])
def test_counts_are_exact(x: Tensor, y: Tensor, reach: tuple[float, float]) -> None:
    least, greatest = reach
    seen = count_rounding(x, y, least, greatest)
    assert seen.saturated == int(((x > greatest) | (x < least)).sum())
    assert seen.zeros_before == count_zeros(x) == x.numel() - int(torch.count_nonzero(x))
    assert seen.zeros_after == count_zeros(y) == y.numel() - int(torch.count_nonzero(y))


@pytest.mark.parametrize(("x", "y"), CASES)
def test_sums_are_those_of_float64(x: Tensor, y: Tensor) -> None:
    seen = count_rounding(x, y, -1.0, 30.0)
    signal = math.fsum(x.double().square().flatten().tolist())
    noise = math.fsum((x - y).double().square().flatten().tolist())
    # Squares of float32 are exact in float64; what is lost is the rounding of sums.
    assert seen.signal == pytest.approx(signal, rel=1e-13, abs=0)
    assert seen.noise == pytest.approx(noise, rel=1e-13, abs=0)


def test_sums_do_not_depend_on_threads() -> None:
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(count_rounding(LAST, LAST.round(), -1.0, 30.0))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize(("value", "want"), [(math.nan, math.nan), (math.inf, math.inf)])
def test_what_is_not_finite_shows_in_the_sum(value: float, want: float) -> None:
    x = torch.ones(70000)
    x[40000] = value
    seen = count_rounding(x, torch.ones(70000), -2.0, 2.0)
    np.testing.assert_equal([seen.signal, seen.noise], [want, want])
    assert seen.saturated == int(value == math.inf)
