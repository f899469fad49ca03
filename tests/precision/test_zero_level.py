"""Shares of weights in the zero level: by the filler's distribution, and what the filler draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adaption.net.fillers import FILLERS, fill
from adaption.numerics import BinaryWeight, Wrpn
from adaption.precision.zero_level import share_of_filler, share_of_values
from adaption.proto import caffe_pb2

SHAPE = (40, 25, 8, 8)


def filler(kind: str, **settings: float) -> caffe_pb2.FillerParameter:
    return caffe_pb2.FillerParameter(type=kind, **settings)


ROWS = [
    ("constant", {}, 1.0),
    ("constant", {"value": 0.6}, 0.0),
    ("uniform", {"min": -1, "max": 1}, 0.5),
    ("uniform", {"min": 0.25, "max": 2.25}, 0.125),
    ("uniform", {"min": 0.5, "max": 0.5}, 1.0),  # a tie goes to 0
    ("gaussian", {"std": 0.5}, 0.6827),
    ("gaussian", {"mean": 2, "std": 0.1}, 0.0),
    ("gaussian", {"std": 1, "sparse": 10}, 0.8457),
    ("xavier", {}, 1.0),
    ("xavier", {"variance_norm": 1}, 1.0),
    ("msra", {}, 1.0),
    ("tnvs", {"variance_scale": 400}, 0.6826 / 0.9167),
    ("positive_unitball", {}, 1.0),
    ("bilinear", {}, 52 / 64),
]


@pytest.mark.parametrize(("kind", "settings", "want"), ROWS, ids=[r[0] for r in ROWS])
def test_share_of_filler(kind: str, settings: dict[str, float], want: float) -> None:
    asked = filler(kind, **settings)
    found = share_of_filler(Wrpn(2), asked, SHAPE)
    assert found is not None
    blob = torch.zeros(SHAPE)
    fill(blob, asked, torch.Generator().manual_seed(1))
    # 64,000 draws: four standard deviations of a share are at most 0.008
    assert found == pytest.approx(share_of_values(Wrpn(2), blob.numpy()), abs=0.008)
    assert found == pytest.approx(want, abs=0.002)


def test_every_filler_has_a_row() -> None:
    assert {row[0] for row in ROWS} == set(FILLERS)


def test_what_needs_a_shape_is_not_known_without_one() -> None:
    assert share_of_filler(Wrpn(4), filler("uniform", min=-1, max=1), None) == pytest.approx(1 / 14)
    for kind in ("xavier", "msra", "tnvs", "positive_unitball", "bilinear"):
        assert share_of_filler(Wrpn(4), filler(kind), None) is None
    assert share_of_filler(Wrpn(4), filler("gaussian", std=1, sparse=3), None) is None
    assert share_of_filler(Wrpn(4), filler("unheard"), SHAPE) is None
    assert share_of_filler(Wrpn(4), filler("bilinear"), (4, 3)) is None  # no kernels


def test_a_sign_has_no_zero_level() -> None:
    assert share_of_filler(BinaryWeight(), filler("constant"), SHAPE) == 0.0


def test_share_of_values() -> None:
    assert share_of_values(Wrpn(2), np.array([0.5, -0.5, 0.51, 1, 0], np.float32)) == 0.6
