"""round_divide against fractions: every rounding, powers of two and other divisors."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
import torch

from adaption.errors import FieldError
from adaption.numerics.exact import round_divide

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
