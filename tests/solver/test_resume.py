"""Snapshots: what is written, that resuming is exact, and what is told when files do not fit."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from adaption.errors import AdaptionError
from adaption.io.caffemodel import read_weights
from adaption.io.solverstate import SolverState, read_state, write_state
from adaption.io.weights import WeightBlob
from adaption.proto import caffe_pb2
from adaption.solver import Listener, Output, Solver
from tests.solver.runs import write_run


class Told(Listener):
    """Keeps notices, displayed losses and test results."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.losses: dict[int, float] = {}
        self.tests: dict[int, list[float]] = {}

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def trained(self, iteration: int, loss: float, outputs: Sequence[Output]) -> None:
        self.losses[iteration] = loss

    def tested(
        self, iteration: int, test_net: int, outputs: Sequence[Output], loss: float | None
    ) -> None:
        self.tests[iteration] = [o.value for o in outputs]


def blobs(solver: Solver) -> dict[str, Any]:
    params = solver.net.params.items()
    return {f"{n}.{i}": b.data.copy() for n, bs in params for i, b in enumerate(bs)}


@pytest.mark.parametrize("rounding", ["", "DETERMINISTIC", "STOCHASTIC"])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("file_format", ["BINARYPROTO", "HDF5"])
def test_resume_is_bit_equal(here: Path, rounding: str, kind: str, file_format: str) -> None:
    """Data order, shuffles, dropout, stochastic rounding, statistics, displayed losses, tests."""
    lines = f'type: "{kind}" snapshot_format: {file_format}'
    path = write_run(here, rounding=rounding, solver=lines)
    whole, again = Told(), Told()
    solver = Solver(path, listeners=[whole])
    solver.solve()
    resumed = Solver(path, listeners=[again])
    resumed.solve(f"run_iter_5.solverstate{'.h5' if file_format == 'HDF5' else ''}")
    assert resumed.iter == 20
    for name, want in blobs(solver).items():
        np.testing.assert_array_equal(blobs(resumed)[name], want, err_msg=name)
    for have, want in zip(resumed.history, solver.history, strict=True):
        np.testing.assert_array_equal(have.numpy(), want.numpy())
    assert again.losses == {k: v for k, v in whole.losses.items() if k >= 5}
    assert again.tests == {k: v for k, v in whole.tests.items() if k >= 5}
    assert not [t for t in again.notices if "batch norm lag" not in t]


def test_without_sidecar_data_start_anew(here: Path) -> None:
    path = write_run(here)
    Solver(path).solve()
    Path("run_iter_5.solverstate.json").unlink()
    told = Told()
    resumed = Solver(path, listeners=[told])
    resumed.restore("run_iter_5.solverstate")
    assert resumed.iter == 5
    assert told.notices == [
        "run_iter_5.solverstate has no sidecar: data and random numbers start anew, as with Caffe's"
        " own snapshots"
    ]


def test_original_starts_its_data_anew(here: Path) -> None:
    """The recorded continuation of sgd_iter_size2, where our own snapshot lies beside it."""
    path = write_run(here)
    Solver(path, original_semantics=True).solve()
    first = Solver(path, original_semantics=True)
    told = Told()
    resumed = Solver(path, original_semantics=True, listeners=[told])
    resumed.restore("run_iter_5.solverstate")
    assert "is resumed with the original's semantics" in told.notices[0]
    first.step(1)
    resumed.step(1)
    np.testing.assert_array_equal(resumed.net.blobs["data"].data, first.net.blobs["data"].data)


def test_foreign_sidecar_is_not_used(here: Path) -> None:
    path = write_run(here)
    Solver(path).solve()
    other = Path("run_iter_10.solverstate.json").read_text()
    Path("run_iter_5.solverstate.json").write_text(other)
    told = Told()
    Solver(path, listeners=[told]).restore("run_iter_5.solverstate")
    assert "has a sidecar of another snapshot" in told.notices[0]


