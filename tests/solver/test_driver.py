"""The laws of recipes, shown with recipes of the tests on nets of several kinds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from adaption.errors import FieldError
from adaption.net import Net, Point
from adaption.net.plan import Plan
from adaption.numerics import FixedPoint
from adaption.proto import caffe_pb2
from adaption.recipes import Decision, NetView, Recipe, make_recipe
from adaption.solver import Solver, train
from adaption.solver.listener import Listener
from tests.solver.runs import write_run

Q = FixedPoint.q


@dataclass
class _Narrowing:
    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    bits: int = 8
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Narrowing(Recipe[_Narrowing]):
    """A recipe that uses every call: it sums what it sees, shortens weights every third update by
    what it has seen, scales gradients and clips masters."""

    word_length: int = 8
    factor: float = 0.5

    name = "narrowing"
    param = "narrowing_param"

    @property
    def observes(self) -> frozenset[str]:
        return frozenset({"weight", "bottom", "activation_grad", "weight_grad"})

    def init(self, net: NetView) -> tuple[Plan, _Narrowing]:
        state = _Narrowing(bits=self.word_length)
        self_weights = [x.name for x in net.weight_layers]
        state.sums = {name: torch.zeros(()) for name in self_weights}
        return self._plan(state), state

    def _plan(self, state: _Narrowing) -> Plan:
        fmt = FixedPoint(state.bits, state.bits - 1, "stochastic")
        return {Point(name, kind): fmt for name in state.sums for kind in ("weight", "bottom")}

    def observe(self, state: _Narrowing, point: Point, x: Tensor) -> _Narrowing:
        if point.layer in state.sums and point.kind in ("weight", "weight_grad"):
            state.sums[point.layer] = state.sums[point.layer] + x.abs().sum()
        return state

    def gradient(self, state: _Narrowing, point: Point, grad: Tensor) -> _Narrowing:
        grad.mul_(self.factor)
        return state

    def rounded(self, state: _Narrowing, point: Point, grad: Tensor) -> _Narrowing:
        grad.mul_(2.0)
        return state

    def updated(self, state: _Narrowing, point: Point, master: Tensor) -> _Narrowing:
        master.clamp_(-1, 1)
        return state

    def decide(self, state: _Narrowing, iteration: int, loss: float) -> tuple[Decision, _Narrowing]:
        state.steps += 1
        state.losses.append(loss)
        if iteration % 3 or state.bits <= 2:
            return Decision(), state
        # What was seen decides, so that a state that is not restored shows.
        state.bits -= 1 + int(float(sum(state.sums.values())) * 1e4) % 2
        event = {"event": "narrowed", "iter": iteration, "bits": state.bits}
        return Decision(self._plan(state), (event,)), state

    def progress(
        self, state: _Narrowing, iteration: int
    ) -> tuple[dict[str, Any] | None, _Narrowing]:
        return {"event": "counted", "iter": iteration, "steps": state.steps}, state

    def save(self, state: _Narrowing) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values = {"steps": state.steps, "bits": state.bits, "losses": state.losses}
        return values, dict(state.sums)

    def load(self, values: dict[str, Any], tensors: dict[str, Tensor]) -> _Narrowing:
        return _Narrowing(dict(tensors), **values)


class Events(Listener):
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.notices: list[str] = []

    def recipe(self, event: Any) -> None:
        self.events.append(dict(event))

    def notice(self, text: str) -> None:
        self.notices.append(text)


def weights(net: Net) -> list[Tensor]:
    return [b.tensor.detach().clone() for blobs in net.params.values() for b in blobs]


def equal(a: Solver, b: Solver) -> bool:
    pairs = zip(weights(a.net), weights(b.net), strict=True)
    return all(torch.equal(x, y) for x, y in pairs) and a.net.plan == b.net.plan


@pytest.fixture(params=["", "DETERMINISTIC"], ids=["float net", "LP net"])
def here(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net with batch norm, a layer in place, dropout, splits, and LP layers."""
    write_run(tmp_path, rounding=request.param)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(**options: Any) -> Solver:
    options.setdefault("policy", Narrowing())
    return Solver("solver.prototxt", **options)


def test_the_empty_recipe_is_no_recipe(here: Path) -> None:
    without, empty = Solver("solver.prototxt"), made(policy=Recipe())
    without.step(12)
    empty.step(12)
    assert equal(without, empty)


def test_the_first_pass_already_rounds_weights_that_were_loaded(here: Path) -> None:
    Solver("solver.prototxt", seed=9).net.save("start.caffemodel")
    solver = made(weights="start.caffemodel")
    stated = {p: f for p, f in solver.net.plan.items() if p.kind == "weight"}
    assert stated
    seen: dict[str, Tensor] = {}
    solver.net.forward(observer=lambda node, *_: seen.update(
        {node.spec.name: node.quantized_blobs()[0]} if node.masters else {}))  # fmt: skip
    for point, fmt in stated.items():
        codes = seen[point.layer].detach() / fmt.lsb  # type: ignore[attr-defined]
        assert torch.equal(codes, codes.round())


