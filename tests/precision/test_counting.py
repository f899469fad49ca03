"""Counts and sums of all values: the same as torch's, whatever the memory looks like."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from adaption.numerics import FixedPoint
from adaption.precision.counting import (
    count_patterns,
    count_rounding,
    count_zeros,
    round_and_count_,
)

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


LONG = torch.randn(5, 7, 101, 103, generator=GENERATOR).to(memory_format=torch.channels_last) * 50


@pytest.mark.parametrize(
    "fmt", [FixedPoint(8, -1, "half_even"), FixedPoint(6, 2), FixedPoint(24, 9)]
)
@pytest.mark.parametrize(
    "x", [LONG, LONG.contiguous(), LONG[:, :5, ::2], LONG[0, 0, 0], ODD, torch.zeros(0, 2)]
)
def test_rounding_while_counting_gives_the_same_bits_and_counts(x: Tensor, fmt: FixedPoint) -> None:
    made = x.clone()
    y = fmt.quantize(made)
    want = count_rounding(made, y, fmt.min_value, fmt.max_value)
    found = round_and_count_(made, fmt)
    np.testing.assert_array_equal(made.numpy().view(np.int32), y.numpy().view(np.int32))
    np.testing.assert_equal(vars(found), vars(want))
    assert found.positive_after == int((y > 0).sum())


def test_a_draw_stays_the_same_while_counting() -> None:
    fmt = FixedPoint(8, 1, "stochastic")
    want = fmt.quantize(LONG, torch.Generator().manual_seed(5))
    made = LONG.clone()
    found = round_and_count_(made, fmt, torch.Generator().manual_seed(5))
    assert torch.equal(made, want)
    assert found == count_rounding(LONG, want, fmt.min_value, fmt.max_value)


@pytest.mark.parametrize("count", [0, 1, 20000, 2_500_000])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_patterns_are_counted_whatever_the_threads(count: int, threads: int) -> None:
    values = torch.randn(count, generator=torch.Generator().manual_seed(count))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = count_patterns(values, 12)
    finally:
        torch.set_num_threads(before)
    want = np.bincount(values.numpy().view(np.uint32) >> 20, minlength=1 << 12)
    np.testing.assert_array_equal(found, want)
