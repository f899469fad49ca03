"""AdaPT while a net trains: formats, windows, events, its own laws, and resuming."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import FieldError
from adaption.net import Point
from adaption.recipes import named_recipe
from adaption.recipes.adapt_rules import grid
from adaption.report.plot_log import plot_log
from adaption.solver import Solver, train
from adaption.solver.listener import Listener
from tests.solver.runs import write_rows

NET = """
name: "tiny"
layer { name: "rows" type: "HDF5Data" top: "data" top: "label"
  include { phase: TRAIN } hdf5_data_param { source: "rows.txt" batch_size: 6 shuffle: true } }
layer { name: "rows" type: "HDF5Data" top: "data" top: "label"
  include { phase: TEST } hdf5_data_param { source: "rows.txt" batch_size: 10 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "tnvs" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "sc" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "tanh" type: "TanH" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "tnvs" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0001
max_iter: 40 display: 8 test_iter: 2 test_interval: 20 test_initialization: false
snapshot: 0 snapshot_prefix: "run" random_seed: 3
"""
SHORT = {"lookback_min": 5, "lookback_max": 9, "resolution_min": 3, "resolution_max": 12}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Events(Listener):
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def recipe(self, event: Any) -> None:
        self.events.append(json.loads(json.dumps(event)))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["event"] == name]


def made(*listeners: Listener, seed: int | None = None, **settings: Any) -> Solver:
    recipe = named_recipe("adapt", **{**SHORT, **settings})
    return Solver("solver.prototxt", policy=recipe, listeners=listeners, seed=seed)


def weights(solver: Solver) -> list[torch.Tensor]:
    return [b.tensor.detach().clone() for bs in solver.net.params.values() for b in bs]


def test_the_initial_format_is_at_all_points_of_weight_layers(here: Path) -> None:
    solver = made()
    kinds = ("weight", "bias", "bottom", "activation", "weight_grad", "bias_grad")
    want = {Point(name, kind): grid(8, 4) for name in ("conv", "ip") for kind in kinds}
    assert solver.net.plan == want == solver.test_nets[0].plan
    backward = {n.spec.name: n.formats.backward_weights for n in solver.net.nodes}
    assert backward["conv"] == backward["ip"] == "QUANTIZED"


def test_companions_take_the_format_on_request(here: Path) -> None:
    plan = made(batch_norm_format=True, quantize_pool=True).net.plan
    own = {(p.layer, p.kind) for p in plan if p.layer not in ("conv", "ip")}
    assert own == {
        *(("sc", kind) for kind in ("weight", "bias", "weight_grad", "bias_grad")),
        *(("pool", kind) for kind in ("bottom", "activation")),
    }


def test_laws_of_every_update(here: Path) -> None:
    events = Events()
    solver = made(events, buffer=8)
    recipe = solver.driver
    assert recipe is not None
    decided: set[str] = set()
    for _ in range(30):
        solver.step(1)
        decided |= {e["layer"] for e in events.of("precision")}
        for name, window in recipe.state.windows.items():
            wl, fl = window.format
            assert 1 <= fl <= 32 and wl <= 32
            if name in decided:
                assert fl <= 24 and (wl - fl >= 8 or wl == 32)
            node = solver.net.nodes[solver.net.index(name)]
            master, rounded = (x.detach() for x in (node.masters[0].tensor,
                                                    node.quantized_blobs()[0]))  # fmt: skip
            assert node.formats.bias == node.formats.weight == grid(wl, fl)
            assert master.data_ptr() != rounded.data_ptr() and not torch.equal(master, rounded)
            codes = rounded.double() * 2.0**fl
            assert torch.equal(codes, codes.round())
        for blobs in solver.net.params.values():
            for blob in blobs:
                assert math.isfinite(float(blob.grad.norm()))
    state = recipe.state
    assert all(3 <= r <= 12 for r in state.resolution.tolist())
    assert all(5 <= b <= 9 for b in state.lookback.tolist())
    assert decided == {"conv", "ip"}
    performance = events.of("performance")
    assert all(0 < e["speedup"] < 2 for e in performance)


def test_gradients_are_divided_by_their_norm(here: Path) -> None:
    """Without momentum and decay an update has the norm of the learning rate, in every tensor; or
    none, where rounding has left nothing of the gradient."""
    text = SOLVER.replace("momentum: 0.9 weight_decay: 0.0001", "momentum: 0 weight_decay: 0")
    Path("solver.prototxt").write_text(text)
    for settings in ({}, {"quantize": False}, {"adapt": False}):
        solver = made(**settings)
        before = weights(solver)
        solver.step(1)
        for name in ("conv", "sc", "ip"):
            for blob in solver.net.params[name]:
                norm = float(blob.grad.norm())
                is_nothing = norm == 0 and settings != {"quantize": False}
                assert is_nothing or norm == pytest.approx(0.1, rel=1e-5)
        assert float(solver.net.params["ip"][0].grad.norm()) > 0
        assert any(not torch.equal(a, b) for a, b in zip(before, weights(solver), strict=True))


def test_the_l1_term_enters_before_rounding_and_normalization(here: Path) -> None:
    text = SOLVER.replace("momentum: 0.9 weight_decay: 0.0001", "momentum: 0 weight_decay: 0")
    Path("solver.prototxt").write_text(text)
    strong = made(quantize=False, alpha=1e6)  # nothing but the sign is left of the gradient
    signs = strong.net.params["ip"][0].tensor.detach().sign()
    strong.step(1)
    want = signs / signs.norm()
    torch.testing.assert_close(strong.net.params["ip"][0].grad, 0.1 * want)


def test_events_can_be_recomputed_from_their_lines(here: Path) -> None:
    train("solver.prototxt", policy=named_recipe("adapt", **SHORT), log_json="log.json")
    lines = [json.loads(line) for line in Path("log.json").read_text().splitlines()]
    shown = [e for e in lines if e["event"] == "performance"]
    trained = [e for e in lines if e["event"] == "train"]
    assert [e["iter"] for e in shown] == [e["iter"] + 1 for e in trained if e["iter"] < 40]
    for event in shown:
        quantized = full = 0.0
        for row in event["layers"]:
            assert row["layer"] in ("conv", "ip")
            wl, nz, lb = row["word_length"], row["nonzero"], row["lookback"]
            tries = 2 * math.log2(wl - 8) if wl > 8 else 1
            down = 3 * row["size"] * tries * row["resolution"] * nz
            work = 32 * (down + (lb + 1) * row["size"] + 1) / lb
            quantized += row["macs"] * wl * nz + work / 6  # the batch
            full += 32 * row["macs"]
        assert event["cost_quantized"] == pytest.approx(quantized, rel=1e-9)
        assert event["cost_float"] == full == 32 * (4 * 16 * 9 + 4 * 4 * 3)
        bits = [r["word_length"] for r in event["layers"]]
        live = [r["nonzero"] for r in event["layers"]]
        ratio = sum(live) / 2 * sum(bits) / 64
        assert event["size_ratio"] == pytest.approx(ratio)
        inference = sum(r["macs"] * r["word_length"] * r["nonzero"] for r in event["layers"])
        assert event["speedup_inference"] == pytest.approx(full / inference)
    decisions = [e for e in lines if e["event"] == "precision"]
    assert {e["layer"] for e in decisions} == {"conv", "ip"}
    for event in decisions:
        assert set(event) >= {"iter", "window", "diversity", "lookback", "resolution", "strategy",
                              "before", "down", "after"}  # fmt: skip
        assert event["strategy"] in ("min", "mean", "max")
        assert all(a <= b for a, b in zip(event["down"], event["before"], strict=True))
    for name in ("conv", "ip"):
        own = [e for e in decisions if e["layer"] == name]
        for one, two in pairwise(own):
            assert two["before"] == one["after"]
            assert two["window"] == two["iter"] - one["iter"]


@pytest.mark.parametrize("settings", [{}, {"strict_code": True}, {"adapt": False}])
def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(
    here: Path, settings: dict[str, Any]
) -> None:
    whole, told = made(all_events := Events(), **settings), Events()
    whole.step(40)
    first = made(**settings)
    first.step(17)
    state = first.snapshot().state
    resumed = made(told, seed=99, **settings)
    resumed.restore(state)
    resumed.step(23)
    assert whole.net.plan == resumed.net.plan
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)
    assert [e for e in all_events.events if e["iter"] > 17] == told.events
    whole.test()
    resumed.test()  # the same draw of weights


def test_formats_move_and_the_net_learns(here: Path) -> None:
    events = Events()
    solver = made(events)
    solver.step(40)
    after = {tuple(e["after"]) for e in events.of("precision")}
    assert len(after) > 1
    losses = []
    for _ in range(3):
        with torch.no_grad():
            solver.net.forward()
        losses.append(solver.net.loss())
    assert np.mean(losses) < 0.9  # log 3 is 1.1


def test_a_layer_whose_format_the_net_states_keeps_it(here: Path) -> None:
    own = "precision_param { weight { kind: FIXED word_length: 6 frac_length: 5 } }"
    Path("net.prototxt").write_text(NET.replace('name: "ip"', f'name: "ip" {own}'))
    events = Events()
    solver = made(events)
    solver.step(30)
    assert str(solver.net.plan[Point("ip", "weight")]) == "Q1.5"
    assert {e["layer"] for e in events.of("precision")} == {"conv"}


def test_float_in_the_same_loop_has_no_formats_and_no_gain(here: Path) -> None:
    events = Events()
    solver = made(events, quantize=False)
    solver.step(17)
    assert not solver.net.plan and not events.of("precision")
    assert all(e["speedup"] == 1.0 for e in events.of("performance"))


def test_fixed_formats_have_no_overhead(here: Path) -> None:
    events = Events()
    made(events, adapt=False).step(17)
    for event in events.of("performance"):
        layers = event["layers"]
        cost = sum(r["macs"] * r["word_length"] * r["nonzero"] for r in layers)
        assert event["cost_quantized"] == pytest.approx(cost)
        assert all(r["word_length"] == 8 for r in layers)


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ({"lookback_min": 10, "lookback_max": 5}, "lookback_max is 5, allowed: 10..1000000"),
        ({"resolution_min": 1}, "resolution_min is 1, allowed: 2..1000000"),
        ({"initial_word_length": 33}, "initial_word_length is 33, allowed: 1..32"),
        ({"lookback_momentum": 0.0}, "lookback_momentum is 0.0, allowed: above 0, up to 1"),
        ({"strategy": "most"}, "strategy is 'most', allowed: MIN, MEAN, MAX"),
        ({"alhpa": 1.0}, "alhpa is 1.0, allowed: "),
    ],
)
def test_bad_settings(settings: dict[str, Any], want: str) -> None:
    with pytest.raises(FieldError) as caught:
        named_recipe("adapt", **settings)
    assert f"adapt_param.{want}" in str(caught.value)


def test_l1_regularization_belongs_to_the_policy(here: Path) -> None:
    Path("solver.prototxt").write_text(SOLVER + 'regularization_type: "L1"')
    with pytest.raises(FieldError) as caught:
        made()
    assert str(caught.value) == (
        "solver.prototxt: regularization_type is 'L1', allowed: L2 with this policy\n"
        "  fix: its alpha is the factor of L1"
    )


def test_logs_and_plots_show_the_performance_model(here: Path) -> None:
    lines: list[str] = []
    result = train(
        "solver.prototxt",
        policy=named_recipe("adapt", **SHORT),
        log=lambda _, text: lines.append(text),
        log_json="log.json",
    )
    assert result.performance is not None and result.to_dict()["performance"]["speedup"] > 1
    text = "\n".join(lines)
    assert "precision of conv: <8,4> -> <" in text
    assert f"Training speedup (model): {result.performance['speedup']:.3f}, of inference" in text
    assert "Model size (share of float32): " in text and "Word lengths: conv " in text
    plot = plot_log("log.json", out="log.svg")
    svg = Path("log.svg").read_text()
    for title in ("word length", "share of weights that are not zero", "training speedup"):
        assert title in svg
    table = plot.table()
    assert "conv word length" in table and "model size by entries" in table
    assert len(plot.to_dict()["logs"][0]["performance"]) == 5
