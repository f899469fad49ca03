"""On a real GPU: the recorded suites, as on the CPU. `pytest -m gpu` runs these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden_cases import Case, cases, check
from tests.net.test_device import TRAINED, net_of, steps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no CUDA device: torch.cuda.is_available() is False"
    ),
]
RANDOM = "dropout_train_random"  # its mask is drawn anew


@pytest.mark.parametrize("case", [c for c in cases("layers") if c.id != RANDOM])
def test_layers(case: Case) -> None:
    check(case, device="cuda:0")


@pytest.mark.parametrize("case", cases("lp_layers"))
def test_low_precision_layers(case: Case) -> None:
    check(case, device="cuda:0")


@pytest.mark.parametrize("case", cases("round_fp"))
def test_rounding(case: Case) -> None:
    check(case, exact=True, device="cuda:0")


def test_training_repeats_by_the_seed_and_learns() -> None:
    first, second = (
        steps(net_of(TRAINED, phase="TRAIN", device="cuda:0"), count=20) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    losses = [float(t) for t in first if not t.dim()]
    assert losses[-1] < losses[0]


def test_weights_of_either_device_are_those_of_the_other(tmp_path: Path) -> None:
    net = net_of(TRAINED, device="cuda:0")
    net.save(tmp_path / "w.caffemodel")
    other = net_of(TRAINED, tmp_path / "w.caffemodel", seed=7)
    for mine, its in zip(net.params["ip1"], other.params["ip1"], strict=True):
        np.testing.assert_array_equal(mine.data, its.data)
