"""train: a whole run of a solver prototxt, as `caffe train` does it. Caffe: tools/caffe.cpp."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from adaption.errors import UsageError
from adaption.glog import Log, silent
from adaption.io.limits import Size, within_limit
from adaption.io.outputs import keep_inputs
from adaption.io.text import SHOWN
from adaption.net.device import as_device
from adaption.options.checks import Whole
from adaption.proto import caffe_pb2
from adaption.recipes import Recipe
from adaption.solver.alarms import Alarms
from adaption.solver.distributed import place, processes
from adaption.solver.interrupt import Requests
from adaption.solver.listener import Listener, Output
from adaption.solver.log import CaffeLog, JsonLog
from adaption.solver.ranks import Ranks
from adaption.solver.rounding import RoundingShares
from adaption.solver.settings import SolverFile, read_solver
from adaption.solver.solver import Solver
from adaption.solver.teacher import Teacher

__all__ = ["TrainResult", "train"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    iter: iterations done. stopped: ended before max_iter, by a signal. loss: the smoothed training
    loss last displayed. tests: for each test net the outputs of its last test, by name.
    snapshot: the last solver state that was written. performance: what a recipe's model has told
    last, None without one. diverged: what ended the run with `stop_on_nan`.
    """

    iter: int
    stopped: bool
    loss: float | None
    tests: tuple[dict[str, float], ...]
    snapshot: Path | None
    performance: dict[str, Any] | None = None
    diverged: str | None = None

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
        self.performance: dict[str, Any] | None = None

    def recipe(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "performance":
            self.performance = dict(event)

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


@within_limit
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
    devices: Sequence[str] = (),
    net_options: dict[str, Any] | None = None,
    policy: Recipe[Any] | None = None,
    strict: bool = False,
    stop_on_nan: bool = False,
    reestimate_batch_norm: int = 0,
    teacher: Teacher | tuple[PathLike, PathLike] | None = None,
    memory_limit: Size | None = None,
    log: Log = silent,
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
        devices: "cpu" or GPUs ("cuda:0"); without any, the solver's solver_mode and device_id
            count, where torch finds a GPU. Of several, each trains on its share of the data in a
            process of its own, and gradients are averaged; batch sizes are per process. Under
            torchrun they are those of one machine, and each process takes its own.
        net_options: further keywords of Net (dialect, python_modules).
        policy: a recipe that acts while the net trains; default: the solver's precision_policy.
        strict: what the recipe warns of is an error.
        stop_on_nan: end the run, without a snapshot, when a displayed loss or output is NaN or
            infinite. That such is met is told in any case, as are formats that saturate.
        reestimate_batch_norm: at the end, compute the statistics of batch norm anew from so many
            batches of the train net; without it a notice says where they lag behind the weights.
        teacher: a trained net (prototxt, caffemodel) whose class scores share in the loss, as a
            rule the float net; Teacher says with which weight and temperature.
        memory_limit: the most that one array, image or blob may take, as in "8G".
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
    options = dict(net_options or {})
    given = [*devices] or ([options.pop("device")] if "device" in options else [])
    devices = _devices(definition.message, given, log)
    if stop_on_nan and not definition.message.display:
        raise UsageError(
            "stop_on_nan looks at displayed iterations, and display is 0",
            "set display in the solver",
        ).at(file=definition.file)
    read = [weights] if isinstance(weights, str | os.PathLike) else weights or []
    if isinstance(teacher, tuple):
        teacher = Teacher(*teacher)
    taught = [teacher.net, teacher.weights] if teacher else []
    keep_inputs([log_json], [definition.file, definition.message.net, snapshot, *read, *taught])
    last = _Last()
    arguments = {
        "solver": definition,
        "weights": weights,
        "snapshot": snapshot,
        "sigint_effect": sigint_effect,
        "sighup_effect": sighup_effect,
        "seed": seed,
        "original_semantics": original_semantics,
        "net_options": options,
        "policy": policy,
        "strict": strict,
        "teacher": teacher,
        "stop_on_nan": stop_on_nan,
        "reestimate": Whole("0 or more", least=0)("reestimate_batch_norm", reestimate_batch_norm),
    }
    Requests(sigint_effect, sighup_effect)  # checked before anything is started
    with ExitStack() as stack:
        ranks, device = stack.enter_context(processes(devices, _solve, arguments))
        log = log if ranks.is_first else silent
        _show_devices(devices, log)
        told = [CaffeLog(log, estimate=definition.message.estimate), last, *listeners]
        if log_json is not None and ranks.is_first:
            told.append(
                JsonLog(stack.enter_context(_opened(log_json, append=snapshot is not None)))
            )
        run, alarms = _solve(ranks, device, arguments, told, log)
    tests = tuple(last.tests[i] for i in sorted(last.tests))
    return TrainResult(
        *(run.iter, run.stops, last.loss, tests, last.state, last.performance, alarms.diverged)
    )


def _solve(
    ranks: Ranks,
    device: str,
    arguments: dict[str, Any],
    listeners: Sequence[Listener] = (),
    log: Log = silent,
) -> tuple[Solver, Alarms]:
    """One process's part of the run."""
    settings = dict(arguments)
    snapshot = settings.pop("snapshot")

    def tell(text: str) -> None:
        for listener in listeners:
            listener.notice(f"alarm: {text}")

    alarms = Alarms(tell, stop_on_nan=settings.pop("stop_on_nan"))

    def tell_rounding(iteration: int, points: Sequence[dict[str, Any]]) -> None:
        for listener in [*listeners, alarms]:
            listener.rounding(iteration, points)

    requests = Requests(settings.pop("sigint_effect"), settings.pop("sighup_effect"))
    settings["net_options"] = {**settings["net_options"], "device": device}
    run = Solver(
        **settings,
        listeners=[*listeners, alarms, RoundingShares(tell_rounding)],
        action=lambda: alarms.take() or requests.take(),
        ranks=ranks,
    )
    with requests.listening():
        if snapshot is not None:
            run.restore(snapshot)
        log("caffe.cpp:251", "Starting Optimization")
        run.solve()
        if not run.stops:
            log("caffe.cpp:254", "Optimization Done.")
    return run, alarms


def _devices(
    p: caffe_pb2.SolverParameter, given: Sequence[str | torch.device], log: Log
) -> list[str]:
    """The devices that the caller gives, else those that solver_mode and device_id ask for."""
    if not given and p.solver_mode == caffe_pb2.SolverParameter.GPU:
        if torch.cuda.is_available():
            are_many = place()[1] > 1
            numbers = range(torch.cuda.device_count()) if are_many else [p.device_id]
            given = [f"cuda:{number}" for number in numbers]
        elif p.HasField("solver_mode"):
            log("caffe.cpp:203", "solver_mode is GPU, but torch finds no CUDA device.")
    return [str(as_device(device)) for device in given or ["cpu"]]


def _show_devices(devices: Sequence[str], log: Log) -> None:
    numbers = [device.removeprefix("cuda:") for device in devices if device != "cpu"]
    if not numbers:
        log("caffe.cpp:210", "Use CPU.")
        return
    log("caffe.cpp:218", f"Using GPUs {', '.join(numbers)}")
    for number in numbers:
        name = torch.cuda.get_device_name(f"cuda:{number}")
        log("caffe.cpp:223", f"GPU {number}: {name}")


def _opened(path: PathLike, *, append: bool) -> TextIO:
    try:
        return Path(path).open("a" if append else "w", encoding="utf-8", errors=SHOWN)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", "give --log-json another path", file=path
        ) from None
