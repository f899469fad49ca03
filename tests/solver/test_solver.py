"""The training loop: order of events, requests, gradients over several passes, multipliers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adaption.errors import AdaptionError
from adaption.solver import Listener, Solver, train
from adaption.solver.interrupt import Requests
from tests.solver.runs import write_run


class Story(Listener):
    """Writes down in one line each what happens."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def testing(self, iteration: int, test_net: int) -> None:
        self.lines.append(f"{iteration} test {test_net}")

    def trained(self, iteration: int, loss: float, outputs: Any) -> None:
        self.lines.append(f"{iteration} loss")

    def rate(self, iteration: int, rate: float) -> None:
        self.lines.append(f"{iteration} lr {rate:g}")

    def snapshotting(self, path: str, what: str, file_format: str) -> None:
        self.lines.append(path)

    def final_loss(self, iteration: int, loss: float) -> None:
        self.lines.append(f"{iteration} final loss")

    def stopped(self) -> None:
        self.lines.append("stopped")

    def test_interrupted(self) -> None:
        self.lines.append("test interrupted")

    def done(self) -> None:
        self.lines.append("done")


def test_order_of_events(here: Path) -> None:
    story = Story()
    path = write_run(here, solver="max_iter: 12 snapshot: 5")
    Solver(path, listeners=[story]).solve()
    assert story.lines == [
        *("0 test 0", "0 loss", "0 lr 0.05", "4 loss", "4 lr 0.05"),
        *("run_iter_5.caffemodel", "run_iter_5.solverstate", "8 loss", "8 lr 0.025"),
        *("run_iter_10.caffemodel", "run_iter_10.solverstate", "10 test 0"),
        *("run_iter_12.caffemodel", "run_iter_12.solverstate", "12 final loss", "done"),
    ]


def test_no_test_at_the_start(here: Path) -> None:
    story = Story()
    path = write_run(here, solver="max_iter: 2 test_initialization: false")
    Solver(path, listeners=[story]).step(2)
    assert story.lines == ["0 loss", "0 lr 0.05"]


def after(calls: int, request: str) -> Callable[[], str | None]:
    """An action that asks once, at its `calls`-th call, and for a stop from then on."""
    count = 0

    def action() -> str | None:
        nonlocal count
        count += 1
        return request if count == calls or (count > calls and request == "stop") else None

    return action


def test_stop_request(here: Path) -> None:
    """Two test batches ask first, so the ninth call comes after seven iterations."""
    story = Story()
    path = write_run(here, solver="snapshot_after_train: false")
    solver = Solver(path, listeners=[story], action=after(9, "stop"))
    solver.solve()
    assert solver.stops
    assert solver.iter == 7
    assert story.lines[-3:] == ["run_iter_7.caffemodel", "run_iter_7.solverstate", "stopped"]


def test_stop_request_while_testing(here: Path) -> None:
    story = Story()
    solver = Solver(write_run(here), listeners=[story], action=after(2, "stop"))
    solver.solve()
    assert solver.iter == 0
    assert story.lines[:2] == ["0 test 0", "test interrupted"]
    assert story.lines[-1] == "stopped"


def test_snapshot_request(here: Path) -> None:
    story = Story()
    solver = Solver(write_run(here), listeners=[story], action=after(5, "snapshot"))
    solver.step(4)
    assert "run_iter_3.solverstate" in story.lines
    assert not solver.stops


@pytest.mark.parametrize(
    ("number", "requests", "want"),
    [
        pytest.param(signal.SIGINT, Requests(), "stop", id="SIGINT stops"),
        pytest.param(signal.SIGTERM, Requests(), "stop", id="SIGTERM stops"),
        pytest.param(signal.SIGHUP, Requests(), "snapshot", id="SIGHUP takes a snapshot"),
        pytest.param(signal.SIGINT, Requests("none"), None, id="SIGINT is let pass"),
        pytest.param(signal.SIGINT, Requests("snapshot"), "snapshot", id="SIGINT, snapshot"),
    ],
)
def test_signals(number: signal.Signals, requests: Requests, want: str | None) -> None:
    before = signal.getsignal(number)
    with requests.listening():
        os.kill(os.getpid(), number)
        assert requests.take() == want
    assert signal.getsignal(number) == before


def test_second_interrupt_ends_at_once() -> None:
    with Requests().listening():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_unknown_effect() -> None:
    with pytest.raises(AdaptionError) as caught:
        Requests("explode")
    assert str(caught.value) == "sigint_effect is 'explode', allowed: stop, snapshot, none"


def test_spec_of_the_bias_governs_the_bias(here: Path) -> None:
    """As meant; the original gives the second spec to the rounded weights."""
    path = write_run(here, rounding="DETERMINISTIC")
    multipliers = {}
    for original in (False, True):
        solver = Solver(path, original_semantics=original)
        multipliers[original] = [
            (p.lr_mult, p.decay_mult, p.is_copy) for p in solver.params if p.layer == "conv"
        ]
    assert multipliers[False] == [(1, 1, False), (1, 1, True), (2, 0, False), (2, 0, True)]
    assert multipliers[True] == [(1, 1, False), (2, 0, False), (1, 1, False), (1, 1, False)]


def test_frozen_weights_stay(here: Path) -> None:
    path = write_run(here, rounding="DETERMINISTIC")
    net = Path("net.prototxt")
    net.write_text(net.read_text().replace("param { lr_mult: 1 }", "param { lr_mult: 0 }"))
    solver = Solver(path)
    before = [b.data.copy() for b in solver.net.params["conv"]]
    solver.step(3)
    weight, rounded, bias, _ = solver.net.params["conv"]
    np.testing.assert_array_equal(weight.data, before[0])
    np.testing.assert_array_equal(rounded.data, np.round(before[0] * 128) / 128)
    assert (bias.data != before[2]).any()


def test_weights_to_start_from(here: Path) -> None:
    """Given weights beat the solver's own `weights`; they reach the test nets, too."""
    path = write_run(here, rounding="DETERMINISTIC")
    Solver(path).solve()
    path.write_text(path.read_text() + 'weights: "run_iter_5.caffemodel"')
    own = Solver(path)
    given = Solver(path, "run_iter_10.caffemodel")
    for solver, name in ((own, "run_iter_5"), (given, "run_iter_10")):
        want = Solver(path, f"{name}.caffemodel").net.params["ip"][0].data
        np.testing.assert_array_equal(solver.net.params["ip"][0].data, want)
        np.testing.assert_array_equal(solver.test_nets[0].params["ip"][0].data, want)
    assert (own.net.params["ip"][0].data != given.net.params["ip"][0].data).any()


def test_train(here: Path) -> None:
    result = train(write_run(here), iterations=8, log_json="log.jsonl")
    assert (result.iter, result.stopped) == (8, False)
    assert result.snapshot == Path("run_iter_8.solverstate")
    assert result.loss is not None
    assert set(result.tests[0]) == {"accuracy", "loss"}
    again = train("solver.prototxt", snapshot=result.snapshot, iterations=12)
    assert again.iter == 12


def test_weights_and_snapshot(here: Path) -> None:
    with pytest.raises(AdaptionError, match="weights and a snapshot are given"):
        train(write_run(here), weights="a.caffemodel", snapshot="a.solverstate")