def test_changed_settings_are_told(here: Path) -> None:
    path = write_run(here)
    Solver(path).solve()
    text = path.read_text()
    path.write_text(text.replace("base_lr: 0.05", "base_lr: 0.01") + 'type: "Nesterov"')
    told = Told()
    Solver(path, listeners=[told]).restore("run_iter_5.solverstate")
    assert [t.split(" when")[0] for t in told.notices] == [
        "type was SGD",
        "base_lr was 0.05000000074505806",
    ]


def test_state_of_another_solver_type(here: Path) -> None:
    path = write_run(here)
    Solver(path).solve()
    path.write_text(path.read_text() + 'type: "Adam"')
    with pytest.raises(AdaptionError) as caught:
        Solver(path).restore("run_iter_5.solverstate")
    assert str(caught.value) == (
        "run_iter_5.solverstate: the state holds 7 history blobs, Adam needs 14 for the 7"
        " parameters of this net\n  fix: the state is of another solver type (SGD, Nesterov,"
        " AdaGrad, RMSProp); resume with the solver and the net that wrote this state"
    )


def test_caffemodel_given_as_snapshot(here: Path) -> None:
    path = write_run(here)
    Solver(path).solve()
    with pytest.raises(AdaptionError) as caught:
        Solver(path).restore("run_iter_5.caffemodel")
    assert str(caught.value) == (
        "run_iter_5.caffemodel: this is a caffemodel, not a solver state\n"
        "  fix: give the .solverstate or .solverstate.h5 that training wrote beside it; a"
        " caffemodel goes to --weights"
    )


def test_missing_caffemodel(here: Path) -> None:
    path = write_run(here)
    Solver(path).solve()
    Path("run_iter_5.caffemodel").unlink()
    with pytest.raises(AdaptionError, match=r"caffemodel 'run_iter_5.caffemodel' does not exist"):
        Solver(path).restore("run_iter_5.solverstate")


def test_moved_run(here: Path) -> None:
    """The state names its caffemodel by the path it was written to."""
    path = write_run(here)
    Solver(path).solve()
    elsewhere = here / "moved"
    elsewhere.mkdir()
    for name in ("run_iter_5.solverstate", "run_iter_5.solverstate.json", "run_iter_5.caffemodel"):
        Path(name).rename(elsewhere / name)
    told = Told()
    solver = Solver(path, listeners=[told])
    solver.restore(elsewhere / "run_iter_5.solverstate")
    assert solver.iter == 5
    assert told.notices == [
        f"run_iter_5.caffemodel is not there: taking {elsewhere / 'run_iter_5.caffemodel'}"
    ]


