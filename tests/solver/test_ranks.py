"""Several processes train as one does: the gradients' mean, the first one's files, and their end.

The processes here compute on the CPU and talk over gloo. One pair does all runs that end well,
since starting a process takes longer than the runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import torch

from adaption.errors import DataError, RankError, UsageError
from adaption.io.caffemodel import read_weights
from adaption.proto import caffe_pb2
from adaption.solver import Listener, Solver, train
from adaption.solver.distributed import place, processes
from adaption.solver.precision_state import plan_rows
from adaption.solver.ranks import BUCKET_BYTES, Ranks, _buckets

RECORDS = 21  # odd, so that a record goes to another process in every pass over the data
NET = """
name: "ranks"
layer {{
  name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "db" backend: LMDB batch_size: {batch} }}
  transform_param {{ scale: 0.01 {transform} }}
}}
layer {{
  name: "conv" type: "LPConvolution" bottom: "data" top: "conv"
  param {{ lr_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }}
  lpfp_param {{ bd: 2 ad: 10 rounding_scheme: {rounding} }}
}}
{batch_norm}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
{dropout}
layer {{
  name: "ip" type: "LPInnerProduct" bottom: "conv" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }}
  lpfp_param {{ bd: 2 ad: 10 rounding_scheme: {rounding} }}
}}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
RANDOM = {
    "transform": "mirror: true crop_size: 5",
    "rounding": "STOCHASTIC",
    "batch_norm": 'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }',
    "dropout": 'layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }',
}
SOLVER = """
net: "{name}.prototxt" test_iter: 2 test_interval: 3
base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 clip_gradients: 4 iter_size: 2
max_iter: 6 display: 1 snapshot: 3 snapshot_prefix: "{name}" random_seed: 4
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an LMDB of images of 1 x 6 x 6, nets and their solvers."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    with lmdb.open("db", map_size=1 << 20) as env, env.begin(write=True) as transaction:
        for i in range(RECORDS):
            label = int(rng.integers(3))
            image = rng.integers(0, 80, (1, 6, 6)) + 60 * label
            datum = caffe_pb2.Datum(
                channels=1, height=6, width=6, data=image.astype(np.uint8).tobytes(), label=label
            )
            transaction.put(f"{i:05}".encode(), datum.SerializeToString())
    exact = {"transform": "", "rounding": "DETERMINISTIC", "batch_norm": "", "dropout": ""}
    for name, batch, how in (
        ("whole", 8, exact),
        ("halves", 4, exact),
        ("random", 4, RANDOM),
        ("stopped", 4, exact),
        ("adapts", 4, RANDOM),
    ):
        Path(f"{name}.prototxt").write_text(NET.format(batch=batch, **how))
        Path(f"{name}_solver.prototxt").write_text(SOLVER.format(name=name))
    text = Path("adapts.prototxt").read_text().replace('type: "LP', 'type: "')
    Path("adapts.prototxt").write_text(text)
    with Path("adapts_solver.prototxt").open("a") as solver:
        solver.write('precision_policy { type: "ADAPT" adapt_param { lookback_min: 2'
                     " lookback_max: 3 resolution_min: 3 resolution_max: 9 } }")  # fmt: skip
    return tmp_path


class Losses(Listener):
    def __init__(self) -> None:
        self.heard: list[float] = []
        self.files: list[str] = []

    def trained(self, iteration: int, loss: float, outputs: Any) -> None:
        self.heard.append(loss)

    def snapshotting(self, path: str, what: str, file_format: str) -> None:
        self.files.append(path)


def blobs(solver: Solver) -> list[np.ndarray[Any, Any]]:
    return [b.data.copy() for bs in solver.net.params.values() for b in bs]


def masters(solver: Solver) -> list[Any]:
    """What is learned; statistics of batch norm are each process's own."""
    return [param.blob.data.tolist() for param in solver.params if param.kind]


