"""Training on a GPU: the recorded trajectories, and snapshots that go from device to device.

A pretended CUDA device stands in for one; the tests marked gpu run on a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.solver import Solver
from tests.golden_cases import Case
from tests.pretended_cuda import CUDA, pretended_cuda
from tests.solver.conftest import Copy
from tests.solver.runs import write_run
from tests.solver.test_golden import NAMES, check_trajectory
from tests.solver.test_resume import Told, blobs

GPU = {"device": "cuda:0"}


@pytest.mark.parametrize("name", NAMES[::6])
def test_trajectories(name: str, suite: Copy) -> None:
    with pretended_cuda():
        check_trajectory(Case(suite("solvers") / f"{name}.prototxt"), "cuda:0")


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: torch.cuda.is_available() is False"
)
@pytest.mark.parametrize("name", NAMES)
def test_trajectories_on_a_gpu(name: str, suite: Copy) -> None:
    check_trajectory(Case(suite("solvers") / f"{name}.prototxt"), "cuda:0")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with pretended_cuda():
        yield tmp_path


def test_resume_is_bit_equal(here: Path) -> None:
    path = write_run(here, rounding="STOCHASTIC", solver='type: "Adam"')
    solver = Solver(path, net_options=GPU)
    assert {h.device for h in solver.history} == {CUDA}
    solver.solve()
    resumed = Solver(path, net_options=GPU, listeners=[told := Told()])
    resumed.solve("run_iter_5.solverstate")
    for name, want in blobs(solver).items():
        np.testing.assert_array_equal(blobs(resumed)[name], want, err_msg=name)
    for have, want in zip(resumed.history, solver.history, strict=True):
        assert torch.equal(have, want)
    assert not [t for t in told.notices if "batch norm lag" not in t]


def test_a_held_array_shows_every_update(here: Path) -> None:
    solver = Solver(write_run(here), net_options=GPU)
    weight = solver.net.params["ip"][0]
    data, diff = weight.data, weight.diff
    before = data.copy()
    solver.step(2)
    assert not np.array_equal(data, before)
    np.testing.assert_array_equal(data, weight.tensor.detach().cpu().numpy())
    np.testing.assert_array_equal(diff, weight.grad.cpu().numpy())
    data[...] = 0
    solver.net.forward()
    assert not weight.tensor.any()


@pytest.mark.parametrize(("first", "then"), [(GPU, {}), ({}, GPU)], ids=["to CPU", "to GPU"])
def test_snapshots_go_from_device_to_device(
    here: Path, first: dict[str, str], then: dict[str, str]
) -> None:
    path = write_run(here)
    solver = Solver(path, net_options=first)
    solver.step(5)
    resumed = Solver(path, net_options=then, listeners=[told := Told()])
    resumed.restore("run_iter_5.solverstate")
    for name, want in blobs(solver).items():
        np.testing.assert_array_equal(blobs(resumed)[name], want, err_msg=name)
    place = "a GPU" if first else "the CPU"
    assert told.notices == [
        f"the snapshot was made on {place}: here, dropout and stochastic rounding draw other"
        " numbers"
    ]
    resumed.step(2)
    assert resumed.iter == 7


def test_a_snapshot_of_other_processes(here: Path) -> None:
    path = write_run(here)
    Solver(path).step(5)
    sidecar = Path("run_iter_5.solverstate.json")
    sidecar.write_text(sidecar.read_text().replace('"ranks": []', '"ranks": [{}, {}]'))
    Solver(path, listeners=[told := Told()]).restore("run_iter_5.solverstate")
    assert told.notices == [
        "the snapshot is of a run in 3 processes, this one has 1: batches and random numbers are"
        " others"
    ]
