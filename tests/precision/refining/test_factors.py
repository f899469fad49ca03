"""The greatest magnitude of a layer's weights with factors, smoothed: two products with vectors."""

from __future__ import annotations

import pytest
import torch

from adaption.precision.refining.factors import SHARPNESS, WIDEST, WeightLayer


def layer_of(peaks: torch.Tensor) -> WeightLayer:
    groups, outputs, inputs = peaks.shape
    of_inputs = torch.ones(groups, inputs, dtype=torch.float64)
    of_outputs = torch.ones(groups, outputs, dtype=torch.float64)
    ids = of_inputs.long()
    return WeightLayer(ids, of_outputs.long(), peaks, of_inputs, of_inputs, of_outputs, 7)


@pytest.mark.parametrize("spread", [0.1, 1.0, WIDEST])
def test_smoothed_reach_is_the_norm_of_all_weights(spread: float) -> None:
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        values = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return ((2 * values - 1) * spread).requires_grad_()

    peaks = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64) * 4
    peaks[0, 0] = -100  # weights that are 0, as `equalize` states them
    above, below = drawn(2, 5), drawn(2, 7)
    made = layer_of(peaks).reach(above, below, exact=False)
    every = (peaks + above.unsqueeze(2) - below.unsqueeze(1)) * SHARPNESS
    expected = torch.logsumexp(every.flatten(), 0) / SHARPNESS
    torch.testing.assert_close(made, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(made, (above, below)),
        torch.autograd.grad(expected, (above, below)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_reach_holds_where_factors_outweigh_the_largest_weight() -> None:
    """The largest weight may be the least with its factors, 24 octaves below another."""
    peaks = torch.tensor([[[0.0, -20.0]]], dtype=torch.float64)
    above = torch.zeros(1, 1, dtype=torch.float64)
    below = torch.tensor([[WIDEST * 2, -WIDEST * 2]], dtype=torch.float64)
    made = layer_of(peaks).reach(above, below, exact=False)
    assert float(made) == pytest.approx(-20 + 2 * WIDEST, abs=1e-9)
    assert float(layer_of(peaks).reach(above, below, exact=True)) == -20 + 2 * WIDEST
