"""Every solver type against ten iterations of the original, and resuming from its snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaption.io.solverstate import read_state
from adaption.proto import caffe_pb2
from adaption.solver import Listener, Output, Solver
from tests.golden_cases import SHARED, Case, compare
from tests.solver.conftest import Copy

FOLDER = SHARED / "golden" / "solvers"
NAMES = sorted(p.name.removesuffix(".solver.prototxt") for p in FOLDER.glob("*.solver.prototxt"))
NAMES = NAMES or ["missing"]


class Heard(Listener):
    """Keeps what is displayed."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rates: list[float] = []

    def trained(self, iteration: int, loss: float, outputs: Sequence[Output]) -> None:
        self.losses.append(loss)

    def rate(self, iteration: int, rate: float) -> None:
        self.rates.append(rate)


def start(case: Case, *listeners: Listener, device: str = "cpu") -> Solver:
    return Solver(
        f"{case.name}.solver.prototxt",
        original_semantics=True,
        listeners=listeners,
        net_options={"device": device},
    )


def feed(solver: Solver, case: Case, iteration: int) -> None:
    for blob, values in case.group(f"data.{iteration}").items():
        solver.net.blobs[blob].data[...] = values


def check(solver: Solver, want: Mapping[str, Any], what: str) -> None:
    for name, values in want.items():
        layer, _, index = name.rpartition(".")
        compare(f"{what}.{name}", solver.net.params[layer][int(index)].data, values)


@pytest.mark.parametrize("name", NAMES)
def test_trajectory(name: str, suite: Copy) -> None:
    check_trajectory(Case(suite("solvers") / f"{name}.prototxt"))


def check_trajectory(case: Case, device: str = "cpu") -> None:
    heard = Heard()
    solver = start(case, heard, device=device)
    for blob, values in case.group("param").items():
        layer, _, index = blob.rpartition(".")
        solver.net.params[layer][int(index)].data[...] = values
    if case.name == "sgd_average_loss":  # recorded in one go, so that the mean runs over iterations
        solver.step(10)
        check(solver, case.group("param_after.9"), "after 9")
    else:
        for k in range(case.meta["iters"]):
            feed(solver, case, k)
            solver.step(1)
            compare(f"loss {k}", solver.net.blobs["loss"].data, case.arrays["loss"][k])
            check(solver, case.group(f"param_after.{k}"), f"after {k}")
    # Printed with six digits, and the losses above are held to 1e-4.
    np.testing.assert_allclose(heard.losses, case.arrays["loss_reported"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(heard.rates, case.arrays["lr_reported"], rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_resume(name: str, suite: Copy) -> None:
    """From the original's own files; without a sidecar its data readers start anew."""
    case = Case(suite("solvers") / f"{name}.prototxt")
    if case.meta["resume_exact"] is None:
        pytest.skip("recorded without a continuation")
    solver = start(case)
    solver.restore(state_file(case))
    kind = "param_after" if case.meta["resume_exact"] else "resume_after"
    for k in range(5, case.meta["iters"]):
        feed(solver, case, k)
        solver.step(1)
        check(solver, case.group(f"{kind}.{k}"), f"after {k}")


@pytest.mark.parametrize("name", NAMES)
def test_snapshot_equals_the_original_s(name: str, suite: Copy) -> None:
    """Restored, then saved at once: the same messages as the original wrote."""
    case = Case(suite("solvers") / f"{name}.prototxt")
    path = state_file(case)
    want = read_state(path)
    theirs = {p.name: p.read_bytes() for p in Path().glob(f"{name}_iter_5.*")}
    solver = start(case)
    solver.restore(path)
    files = solver.snapshot()
    assert {files.state.name, files.weights.name} == set(theirs)
    got = read_state(files.state)
    assert (got.iter, got.current_step, got.learned_net) == (
        want.iter,
        want.current_step,
        want.learned_net,
    )
    for ours, original in zip(got.history, want.history, strict=True):
        np.testing.assert_array_equal(ours.array(), original.array())
    if path.suffix == ".h5":
        return
    ours_net, original_net = caffe_pb2.NetParameter(), caffe_pb2.NetParameter()
    ours_net.ParseFromString(files.weights.read_bytes())
    original_net.ParseFromString(theirs[files.weights.name])
    assert [(i.name, i.type, list(i.bottom), list(i.top)) for i in ours_net.layer] == [
        (i.name, i.type, list(i.bottom), list(i.top)) for i in original_net.layer
    ]
    for ours_layer, layer in zip(ours_net.layer, original_net.layer, strict=True):
        assert list(ours_layer.blobs) == list(layer.blobs), layer.name
    state = caffe_pb2.SolverState()
    state.ParseFromString(files.state.read_bytes())
    original = caffe_pb2.SolverState()
    original.ParseFromString(theirs[files.state.name])
    assert state == original


def state_file(case: Case) -> Path:
    return next(Path().glob(f"{case.name}_iter_5.solverstate*"))