def all_runs(ranks: Ranks, device: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What each process does: a run, a random run, its second half again, and one that stops."""
    halves = Solver("halves_solver.prototxt", ranks=ranks, listeners=[told := Losses()])
    halves.solve()
    first = Solver("random_solver.prototxt", ranks=ranks, listeners=[whole := Losses()])
    first.solve()
    again = Solver("random_solver.prototxt", ranks=ranks, listeners=[part := Losses()])
    again.solve("random_iter_3.solverstate")
    adapts = Solver("adapts_solver.prototxt", ranks=ranks)
    adapts.solve()
    resumed = Solver("adapts_solver.prototxt", ranks=ranks)
    resumed.solve("adapts_iter_3.solverstate")
    stopped = Solver("stopped_solver.prototxt", ranks=ranks)
    # The second process alone is interrupted; SIGINT reaches it first, say.
    stopped.action = lambda: "stop" if ranks.rank == 1 and stopped.iter == 2 else None
    stopped.solve()
    seen = {
        "weights": ranks.from_each([b.tolist() for b in blobs(halves)]),
        "stopped": ranks.from_each([stopped.iter, stopped.stops]),
        "draws": ranks.from_each(first.net.generator.get_state().tolist()),
        "test nets": ranks.from_each(len(first.test_nets)),
        "heard": ranks.from_each(told.heard),
        "plans": ranks.from_each(plan_rows(adapts.net)),
        "adapted": ranks.from_each(masters(adapts)),
        "adapted again": ranks.from_each(masters(resumed)),
    }
    return {**seen, "halves": halves, "first": first, "again": again, "told": (whole, part)}


def test_two_processes(here: Path) -> None:
    one = Losses()
    limits: list[float] = []
    one.clipped = lambda norm, limit, factor: limits.append(factor)  # type: ignore[method-assign]
    whole = Solver("whole_solver.prototxt", listeners=[one])
    whole.solve()
    with processes(["cpu", "cpu"], all_runs, {}) as (ranks, device):
        assert (ranks.rank, ranks.count, device) == (0, 2, "cpu")
        seen = all_runs(ranks, device, {})

    # The same trajectory as one process with the same global batch, but for the order of sums.
    for mine, want in zip(blobs(seen["halves"]), blobs(whole), strict=True):
        np.testing.assert_allclose(mine, want, rtol=1e-4, atol=1e-6)
    for mine, want in zip(seen["halves"].history, whole.history, strict=True):
        np.testing.assert_allclose(mine.numpy(), want.numpy(), rtol=1e-4, atol=1e-6)
    assert 0 < len(limits) < 6  # some gradients are clipped, some not
    moved = max(float(np.abs(w).max()) for w in (h.numpy() for h in whole.history))
    assert moved > 1e-3  # there was something to compare
    # All processes hold the same weights, to the bit.
    assert seen["weights"][0] == seen["weights"][1]
    # The first alone logs and tests; each draws numbers of its own.
    assert len(seen["heard"][0]) >= 6
    assert seen["heard"][1] == []
    assert seen["test nets"] == [1, 0]
    assert seen["draws"][0] != seen["draws"][1]
    # Going on from a snapshot is exact: shares of the data, dropout, rounding, momentum.
    for mine, want in zip(blobs(seen["again"]), blobs(seen["first"]), strict=True):
        np.testing.assert_array_equal(mine, want)
    for mine, want in zip(seen["again"].history, seen["first"].history, strict=True):
        np.testing.assert_array_equal(mine.numpy(), want.numpy())
    told, part = seen["told"]
    assert part.heard == told.heard[3:]
    # A recipe decides alike in all processes, draws weights alike, and goes on from a snapshot.
    assert seen["plans"][0] == seen["plans"][1]
    assert any(row["format"]["word_length"] != 8 for row in seen["plans"][0])
    assert seen["adapted"][0] == seen["adapted"][1]
    assert seen["adapted again"] == seen["adapted"]
    # An interrupt of one stops both, with a snapshot.
    assert seen["stopped"] == [[2, True], [2, True]]
    assert Path("stopped_iter_2.solverstate").exists()
    assert torch.get_num_threads() >= 1 and not torch.distributed.is_initialized()


class Second(Ranks):
    """A second process that has nobody to talk to."""

    rank, count = 1, 2


def test_only_the_first_writes(here: Path) -> None:
    solver = Solver("halves_solver.prototxt", ranks=Second(), listeners=[told := Losses()])
    solver.step(3)
    assert solver.snapshot().state == Path("halves_iter_3.solverstate")
    assert not list(here.glob("halves_iter_*"))
    assert not told.files
    assert not solver.test_nets


def test_seeds_differ_by_rank(here: Path) -> None:
    """Caffe: Solver::Init; weights are made equal by the first process's."""
    seeds = [
        Solver("halves_solver.prototxt", ranks=ranks).net.host_generator.initial_seed()
        for ranks in (Ranks(), Second())
    ]
    assert seeds == [4, 5]


def fails(ranks: Ranks, device: str, arguments: dict[str, Any]) -> None:
    solver = Solver("halves_solver.prototxt", ranks=ranks)

    def end() -> None:
        if ranks.rank == 1 and solver.iter == 2:
            if arguments["how"] == "dies":
                os._exit(9)
            raise DataError("the disk is gone", file="db")

    solver.action = end  # type: ignore[assignment]
    solver.solve()


def test_a_process_that_dies_ends_the_others(here: Path) -> None:
    arguments = {"how": "dies"}
    with (
        pytest.raises(RankError) as caught,
        processes(["cpu", "cpu"], fails, arguments) as (ranks, device),
    ):
        fails(ranks, device, arguments)
    assert "another of the 2 training processes has ended or does not answer" in str(caught.value)
    assert caught.value.fix == "see what that process said; go on from the last snapshot"


@pytest.mark.slow
def test_the_error_of_another_process_is_the_one_that_is_told(here: Path) -> None:
    arguments = {"how": "raises"}
    with (
        pytest.raises(DataError) as caught,
        processes(["cpu", "cpu"], fails, arguments) as (ranks, device),
    ):
        fails(ranks, device, arguments)
    assert str(caught.value) == "db: process 1 of 2: the disk is gone"


def test_buckets() -> None:
    tensors = [torch.empty(n) for n in (1, BUCKET_BYTES // 8, BUCKET_BYTES // 4, 3, 4)]
    assert [[t.numel() for t in bucket] for bucket in _buckets(tensors)] == [
        [1, BUCKET_BYTES // 8],
        [BUCKET_BYTES // 4],
        [3, 4],
    ]
    assert not list(_buckets([]))


def torchrun(*flags: str) -> subprocess.CompletedProcess[str]:
    """Two processes of `adaption train`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["-m", "adaption", "train", "--solver=halves_solver.prototxt", *flags]
    path = os.pathsep.join(p for p in sys.path if p)
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_torchrun(here: Path) -> None:
    """The first process alone speaks, and the weights are those of the other ways."""
    ran = torchrun("--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["iter"] == 6
    first = read_weights("halves_iter_6.caffemodel")
    result = train("halves_solver.prototxt", devices=["cpu", "cpu"])
    assert result.iter == 6
    for mine, want in zip(
        first.layers, read_weights("halves_iter_6.caffemodel").layers, strict=True
    ):
        for one, other in zip(mine.blobs, want.blobs, strict=True):
            np.testing.assert_array_equal(one.array(), other.array())
    logged = torchrun().stderr
    assert logged.count("Starting Optimization") == logged.count("Optimization Done.") / 2 == 1


@pytest.mark.slow
def test_torchrun_with_bad_input(here: Path) -> None:
    ran = torchrun("--snapshot=nothing.solverstate")
    assert ran.returncode != 0
    assert "adaption train: nothing.solverstate: process 0 of 2: no such file" in ran.stderr


def test_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert place() == (0, 1)
    monkeypatch.setenv("RANK", "1")
    assert place() == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert place() == (1, 4)
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(UsageError) as caught:
        place()
    assert str(caught.value) == (
        "RANK is '4' and WORLD_SIZE '4'\n  fix: start the processes with torchrun, or unset both"
    )


def test_processes_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError) as caught, processes([], fails, {}):
        pass
    assert str(caught.value) == (
        "RANK and WORLD_SIZE are set, MASTER_ADDR and MASTER_PORT not\n"
        "  fix: start the processes with torchrun"
    )


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError) as caught, processes(["cuda:0"], fails, {}):
        pass
    assert str(caught.value) == (
        "process 1 of this machine has no device: cuda:0\n"
        "  fix: give torchrun --nproc-per-node the number of GPUs, and all of them with --gpu"
    )
