"""quantize_ste: the grid going forward, the identity going backward."""

from __future__ import annotations

import pytest
import torch

from adaption.numerics import ROUNDINGS, FixedPoint, quantize_ste

FAR = [0.1, 1.75, -1.75, 1.9, -5.0, 1e6, -3e38, float("inf"), float("-inf")]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_gradient_is_the_identity_also_where_saturated(rounding: str) -> None:
    x = torch.tensor(FAR, requires_grad=True)
    y = quantize_ste(x, FixedPoint.q("2.2", rounding), torch.Generator().manual_seed(1))
    weights = torch.arange(1.0, len(FAR) + 1)
    (y * weights).nan_to_num().sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, weights)


def test_values_are_those_of_quantize() -> None:
    """x + (q - x).detach() is off, or NaN, far outside the range."""
    x = torch.tensor(FAR)
    fmt = FixedPoint.q("2.2")
    assert torch.equal(quantize_ste(x.clone().requires_grad_(), fmt).detach(), fmt.quantize(x))


def test_same_draw_as_quantize() -> None:
    x = torch.linspace(-2, 2, 200)
    fmt = FixedPoint(8, 4, "stochastic")
    one, two = (torch.Generator().manual_seed(5) for _ in range(2))
    assert torch.equal(quantize_ste(x, fmt, one), fmt.quantize(x, two))


def test_x_without_gradient_gives_none() -> None:
    assert not quantize_ste(torch.ones(2), FixedPoint(8, 4)).requires_grad