def test_snapshot_order_leaves_a_whole_snapshot(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files appear together: a run that dies before leaves the snapshot before it usable."""
    path = write_run(here)
    solver = Solver(path)
    solver.step(5)

    def dies(*_: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("adaption.solver.snapshot.write_state", dies)
    with pytest.raises(OSError, match="power cut"):
        solver.step(5)
    assert not list(Path().glob("run_iter_10*"))
    again = Solver(path)
    again.restore("run_iter_5.solverstate")
    assert again.iter == 5


@pytest.mark.parametrize("file_format", ["BINARYPROTO", "HDF5"])
def test_snapshot_diff(here: Path, file_format: str) -> None:
    """The diffs are the last updates, as Caffe leaves them."""
    path = write_run(here, solver=f"snapshot_diff: true snapshot_format: {file_format}")
    solver = Solver(path)
    solver.step(5)
    want = {n: [b.diff.copy() for b in bs] for n, bs in solver.net.params.items()}
    if file_format == "HDF5":
        with h5py.File("run_iter_5.caffemodel.h5") as file:
            for name, diffs in want.items():
                for i, diff in enumerate(diffs):
                    np.testing.assert_array_equal(file[f"diff/{name}/{i}"][()], diff)
        read_weights("run_iter_5.caffemodel.h5")
        return
    net = caffe_pb2.NetParameter()
    net.ParseFromString(Path("run_iter_5.caffemodel").read_bytes())
    for layer in net.layer:
        for blob, diff in zip(layer.blobs, want.get(layer.name, []), strict=True):
            np.testing.assert_array_equal(np.array(blob.diff, np.float32), diff.ravel())


def test_rounded_blobs_in_snapshots_are_fresh(here: Path) -> None:
    path = write_run(here, rounding="DETERMINISTIC")
    Solver(path).step(5)
    for layer in read_weights("run_iter_5.caffemodel"):
        if layer.name in ("conv", "ip"):
            weight, rounded = (b.array() for b in layer.blobs[:2])
            want = np.clip(
                np.trunc(weight * 128 + np.copysign(0.5, weight)) / 128, -127 / 128, 127 / 128
            )
            np.testing.assert_array_equal(rounded, want)


@pytest.mark.parametrize("name", ["a.solverstate", "a.solverstate.h5"])
def test_state_round_trip(tmp_path: Path, name: str) -> None:
    history = [WeightBlob.of(np.arange(6, dtype=np.float32).reshape(2, 3)), WeightBlob.of([1.5])]
    write_state(tmp_path / name, SolverState(7, "a.caffemodel", history, 2))
    back = read_state(tmp_path / name)
    assert (back.iter, back.learned_net, back.current_step) == (7, "a.caffemodel", 2)
    for have, want in zip(back.history, history, strict=True):
        np.testing.assert_array_equal(have.array(), want.array())


def test_damaged_sidecar(here: Path) -> None:
    path = write_run(here)
    Solver(path).solve()
    sidecar = Path("run_iter_5.solverstate.json")
    state = json.loads(sidecar.read_text())
    state["nets"][0]["generator"] = "AAAA"
    sidecar.write_text(json.dumps(state))
    with pytest.raises(AdaptionError, match=r"run_iter_5.solverstate.json: is damaged"):
        Solver(path).restore("run_iter_5.solverstate")


RECIPE = """
net_param {
  layer { name: "d" type: "DummyData" top: "x" top: "t"
    dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 2 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
    inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
  layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" }
}
base_lr: 0.1 lr_policy: "fixed" max_iter: 3 snapshot_prefix: "a" random_seed: 1
precision_policy { type: "ADAPT"
  adapt_param { lookback_min: 2 lookback_max: 3 resolution_min: 3 resolution_max: 9 } }
"""
ODD = ("x", None, [], -1, {"a": []}, 1e999, "../x")


def test_values_of_another_type_in_the_sidecar_of_a_recipe(here: Path) -> None:
    """Each ended in a traceback of its own: KeyError, BadZipFile, OverflowError and others."""
    Path("solver.prototxt").write_text(RECIPE)
    Solver("solver.prototxt").solve()
    sidecar = Path("a_iter_3.solverstate.json")
    whole = json.loads(sidecar.read_text())
    solver = Solver("solver.prototxt")
    solver.restore("a_iter_3.solverstate")
    refused = 0
    for place in ("draw_seed", "plan", "backward_weights", "policy", "tensors"):
        for inner in (None, *(whole["precision"][place] if place in ("policy", "tensors") else ())):
            for value in ODD:
                state = copy.deepcopy(whole)
                if inner is None:
                    state["precision"][place] = value
                else:
                    state["precision"][place][inner] = value
                sidecar.write_text(json.dumps(state))
                try:
                    solver.restore("a_iter_3.solverstate")
                except AdaptionError as error:
                    assert str(error).count("\n") <= 1
                    refused += 1
    assert refused > 40


def test_tensors_that_are_no_archive(here: Path) -> None:
    """Also where the checksum is theirs."""
    Path("solver.prototxt").write_text(RECIPE)
    Solver("solver.prototxt").solve()
    sidecar = Path("a_iter_3.solverstate.json")
    state = json.loads(sidecar.read_text())
    tensors = Path(state["precision"]["tensors"]["file"])
    tensors.write_bytes(content := b"PK no archive")
    state["precision"]["tensors"]["crc32"] = zlib.crc32(content)
    sidecar.write_text(json.dumps(state))
    with pytest.raises(AdaptionError, match=r"tensors.npz: "):
        Solver("solver.prototxt").restore("a_iter_3.solverstate")
