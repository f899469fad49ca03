"""Logs of a training run: Caffe's lines, and one JSON object per line for machines."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from adaption.glog import Log, info, warning
from adaption.io.kinds import is_there
from adaption.io.prototxt import debug_string
from adaption.net import Net
from adaption.net.building_log import show_building, show_definition
from adaption.solver.listener import Listener, Output
from adaption.solver.settings import NetRole, SolverFile

__all__ = ["CaffeLog", "JsonLog", "loss_text", "performance_lines", "rounding_lines"]

FEW_BITS = 7  # from here on down, a display names points
WORST, NOTABLE = 5, 0.01  # how many, and the share from which on it does


def loss_text(output: Output) -> str:
    """Caffe's ` (* 1 = 2.3 loss)` behind a loss, nothing behind other outputs."""
    if not output.loss_weight:
        return ""
    weighted = output.loss_weight * output.value
    return f" (* {output.loss_weight:g} = {weighted:g} loss)"


def performance_lines(event: Mapping[str, Any]) -> list[str]:
    """A recipe's performance event in words: against the same net in float32."""
    inference = event["speedup_inference"]
    return [
        f"Training speedup (model): {event['speedup']:.3f}, of inference"
        f" {'unbounded' if inference is None else f'{inference:.2f}'}",
        f"Model size (share of float32): {event['size_ratio']:.3f} as a mean over layers,"
        f" {event['size_ratio_weighted']:.3f} by entries; memory while training"
        f" {event['memory']:.2f}",
        "Word lengths: "
        + ", ".join(f"{row['layer']} {row['word_length']}" for row in event["layers"]),
    ]


