"""A published power-of-two net (CMSIS-NN's CIFAR-10 m7): our formats are the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.io.caffemodel import read_weights
from adaption.net import Net, Point
from adaption.precision.measure import measure_net
from adaption.precision.propose import Proposal, propose

PUBLISHED = {"conv1": 7, "conv2": 8, "conv3": 9, "ip1": 11}  # fractional bits


class Batch:
    def __init__(self, data: np.ndarray) -> None:
        self.blobs = {"data": data}
        self.names = [str(i) for i in range(len(data))]


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "models/cmsisnn_cifar10_m7"


@pytest.fixture(scope="module")
def plan(folder: Path) -> Proposal:
    net = Net(folder / "deploy.prototxt", folder / "float.caffemodel.h5")
    measured = measure_net(net, [Batch(np.load(folder / "input.npy")[:16])])
    return propose(net.spec, measured, bits=8, rule="max")


def test_fractional_lengths_are_the_published_ones(plan: Proposal) -> None:
    assert {n: plan.plan[Point(n, "weight")].frac_length for n in PUBLISHED} == PUBLISHED


def test_weights_equal_the_published_ones_in_every_code(plan: Proposal, folder: Path) -> None:
    full = read_weights(folder / "float.caffemodel.h5")
    published = read_weights(folder / "quantized.caffemodel")
    for name in PUBLISHED:
        ours, theirs = full.get(name), published.get(name)
        assert ours is not None and theirs is not None
        fmt = plan.plan[Point(name, "weight")]
        codes = fmt.codes(torch.from_numpy(ours.blobs[0].copy())).flatten()
        want = torch.from_numpy(theirs.blobs[0].copy()).flatten() / fmt.lsb
        assert torch.equal(codes, want), name
        assert torch.equal(want, want.round())
