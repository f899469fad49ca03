"""train: a whole run of a solver prototxt, as `caffe train` does it. Caffe: tools/caffe.cpp."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from adaption import glog
from adaption.errors import UsageError
from adaption.net.device import as_device
from adaption.proto import caffe_pb2
from adaption.solver.interrupt import Requests
from adaption.solver.listener import Listener, Output
from adaption.solver.log import CaffeLog, JsonLog
from adaption.solver.settings import SolverFile, read_solver
from adaption.solver.solver import Solver

__all__ = ["TrainResult", "train"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    iter: iterations done. stopped: ended before max_iter, by a signal. loss: the smoothed training
    loss last displayed. tests: for each test net the outputs of its last test, by name.
    snapshot: the last solver state that was written.
    """

    iter: int
    stopped: bool
    loss: float | None
    tests: tuple[dict[str, float], ...]
    snapshot: Path | None

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        snapshot = None if self.snapshot is None else os.fspath(self.snapshot)
        return {**vars(self), "tests": list(self.tests), "snapshot": snapshot}


class _Last(Listener):
    """Remembers what was told last."""

    def __init__(self) -> None:
        self.loss: float | None = None
        self.tests: dict[int, dict[str, float]] = {}
        self.state: Path | None = None

    def trained(self, iteration: int, loss: float, outputs: Sequence[Output]) -> None:
        self.loss = loss

    def final_loss(self, iteration: int, loss: float) -> None:
        self.loss = loss

    def tested(
        self, iteration: int, test_net: int, outputs: Sequence[Output], loss: float | None
    ) -> None:
        self.tests[test_net] = {o.name: o.value for o in outputs}

    def snapshotting(self, path: str, what: str, file_format: str) -> None:
        if what == "state":
            self.state = Path(path)


def train(
    solver: PathLike | caffe_pb2.SolverParameter | SolverFile,
    *,
    weights: PathLike | Sequence[PathLike] | None = None,
    snapshot: PathLike | None = None,
    iterations: int | None = None,
    level: int | None = None,
    stages: Sequence[str] = (),
    sigint_effect: str = "stop",
    sighup_effect: str = "snapshot",
    seed: int | None = None,
    original_semantics: bool = False,
    net_options: dict[str, Any] | None = None,
    log: glog.Log = glog.silent,
    log_json: PathLike | None = None,
    listeners: Sequence[Listener] = (),
) -> TrainResult:
    """Train to the solver's max_iter, testing and writing snapshots on the way.

    Args:
        solver: solver prototxt.
        weights: caffemodels to start from; or
        snapshot: a .solverstate to resume from, not both.
        iterations: train up to this iteration instead of max_iter.
        level, stages: added to the train net's state.
        sigint_effect, sighup_effect: "stop" (with a snapshot), "snapshot" or "none".
        seed: of all random numbers; default: the solver's random_seed.
        original_semantics: reproduce the original ADaPTION where its behaviour is a defect.
        net_options: further keywords of Net (dialect, python_modules, device). Without a device
            the solver's solver_mode and device_id count, where torch finds a GPU.
        log: takes Caffe's log lines, e.g. adaption.glog.info.
        log_json: file that gets one JSON object per event; appended to when resuming.
        listeners: further listeners.
    Raises: AdaptionError on bad input, before anything is written.
    """
    if weights is not None and snapshot is not None:
        raise UsageError(
            "weights and a snapshot are given",
            "give --snapshot to resume a run, or --weights to start a new one from a caffemodel",
        )
    definition = read_solver(solver)
    if iterations is not None:
        if iterations < 1:
            raise UsageError(f"iterations is {iterations}", "allowed: 1 or more")
        definition.message.max_iter = iterations
    if level is not None:
        definition.message.train_state.level = level
    definition.message.train_state.stage.extend(stages)
    requests = Requests(sigint_effect, sighup_effect)
    options = dict(net_options or {})
    options["device"] = _device(definition.message, options.get("device"), log)
    last = _Last()
    with ExitStack() as stack:
        told = [CaffeLog(log, estimate=definition.message.estimate), last, *listeners]
        if log_json is not None:
            told.append(
                JsonLog(stack.enter_context(_opened(log_json, append=snapshot is not None)))
            )
        run = Solver(
            definition,
            weights,
            original_semantics=original_semantics,
            seed=seed,
            net_options=options,
            listeners=told,
            action=requests.take,
        )
        stack.enter_context(requests.listening())
        if snapshot is not None:
            run.restore(snapshot)
        log("caffe.cpp:251", "Starting Optimization")
        run.solve()
        if not run.stops:
            log("caffe.cpp:254", "Optimization Done.")
    tests = tuple(last.tests[i] for i in sorted(last.tests))
    return TrainResult(run.iter, run.stops, last.loss, tests, last.state)


def _device(
    p: caffe_pb2.SolverParameter, given: str | torch.device | None, log: glog.Log
) -> torch.device:
    """The device that the caller gives, else the one that solver_mode and device_id ask for."""
    if given is None and p.solver_mode == caffe_pb2.SolverParameter.GPU:
        if torch.cuda.is_available():
            given = f"cuda:{p.device_id}"
        elif p.HasField("solver_mode"):
            log("caffe.cpp:203", "solver_mode is GPU, but torch finds no CUDA device.")
    device = as_device("cpu" if given is None else given)
    if device.type == "cpu":
        log("caffe.cpp:210", "Use CPU.")
    else:
        log("caffe.cpp:218", f"Using GPUs {device.index}")
        log("caffe.cpp:223", f"GPU {device.index}: {torch.cuda.get_device_name(device)}")
    return device


def _opened(path: PathLike, *, append: bool) -> TextIO:
    try:
        return Path(path).open("a" if append else "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", "give --log-json another path", file=path
        ) from None
