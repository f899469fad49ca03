"""Round: what it counts of its codes, against fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from adaption.exact.program import Round


@pytest.mark.parametrize(("low", "high"), [(-4, 3), (0, 5), (-(2**62), 2**62)])
@pytest.mark.parametrize("divisor", [1, 2, 8, 3, 6])
@pytest.mark.parametrize("factor", [1, 3, 4])
def test_ties_and_values_beyond_the_range(factor: int, divisor: int, low: int, high: int) -> None:
    op = Round(("x",), ("y",), "layer", factor, divisor, "half_even", low, high)
    codes = range(-8 * divisor, 8 * divisor + 1)
    exact = [Fraction(factor * code, divisor) for code in codes]
    x = torch.tensor(codes)
    assert op.ties(x) == sum(value % 1 == Fraction(1, 2) for value in exact)
    assert op.beyond(x) == sum(not low <= value <= high for value in exact)
    assert op.run(x).tolist() == [min(max(round(value), low), high) for value in exact]


def test_none_is_beyond_no_range_or_of_no_values() -> None:
    x = torch.arange(5)
    assert Round(("x",), ("y",), "layer", 1, 2, "floor", None, None).beyond(x) == 0
    assert Round(("x",), ("y",), "layer", 1, 2, "floor", 0, 1).beyond(x[:0]) == 0