def test_a_nets_own_formats_win(here: Path) -> None:
    solver = made()
    is_low = "LP" in Path("net.prototxt").read_text()
    own = solver.net.plan[Point("conv", "weight")]
    assert str(own) == "Q1.7" and own.is_random is not is_low
    solver.step(7)
    assert str(solver.net.plan[Point("conv", "bottom")]) != "Q1.7"
    assert (solver.net.plan[Point("conv", "weight")] == own) is is_low
    backward = solver.net.nodes[solver.net.index("conv")].formats.backward_weights
    assert backward == "QUANTIZED" or is_low


def test_plans_reach_the_test_nets(here: Path) -> None:
    solver = made()
    solver.step(7)
    (test,) = solver.test_nets
    assert {p: f for p, f in solver.net.plan.items()} == test.plan


def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(here: Path) -> None:
    whole, first = made(listeners=[events := Events()]), made()
    whole.step(20)
    first.step(8)
    state = first.snapshot().state
    resumed = made(listeners=[after := Events()], seed=77)
    resumed.restore(state)
    resumed.step(12)
    assert equal(whole, resumed)
    assert [e for e in events.events if e["iter"] > 8] == after.events
    assert not after.notices


def test_without_its_state_a_recipe_starts_anew_and_that_is_said(here: Path) -> None:
    first = made()
    first.step(8)
    files = first.snapshot()
    files.sidecar.unlink()
    resumed = made(listeners=[seen := Events()])
    resumed.restore(files.state)
    assert f"{files.state} holds no state of recipe narrowing: it starts anew" in seen.notices
    assert str(resumed.net.plan[Point("conv", "bottom")]) == "Q1.7"


@pytest.mark.parametrize(
    ("policy", "want"),
    [
        (Narrowing(word_length=7), "precision_policy.narrowing_param.word_length is 7, allowed: 8,"
         " as when the snapshot was made"),
        (None, "precision_policy is 'not set', allowed: type: \"narrowing\", as when the snapshot"
         " was made"),
    ],
    ids=["other settings", "no recipe"],
)  # fmt: skip
def test_a_run_resumes_with_its_recipe_and_settings_only(
    here: Path, policy: Narrowing | None, want: str
) -> None:
    first = made()
    first.step(2)
    state = first.snapshot().state
    with pytest.raises(FieldError) as caught:
        made(policy=policy).restore(state)
    assert str(caught.value).startswith(f"solver.prototxt: {want}")


def test_a_run_without_a_recipe_goes_on_with_one(here: Path) -> None:
    first = made(policy=None)
    first.step(4)
    resumed = made(listeners=[seen := Events()])
    resumed.restore(first.snapshot().state)
    resumed.step(4)
    assert any("holds no state of recipe narrowing" in text for text in seen.notices)


def test_events_are_lines_of_the_json_log(here: Path) -> None:
    def narrowing(*_: Any) -> Narrowing:
        return Narrowing()

    patch = pytest.MonkeyPatch()
    patch.setattr("adaption.solver.driver.make_recipe", narrowing)
    text = Path("solver.prototxt").read_text()
    Path("solver.prototxt").write_text(text + 'precision_policy { type: "sdfp" }')
    with patch.context():
        train("solver.prototxt", log_json="log.json")
    patch.undo()
    lines = [json.loads(line) for line in Path("log.json").read_text().splitlines()]
    shown = [line for line in lines if line["event"] == "counted"]
    trained = [line["iter"] for line in lines if line["event"] == "train"]
    assert [line["iter"] for line in shown] == [i + 1 for i in trained if i < 20]
    bits = [line["bits"] for line in lines if line["event"] == "narrowed"]
    assert bits == sorted(bits, reverse=True) and len(bits) >= 3


def test_weights_of_a_recipe_say_so_in_a_net_without_its_formats(here: Path) -> None:
    solver = made()
    solver.step(4)
    files = solver.snapshot()
    net = Net("net.prototxt", files.weights)
    told = [text for text in net.notices if "was trained by recipe narrowing" in text]
    assert len(told) == 1 and f"--state {files.state}" in told[0]
    assert np.isfinite(weights(net)[0].numpy()).all()
    Solver("solver.prototxt").net.save(files.weights)  # other weights, of the same name
    float_run = made(policy=None)
    float_run.iter = 4
    float_run.snapshot()
    assert not [t for t in Net("net.prototxt", files.weights).notices if "recipe" in t]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ('type: "sdpf"', "precision_policy.type is 'sdpf', allowed: "),
        ('type: "sdfp" adapt_param { buffer: 4 }', "precision_policy.adapt_param is 'set', allowed:"
         ' sdfp_param with type: "sdfp"'),
    ],
    ids=["type", "other settings"],
)  # fmt: skip
def test_bad_policies(text: str, want: str) -> None:
    from google.protobuf import text_format

    policy = text_format.Parse(text, caffe_pb2.PrecisionPolicy())
    with pytest.raises(FieldError) as caught:
        make_recipe(policy)
    assert str(caught.value).startswith(want)