def rounding_lines(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """What rounding took, in words: the worst points of few bits, where it took at least 1 %.

    Where words are longer, the log stays as Caffe writes it.
    """
    short = [p for p in points if p["bits"] <= FEW_BITS]
    worst = [p for p in short[:WORST] if max(p["saturated"], p["flushed"]) >= NOTABLE]
    return [
        f"Rounding of {p['layer']}:{p['kind']} to {p['q']}: {p['saturated']:.1%} saturated,"
        f" {p['flushed']:.1%} flushed to 0, {p['zero']:.1%} zeros"
        for p in worst
    ]


class CaffeLog(Listener):
    """Caffe's own lines, in its order and wording, behind glog's prefix.

    Args:
        log: writes a line; glog.info by default.
        estimate: ADaPTION's solver field: 1 tells the remaining time at each display, 2 also the
            time per iteration and how far the run is.
    """

    def __init__(self, log: Log = info, *, estimate: int = 0) -> None:
        self.log = log
        self.estimate = estimate
        self._last = self._first = self._now = 0
        self._started = 0.0
        self._performance: Mapping[str, Any] | None = None  # as a recipe has told last

    def notice(self, text: str) -> None:
        warning("solver.cpp:1", text)

    def reading(self, solver: SolverFile) -> None:
        if solver.prefix:
            self.log("upgrade_proto.cpp:1132", solver.prefix)
        text = debug_string(solver.message).rstrip("\n")
        self.log("solver.cpp:49", f"Initializing solver from parameters: \n{text}")

    def ready(self) -> None:
        self.log("solver.cpp:61", "Solver scaffolding done.")

    def loaded(self, path: str) -> None:
        self.log("caffe.cpp:155", f"Finetuning from {path}")

    def restored(self, path: str) -> None:
        self.log("caffe.cpp:242", f"Resuming from {path}")

    def building(self, role: NetRole, test_net: int | None) -> None:
        if test_net is None:
            joint = "from" if " file: " in role.source else "specified in"
            self.log("solver.cpp:92", f"Creating training net {joint} {role.source}")
        else:
            self.log(
                "solver.cpp:182", f"Creating test net (#{test_net}) specified by {role.source}"
            )
        show_definition(role.message, self.log)

    def built(self, role: NetRole, net: Net) -> None:
        show_building(net, self.log)

    def solving(self, name: str, policy: str, iteration: int, last: int) -> None:
        self.log("solver.cpp:319", f"Solving {name}")
        self.log("solver.cpp:320", f"Learning Rate Policy: {policy}")
        self._first, self._last, self._started = iteration, last, time.monotonic()

    def testing(self, iteration: int, test_net: int) -> None:
        self.log("solver.cpp:377", f"Iteration {iteration}, Testing net (#{test_net})")

    def tested(
        self, iteration: int, test_net: int, outputs: Sequence[Output], loss: float | None
    ) -> None:
        if loss is not None:
            self.log("solver.cpp:426", f"Test loss: {loss:g}")
        self._outputs("solver.cpp:444", "    Test net output", outputs)

    def test_interrupted(self) -> None:
        self.log("solver.cpp:417", "Test interrupted.")

    def trained(self, iteration: int, loss: float, outputs: Sequence[Output]) -> None:
        self.log("solver.cpp:230", f"Iteration {iteration}, loss = {loss:g}")
        self._outputs("solver.cpp:284", "     Train net output", outputs)
        self._estimate(iteration)

    def _outputs(self, source: str, head: str, outputs: Sequence[Output]) -> None:
        for i, output in enumerate(outputs):
            text = f"{head} #{i}: {output.name} = {output.value:g}{loss_text(output)}"
            self.log(source, text)

    def _estimate(self, iteration: int) -> None:
        """ADaPTION: Solver::Step with `estimate`; from the mean time of this run's iterations."""
        done = iteration - self._first
        if not self.estimate or done < 1:
            return
        mean = (time.monotonic() - self._started) / done
        left = f"Remaining time: {_duration(mean * (self._last - iteration))}"
        if self.estimate >= 2:
            far = f"iteration {iteration}/{self._last}"
            left = f"{far}, {mean:.3g} s per iteration on average. {left}"
        self.log("solver.cpp:235", left)

    def rounding(self, iteration: int, points: Sequence[Mapping[str, Any]]) -> None:
        for line in rounding_lines(points):
            self.log("solver.cpp:284", f"     {line}")

    def rate(self, iteration: int, rate: float) -> None:
        self.log("sgd_solver.cpp:106", f"Iteration {iteration}, lr = {rate:g}")

    def step_taken(self, iteration: int, step: int) -> None:
        text = f"MultiStep Status: Iteration {iteration}, step = {step}"
        self.log("sgd_solver.cpp:50", text)

    def clipped(self, norm: float, limit: float, factor: float) -> None:
        self.log(
            "sgd_solver.cpp:94",
            f"Gradient clipping: scaling down gradients (L2 norm {norm:g} > {limit:g}) by scale"
            f" factor {factor:g}",
        )

    def snapshotting(self, path: str, what: str, file_format: str) -> None:
        if what == "weights":
            self.log("solver.cpp:494", f"Snapshotting to {file_format} file {path}")
        else:
            self.log(
                "sgd_solver.cpp:273", f"Snapshotting solver state to {file_format} file {path}"
            )
            if is_there(path):
                self.log("sgd_solver.cpp:273", f"{path} of an earlier run is replaced")

    def recipe(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "performance":
            self._performance = event
        elif event["event"] == "precision":
            before, after = (f"<{wl},{fl}>" for wl, fl in (event["before"], event["after"]))
            text = f"Iteration {event['iter']}, precision of {event['layer']}: {before} -> {after}"
            self.log("solver.cpp:231", text)

    def _show_performance(self) -> None:
        """What a recipe's performance model comes to, at the end."""
        if self._performance is not None:
            for line in performance_lines(self._performance):
                self.log("solver.cpp:231", line)

    def stopped(self) -> None:
        self._show_performance()
        self.log("solver.cpp:352", "Optimization stopped early.")

    def final_loss(self, iteration: int, loss: float) -> None:
        self.log("solver.cpp:357", f"Iteration {iteration}, loss = {loss:g}")

    def done(self) -> None:
        self._show_performance()
        self.log("solver.cpp:362", "Optimization Done.")


def _duration(seconds: float) -> str:
    """ADaPTION's units: seconds below two minutes, minutes below an hour, else hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


class JsonLog(Listener):
    """One JSON object per line: {"event": "train", "iter": 100, "loss": 2.3, ...}.

    Events: start, train, test, rounding, snapshot, notice, stop, done, and a recipe's own. Every
    line has `time` (ISO 8601) and `seconds` since the start. A train line has `lr`, `outputs`,
    `epoch` (of the data, where the net's own layers count it) and `iterations_per_second`; train
    and test lines have `loss_weights` of the outputs that are losses; a rounding line has `points`,
    as solver.rounding gives them. What is not finite is null.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._net: Net | None = None
        self._train: dict[str, Any] = {}
        self._has_failed = False
        self._shown: tuple[int, float] | None = None

    def _write(self, event: str, **values: Any) -> None:
        line = {
            "event": event,
            "time": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            "seconds": round(self._clock() - self._started, 3),
            **values,
        }
        if self._has_failed:
            return
        try:
            self._stream.write(json.dumps(_finite(line)) + "\n")
            self._stream.flush()
        except OSError as error:  # a full disk must not end days of training
            self._has_failed = True
            warning("solver.cpp:1", f"the JSON log ends here, training goes on: {error}")

    def built(self, role: NetRole, net: Net) -> None:
        if self._net is None:
            self._net = net

    def notice(self, text: str) -> None:
        self._write("notice", text=text)

    def loaded(self, path: str) -> None:
        self._write("weights", path=path)

    def restored(self, path: str) -> None:
        self._write("restored", path=path)

    def solving(self, name: str, policy: str, iteration: int, last: int) -> None:
        self._write(
            "start", net=name, lr_policy=policy, iter=iteration, max_iter=last, pid=os.getpid()
        )

    def trained(self, iteration: int, loss: float, outputs: Sequence[Output]) -> None:
        self._train = {"iter": iteration, "loss": loss, **_values(outputs)}
        epoch = _epoch(self._net)
        if epoch is not None:
            self._train["epoch"] = round(epoch, 4)
        now = self._clock()
        if self._shown is not None and iteration > self._shown[0]:
            done, seconds = iteration - self._shown[0], now - self._shown[1]
            self._train["iterations_per_second"] = round(done / seconds, 3) if seconds else None
        self._shown = (iteration, now)

    def rounding(self, iteration: int, points: Sequence[Mapping[str, Any]]) -> None:
        self._write("rounding", iter=iteration, points=[dict(p) for p in points])

    def rate(self, iteration: int, rate: float) -> None:
        self._write("train", **self._train, lr=rate)

    def tested(
        self, iteration: int, test_net: int, outputs: Sequence[Output], loss: float | None
    ) -> None:
        values: dict[str, Any] = {"iter": iteration, "net": test_net, **_values(outputs)}
        if loss is not None:
            values["loss"] = loss
        self._write("test", **values)

    def recipe(self, event: Mapping[str, Any]) -> None:
        rest = {name: value for name, value in event.items() if name != "event"}
        self._write(str(event["event"]), **rest)

    def snapshotting(self, path: str, what: str, file_format: str) -> None:
        self._write("snapshot", path=path, what=what)

    def stopped(self) -> None:
        self._write("stop")

    def done(self) -> None:
        self._write("done")


def _values(outputs: Sequence[Output]) -> dict[str, Any]:
    """Values and loss weights by name; a blob of several values gives a list."""
    lists: dict[str, list[float]] = {}
    for output in outputs:
        lists.setdefault(output.name, []).append(output.value)
    return {
        "outputs": {
            name: values[0] if len(values) == 1 else values for name, values in lists.items()
        },
        "loss_weights": {o.name: o.loss_weight for o in outputs if o.loss_weight},
    }


def _finite(value: Any) -> Any:
    """JSON has no word for what is not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _epoch(net: Net | None) -> float | None:
    """Passes over the data so far, by the first layer that counts them."""
    for node in net.nodes if net is not None else ():
        progress = node.layer.progress(node.runtime)
        if progress is not None:
            return progress.epochs
    return None
