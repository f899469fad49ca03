"""Refining a graph with all kinds of layers, through the call that quantize makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from adaption.graph import NetState, build_spec
from adaption.io.weights import Weights
from adaption.net import Net, Point
from adaption.options import INT8, Formats, Refinement
from adaption.precision.evaluate import run_net
from adaption.precision.measure import ActivationObserver, Measurement, measure_weights
from adaption.precision.propose import propose
from adaption.precision.refining import refine as module
from adaption.precision.refining.channels import channels_of
from adaption.precision.refining.refine import Outcome, Refining
from adaption.precision.refining.walk import Refined, Walk
from adaption.precision.rewrite import rewrite
from tests.precision.refining.nets import GRAPH, file_of, samples, trained

FORMATS = Formats.over(
    INT8, bits=4, lpact="after-relu", unsigned=True, rule="error", backward_weights=True
)
REFINE = Refinement(refine=True)


class Batch:
    def __init__(self, x: torch.Tensor) -> None:
        self.blobs = {"x": x.numpy()}
        self.names = [str(i) for i in range(len(x))]
        self.labels = None


def measure(net: Net, batches: list[Batch]) -> Measurement:
    made = measure_weights(net)
    made.samples = run_net(net, batches, observers=[ActivationObserver(made)]).samples
    return made


def refine(
    formats: Formats = FORMATS,
    steps: Refinement = REFINE,
    text: str = GRAPH,
    net: Net | None = None,
    batches: list[Batch] | None = None,
) -> Outcome:
    net = net or trained(text)
    batches = batches or [Batch(samples(32, seed)) for seed in range(2)]

    def blobs() -> Iterator[dict[str, Any]]:
        return (batch.blobs for batch in batches)

    weights = Weights(list(net.weights()))
    spec = build_spec(file_of(text).message, NetState("TEST"))
    return Refining(
        net, spec, weights, measure(net, batches), formats, steps, blobs,
        lambda one: measure(one, batches),
    ).run()  # fmt: skip


def low_net(made: Outcome, text: str = GRAPH) -> Net:
    spec = build_spec(rewrite(file_of(text), made.proposal).message, NetState("TEST"))
    return Net(spec, made.weights)


def error(net: Net, text: str = GRAPH, float_net: Net | None = None) -> float:
    """Relative error of the scores on images that took no part."""
    x = samples(64, 9).numpy()
    with torch.no_grad():
        wanted = (float_net or trained(text)).forward({"x": x}, end="ip")["ip"].clone()
        found = net.forward({"x": x}, end="ip")["ip"]
    return float((found - wanted).norm() / wanted.norm())


def plain(formats: Formats, text: str = GRAPH) -> float:
    net = trained(text)
    batches = [Batch(samples(32, seed)) for seed in range(2)]
    spec = build_spec(file_of(text).message, NetState("TEST"))
    made = propose(spec, measure(net, batches), formats=formats)
    low = build_spec(rewrite(file_of(text), made).message, NetState("TEST"))
    return error(Net(low, Weights(list(net.weights()))), text)


@pytest.fixture(scope="module")
def made() -> Outcome:
    return refine()


def test_refined_net_is_much_closer_to_the_float_net(made: Outcome) -> None:
    assert error(low_net(made)) < 0.8 * plain(FORMATS)


def test_small_batches_give_all_their_samples() -> None:
    """Pieces end where batches do: 20 batches of 3 samples are no 9 pieces of 7."""
    small = [Batch(samples(3, seed)) for seed in range(20)]
    assert refine(batches=small).said["samples"] == 60


@pytest.mark.parametrize("batch", [1, 3, 7, 16, 17, 50])
@pytest.mark.parametrize("count", [5, 100, 250, 600])
def test_samples_are_counted_not_pieces(batch: int, count: int) -> None:
    """With batches of 17, pieces have 16 and 1 in turn."""
    sizes = [min(batch, count - i) for i in range(0, count, batch)]
    job = Refining.__new__(Refining)
    job.batches = lambda: ({"x": np.zeros((n, 1), np.float32)} for n in sizes)
    job.measured = Measurement(samples=count)

    def taken(*most: int) -> int:
        return sum(len(piece["x"]) for piece in job._pieces(*most))

    least = min(count, 512)
    assert least <= taken() < least + 16
    assert abs(taken(64) - min(count, 64)) < 16


def test_trials_take_about_so_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIAL_SAMPLES", 24)
    taken: list[int] = []
    own = Walk.run

    def run(walk: Walk) -> Refined:
        made = own(walk)
        taken.append(sum(piece.samples for piece in walk.carried))
        return made

    monkeypatch.setattr(Walk, "run", run)
    steps = Refinement(refine=True, equalize=True, on_trial=True)
    refine(steps=steps)
    assert taken == [64, 64, 64], "memory holds all: two trials, and the walk that counts"
    taken.clear()
    monkeypatch.setattr(module, "pieces_that_fit", lambda *_: 2)
    refine(steps=steps)
    assert taken == [24, 24, 64]


def test_each_step_alone_helps() -> None:
    before = plain(FORMATS)
    for steps in (Refinement(), Refinement(correct_bias=True), Refinement(equalize=True)):
        assert error(low_net(refine(steps=steps))) < before, steps
    other = Formats.over(INT8, bits=4, rule="max")
    refined = refine(other)
    assert error(low_net(refined)) < plain(other)
    spec = build_spec(file_of(GRAPH).message, NetState("TEST"))
    batches = [Batch(samples(32, seed)) for seed in range(2)]
    asked = propose(spec, measure(trained(), batches), formats=other).plan
    chosen = {p: f for p, f in refined.proposal.plan.items() if p.kind != "bias"}
    assert chosen == {p: f for p, f in asked.items() if p.kind != "bias"}, "the rule's formats stay"


def test_weights_lie_on_their_grids(made: Outcome) -> None:
    layers = [p.layer for p in made.proposal.plan if p.kind == "weight"]
    assert layers == ["c1", "dw", "g", "a", "b", "up", "ip"]
    for name in layers:
        form = made.proposal.plan[Point(name, "weight")]
        found = made.weights.get(name)
        assert found is not None and form.word_length == 4
        values = torch.from_numpy(found.blobs[0].copy())
        assert torch.equal(form.quantize(values), values), name


def test_plan_keeps_word_lengths_signs_and_groups(made: Outcome) -> None:
    plan = made.proposal.plan
    assert plan[Point("a", "activation")] == plan[Point("b", "activation")], "they meet in cat"
    assert (
        not plan[Point("sum", "activation")].is_signed and plan[Point("x", "activation")].is_signed
    )
    for point, form in plan.items():
        assert form.word_length == (32 if point.kind == "bias" else 4)
    reason = made.proposal.choices[Point("c1", "weight")].reason
    assert "errors cancel" in reason


def test_the_same_twice(made: Outcome) -> None:
    again = refine()
    assert again.proposal.plan == made.proposal.plan
    for one, other in zip(again.weights, made.weights, strict=True):
        for x, y in zip(one.blobs, other.blobs, strict=True):
            assert (x.array() == y.array()).all()


def test_equalized_float_net_computes_the_same() -> None:
    net = trained()
    made = refine(steps=Refinement(equalize=True), net=net)
    assert made.said["equalized_channels"] > 8
    changed = Net(file_of(GRAPH), made.plain)
    assert error(changed) < 1e-5
    weight = changed.params["dw"][0].tensor
    assert not torch.equal(weight, trained().params["dw"][0].tensor)


def test_channels_that_go_together() -> None:
    found = channels_of(trained(), ())
    assert (found.blobs["cat"] == [*found.tops["a"], *found.tops["b"]]).all()
    assert (found.tops["g"] == found.tops["sc"]).all(), "they meet in the sum"
    assert (found.blobs["x"] == 0).all() and (found.blobs["prob"] == 0).all()


def test_trial_takes_what_helps() -> None:
    both = Refinement(refine=True, equalize=True, keep_zeros=True, on_trial=True)
    made = refine(steps=both)
    tried = {t["equalized"]: t["relative_error"] for t in made.said["trials"]}
    assert set(tried) == {False, True}, "without zeros there is nothing to keep"
    assert (made.said["equalized_channels"] > 0) == (tried[True] < tried[False])
    assert "Tried on held-back samples" in "".join(made.notes)


def test_zeros_of_a_pruned_net_stay() -> None:
    def pruned() -> Net:
        net = trained()
        for name in ("c1", "a", "ip"):
            weight = net.params[name][0].tensor.detach()
            weight[weight.abs() < 0.2] = 0
        return net

    def revived(steps: Refinement) -> int:
        made = refine(steps=steps, net=pruned())
        count = 0
        for name in ("c1", "a", "ip"):
            found = made.weights.get(name)
            assert found is not None
            before = pruned().params[name][0].tensor == 0
            assert before.any()
            count += int((torch.from_numpy(found.blobs[0].copy())[before] != 0).sum())
        return count

    assert revived(REFINE) > 0
    assert revived(Refinement(refine=True, keep_zeros=True)) == 0


def test_layers_left_in_float() -> None:
    formats = replace(FORMATS, exclude=("a",))
    made = refine(formats)
    assert Point("a", "weight") not in made.proposal.plan
    found, before = made.weights.get("a"), trained().params["a"][0].tensor
    assert found is not None
    assert (torch.from_numpy(found.blobs[0].copy()) == before).all()
    assert error(low_net(made)) < plain(formats)


SHARED = GRAPH.replace(
    'name: "a" type: "Convolution"', 'name: "a" type: "Convolution" param { name: "w" }'
).replace('name: "b" type: "Convolution"', 'name: "b" type: "Convolution" param { name: "w" }')


def test_shared_weights_are_left_and_said() -> None:
    text = SHARED.replace("num_output: 4 kernel_size: 3 pad: 1", "num_output: 4 kernel_size: 1")
    made = refine(text=text)
    assert set(made.said["layers"]) == {"a", "b"}
    assert 'Layer "a": shares its parameters' in "".join(made.notes)
    found, before = made.weights.get("a"), trained(text).params["a"][0].tensor
    assert found is not None
    assert (torch.from_numpy(found.blobs[0].copy()) == before).all()
    assert error(low_net(made, text), text) < plain(FORMATS, text)


def test_prototxt_asks_for_gradients_through_rounded_weights(made: Outcome) -> None:
    text = rewrite(file_of(GRAPH), made.proposal).document.text()
    assert text.count("backward_weights: QUANTIZED") == 7
