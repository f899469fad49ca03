"""Layers compute where their bottoms lie: on a pretended CUDA device as on the CPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.golden_cases import Case, cases, check
from tests.layers.rows import ROWS, Row
from tests.pretended_cuda import CUDA, pretended_cuda


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_a_layer_on_the_device(row: Row) -> None:
    layer = row.layer
    given = [*row.bottoms, *row.blobs_of(layer)]

    def compute(device: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        forward = row.function(layer, device)
        leaves = [t.detach().clone().requires_grad_() for t in tensors]
        tops = forward(*leaves)
        pairs = [(t, torch.full_like(t, i + 1)) for i, t in enumerate(tops) if t.requires_grad]
        if not pairs:
            return [*tops]
        grads = torch.autograd.grad(
            [t for t, _ in pairs], leaves, [g for _, g in pairs], allow_unused=True
        )
        return [*(t.detach() for t in tops), *(g for g in grads if g is not None)]

    want = compute("cpu", given)
    with pretended_cuda():
        made = compute("cuda:0", [t.to(CUDA) for t in given])
        assert {t.device for t in made} == {CUDA}
        found = [t.cpu() for t in made]
    assert len(found) == len(want)
    for mine, other in zip(found, want, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0, equal_nan=True)


RANDOM = "dropout_train_random"


@pytest.mark.parametrize(
    "case", [c for suite in ("layers", "lp_layers") for c in cases(suite) if c.id != RANDOM]
)
def test_goldens_on_the_device(case: Case) -> None:
    with pretended_cuda():
        check(case, device="cuda:0")


@pytest.mark.parametrize("case", cases("round_fp"))
def test_rounding_on_the_device(case: Case) -> None:
    with pretended_cuda():
        check(case, device="cuda:0", exact=True)


@pytest.mark.slow
def test_all_tests_of_layers_on_the_device() -> None:
    """Settings and types beyond the rows, too."""
    folder = Path(__file__).parent
    # Rows and their gradients have tests of their own above; ONNX is lowered on the CPU.
    without = ["test_device.py", "test_gradcheck.py", "test_lowering.py", "test_goldens.py"]
    command = [sys.executable, "-m", "pytest", "-q", "--device=pretended", "-p", "no:cacheprovider"]
    command += [f"--ignore={folder / name}" for name in without]
    ran = subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, cwd=folder.parents[1]
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
