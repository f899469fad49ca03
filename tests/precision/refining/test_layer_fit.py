"""One layer: many inputs in blocks, formats by the error of the result."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from adaption.numerics import FixedPoint
from adaption.precision.refining import layer_fit
from adaption.precision.refining.layer_fit import FitSettings, Fitted, fit_layer

LIKE = FixedPoint(4, 0)


def fitted(settings: FitSettings, drift: float = 0.1) -> tuple[Fitted, Tensor, Tensor, Tensor]:
    values = torch.Generator().manual_seed(0)
    u = torch.randn(1, 600, 24, generator=values) @ torch.randn(24, 24, generator=values) + 0.3
    v = u + drift * torch.randn(1, 600, 24, generator=values)
    weight = torch.randn(1, 5, 24, generator=values) * 0.2

    def columns(inputs: slice) -> Iterator[tuple[Tensor, Tensor]]:
        yield u[..., inputs], v[..., inputs]

    return fit_layer(weight, columns, settings), weight, u, v


def error(made: Fitted, weight: Tensor, u: Tensor, v: Tensor) -> float:
    found = u[0] @ made.rounded[0].float().T + made.shift[0].float()
    return float((found - v[0] @ weight[0].T).square().mean())


@pytest.mark.parametrize("is_centred", [True, False])
def test_compensating_beats_the_nearest(is_centred: bool) -> None:
    both = [
        fitted(FitSettings(way, is_centred, keeps_zeros=False, format=None, like=LIKE))
        for way in (True, False)
    ]
    ours, nearest = (error(*one) for one in both)
    assert ours < 0.5 * nearest
    form = both[0][0].format
    assert form.word_length == 4 and both[0][0].losses[form.frac_length] == min(
        both[0][0].losses.values()
    )
    assert torch.equal(form.quantize(both[0][0].rounded.float()), both[0][0].rounded.float())


def test_a_given_format_stays() -> None:
    given = FixedPoint(4, 2)
    made, *_ = fitted(FitSettings(True, True, keeps_zeros=False, format=given, like=LIKE))
    assert made.format == given and made.losses == {}


def test_many_inputs_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = FitSettings(True, True, keeps_zeros=False, format=None, like=LIKE)
    whole = error(*fitted(settings))
    monkeypatch.setattr(layer_fit, "MOST_INPUTS", 20)
    monkeypatch.setattr(layer_fit, "BLOCK_INPUTS", 10)
    monkeypatch.setattr(layer_fit, "ROWS", 2)
    made = fitted(settings)
    nearest = error(*fitted(FitSettings(False, True, keeps_zeros=False, format=None, like=LIKE)))
    assert made[0].blocks == 3 and whole < error(*made) < nearest
