"""Fillers: constants and bilinear exactly, random ones by bounds and moments of the original's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from adaption.errors import AdaptionError
from adaption.net import Net
from adaption.net.fillers import FILLERS, fill
from adaption.proto import caffe_pb2
from tests.golden_cases import Case, cases
from tests.net.nets import data, layer, net_of


@pytest.mark.parametrize("case", cases("fillers"))
def test_golden(case: Case) -> None:
    net = Net(case.prototxt, phase="TRAIN", seed=1)
    got, want = net.params["L"][0].data, case.meta["stats"]
    assert list(got.shape) == want["shape"]
    exact = case.group("param")
    if exact:
        np.testing.assert_array_equal(got, exact["L.0"])
        return
    n = got.size
    # Two independent samples of n: their means differ by less than 6 standard errors of either,
    # their spreads, relative to it, likewise (kurtosis of a normal or flatter distribution, but
    # for `sparse`, where it is 3 / share of non-zeros).
    assert got.mean() == pytest.approx(want["mean"], abs=9 * want["std"] / math.sqrt(n))
    share = max(1 - want["zeros"] / n, 0.01)
    assert got.std() == pytest.approx(want["std"], rel=9 / math.sqrt(2 * n * share))
    zeros = 9 * math.sqrt(n * share * (1 - share))
    assert (got == 0).sum() == pytest.approx(want["zeros"], abs=zeros + 1)
    if case.name == "positive_unitball":
        np.testing.assert_allclose(got.reshape(len(got), -1).sum(1), 1, rtol=1e-5)
        assert got.min() >= 0
    elif case.name.startswith(("gaussian", "msra")):
        peak = max(-want["min"], want["max"])
        assert np.abs(got).max() == pytest.approx(peak, rel=0.4)  # tails: 3.5 to 5 sigma
    else:  # bounded: no sample lies outside, and among many some lie near
        spread = want["max"] - want["min"]
        assert got.min() == pytest.approx(want["min"], abs=spread * 0.05)
        assert got.max() == pytest.approx(want["max"], abs=spread * 0.05)


def filled(text: str, *shape: int, seed: int = 1) -> torch.Tensor:
    filler = text_format.Parse(text, caffe_pb2.FillerParameter())
    blob = torch.empty(shape)
    fill(blob, filler, torch.Generator().manual_seed(seed))
    return blob


@pytest.mark.parametrize(
    ("text", "shape", "limit"),
    [
        ('type: "xavier"', (20, 50, 3, 3), math.sqrt(3 / 450)),
        ('type: "xavier" variance_norm: FAN_OUT', (20, 50, 3, 3), math.sqrt(3 / 180)),
        ('type: "xavier" variance_norm: AVERAGE', (20, 50, 3, 3), math.sqrt(3 / 315)),
        ('type: "uniform" min: -2 max: 2', (1000,), 2.0),
        ('type: "xavier"', (40, 100, 3, 3, 3), math.sqrt(3 / 2700)),
    ],
)
def test_bounds(text: str, shape: tuple[int, ...], limit: float) -> None:
    x = filled(text, *shape)
    assert 0.98 * limit < float(x.abs().max()) <= limit
    assert float(x.mean()) == pytest.approx(0, abs=limit / 10)


@pytest.mark.parametrize(
    ("text", "mean", "std"),
    [
        ('type: "gaussian"', 0, 1),
        ('type: "gaussian" mean: 3 std: 0.1', 3, 0.1),
        ('type: "gaussian" std: 0', 0, 0),
        ('type: "msra"', 0, math.sqrt(2 / 450)),
        ('type: "msra" variance_norm: FAN_OUT', 0, math.sqrt(2 / 180)),
        ('type: "constant" value: 2.5', 2.5, 0),
        ("", 0, 0),
    ],
)
def test_moments(text: str, mean: float, std: float) -> None:
    x = filled(text, 20, 50, 3, 3)
    assert float(x.mean()) == pytest.approx(mean, abs=6 * std / math.sqrt(x.numel()) + 1e-7)
    assert float(x.std()) == pytest.approx(std, rel=0.05, abs=1e-7)


@pytest.mark.parametrize("kind", FILLERS)
def test_seeds(kind: str) -> None:
    one, again, other = (filled(f'type: "{kind}" max: 1', 4, 4, 3, 3, seed=s) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert torch.equal(one, other) == (kind in ("constant", "bilinear"))


def error_of(filler: str, kernel: str = "kernel_size: 3") -> str:
    param = f"convolution_param {{ num_output: 2 {kernel} weight_filler {{ {filler} }} }}"
    with pytest.raises(AdaptionError) as caught:
        net_of(data(1, 1, 5, 5) + layer("Convolution", "c", "data", more=param))
    return str(caught.value).removeprefix('net.prototxt:2: layer "c" (Convolution): ')


@pytest.mark.parametrize(
    ("filler", "want"),
    [
        (
            'type: "orthogonal"',
            "filler type is 'orthogonal', allowed: constant, gaussian, positive_unitball, uniform,"
            " xavier, msra, bilinear, tnvs",
        ),
        ('type: "uniform" min: 2 max: 1', "filler min is 2.0, allowed: at most max (1.0)"),
        ('type: "gaussian" std: -1', "filler std is -1.0, allowed: 0 or more"),
    ],
)
def test_bad_filler(filler: str, want: str) -> None:
    assert error_of(filler) == want


def test_bilinear_wants_square_kernels() -> None:
    assert error_of('type: "bilinear"', "kernel_h: 2 kernel_w: 3") == (
        "filler bilinear needs a 4-axis blob with square kernels, found (2, 1, 2, 3)"
    )


LP = [
    ("LPConvolution", "convolution_param", "num_output: 2 kernel_size: 3"),
    ("LPInnerProduct", "inner_product_param", "num_output: 2"),
]


def lp_blobs(kind: str, param: str, fields: str, *, original: bool) -> list[Any]:
    fields += ' weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'
    text = data(1, 3, 5, 5) + layer(
        kind, "q", "data", more=f"{param} {{ {fields} }} lpfp_param {{ bd: 2 ad: 2 }}"
    )
    return [b.data.copy() for b in net_of(text, original_semantics=original).params["q"]]


@pytest.mark.parametrize(("kind", "param", "fields"), LP)
def test_the_original_draws_rounded_blobs_on_their_own(kind: str, param: str, fields: str) -> None:
    """LPConvolution fills all four, LPInnerProduct leaves its rounded weights at zero."""
    w, rw, b, rb = lp_blobs(kind, param, fields, original=True)
    assert w.any() and b.any() and rb.any()
    assert not np.array_equal(b, rb) and not np.array_equal(w, rw)
    assert rw.any() == (kind == "LPConvolution")


@pytest.mark.parametrize(("kind", "param", "fields"), LP)
def test_here_only_masters_are_filled(kind: str, param: str, fields: str) -> None:
    w, rw, b, rb = lp_blobs(kind, param, fields, original=False)
    assert w.any() and b.any()
    # copies are rounded where somebody looks; biases are not (round_bias)
    np.testing.assert_array_equal(rw, np.clip(np.round(w * 4) / 4, -1.75, 1.75))
    np.testing.assert_array_equal(rb, b)
