"""round_divide against fractions (every rounding, powers of two and other divisors); weights as
short codes."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
import pytest
import torch

from adaption.errors import FieldError
from adaption.numerics import exact
from adaption.numerics.exact import as_codes, round_divide, short_codes

WIDE = 2**52 + 1


def wanted(x: int, divisor: int, rounding: str) -> int:
    if rounding == "floor":
        return x // divisor
    way = ROUND_HALF_UP if rounding == "half_away" else ROUND_HALF_EVEN
    return int((Decimal(x) / divisor).quantize(Decimal(1), way))


@pytest.mark.parametrize("rounding", ["floor", "half_away", "half_even"])
@pytest.mark.parametrize("divisor", [1, 2, 4, 8, 256, 3, 6, 10, 255])
def test_every_code(divisor: int, rounding: str) -> None:
    values = [*range(-3 * divisor - 2, 3 * divisor + 3), WIDE, -WIDE]
    x = torch.tensor(values)
    found = round_divide(x, divisor, rounding)
    assert found.tolist() == [wanted(v, divisor, rounding) for v in values]
    assert x.tolist() == values  # left as it is


@pytest.mark.parametrize("divisor", [2, 3])
def test_other_roundings_have_no_exact_form(divisor: int) -> None:
    with pytest.raises(FieldError, match="rounding is 'stochastic'"):
        round_divide(torch.tensor([1]), divisor, "stochastic")


@pytest.mark.parametrize(
    ("least", "greatest", "frac_length", "kind"),
    [
        (-128, 127, 3, np.int16),
        (-(1 << 15) + 2, 5, -4, np.int16),
        (-(1 << 15), 5, 0, np.int32),  # its magnitude does not fit into int16
        (0, 1 << 23, 20, np.int32),
        (0, 1 << 40, -20, np.int64),
        (0, 0, 0, np.int16),
    ],
)
def test_short_codes_are_codes_in_the_shortest_type(
    least: int, greatest: int, frac_length: int, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "_PIECE", 7)
    codes = np.array([[least, greatest, 0], [1, -1, 2], [greatest, least, greatest // 2]])
    codes = codes.clip(least, greatest)
    values = np.ldexp(codes.astype(np.float64), -frac_length).astype(np.float32)
    made = short_codes(values, 1, frac_length)
    assert made.dtype == kind and made.shape == codes.shape
    assert made.tolist() == as_codes(values, frac_length).tolist()


def test_short_codes_of_steps_that_are_no_powers_of_two() -> None:
    codes = np.arange(-127, 128).reshape(5, 51)
    values = (codes / 127 / 4).astype(np.float32)  # rounded once
    made = short_codes(values, 127, 2)
    assert made.dtype == np.int16
    assert made.tolist() == codes.tolist()
