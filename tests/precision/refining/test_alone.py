"""What one layer's weights do alone: against nets that hold just these rounded weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch

from adaption.graph import NetState, build_spec
from adaption.io.weights import Weights
from adaption.net import Net, Point
from adaption.options import Formats, Refinement
from adaption.precision.propose import propose
from adaption.precision.refining.alone import LayerEffects, scored_tops
from adaption.precision.refining.refine import Refining
from adaption.precision.refining.walk import HELD_OUT
from adaption.precision.rewrite import rewrite
from tests.precision.refining.nets import GRAPH, file_of, samples, trained
from tests.precision.refining.test_refine import FORMATS, Batch, measure

PLAIN = Formats(bits=8, rule="max")
COUNT = 64
LENGTHS = [2, 5, 8]


def work(formats: Formats, steps: Refinement, text: str = GRAPH) -> Refining:
    net = trained(text)
    batches = [Batch(samples(COUNT, 0))]

    def blobs() -> Iterator[dict[str, torch.Tensor]]:
        return (batch.blobs for batch in batches)  # type: ignore[misc]

    weights = Weights(list(net.weights()))
    spec = build_spec(file_of(text).message, NetState("TEST"))
    return Refining(
        net, spec, weights, measure(net, batches), formats, steps, blobs,
        lambda one: measure(one, batches),
    )  # fmt: skip


def effects(
    formats: Formats,
    steps: Refinement,
    lengths: Sequence[int],
    known: Sequence[str] = (),
    scores: Sequence[str] = ("prob",),
) -> dict[str, LayerEffects]:
    found: dict[str, LayerEffects] = {}
    plans = {n: replace(formats, bits=[8, f"weight={n}"]) for n in lengths}
    work(formats, steps).alone(plans, scores, known, found.__setitem__)
    return found


@pytest.fixture(scope="module")
def refined() -> dict[str, LayerEffects]:
    return effects(FORMATS, Refinement(refine=True), LENGTHS)


@pytest.fixture(scope="module")
def plain() -> dict[str, LayerEffects]:
    return effects(PLAIN, Refinement(), [4])


def scores(net: Net, x: torch.Tensor) -> torch.Tensor:
    net.forward({"x": x}, end="ip")
    return net.blobs["ip"].tensor.detach().double().clone()


@pytest.mark.parametrize("layer", ["c1", "dw", "g", "b", "up", "ip"])
def test_plain_rounding_of_one_layer(layer: str, plain: dict[str, LayerEffects]) -> None:
    one = work(PLAIN, Refinement())
    formats = replace(PLAIN, bits=[8, "weight=4"])
    form = propose(one.spec, one.measured, formats=formats).plan[Point(layer, "weight")]
    low = trained()
    (node,) = (node for node in low.nodes if node.spec.name == layer)
    weight = node.blobs[0].tensor.detach()
    weight.copy_(form.quantize(weight))
    size = one._piece  # every fourth piece judges
    judges = [x for i, x in enumerate(samples(COUNT, 0).split(size)) if i % HELD_OUT == 3]
    x = torch.cat(judges)
    full, rounded = scores(trained(), x), scores(low, x)
    found = plain[layer].alone[4]
    want = (full - rounded).square().sum() / full.square().sum()
    assert found.error == pytest.approx(float(want), rel=1e-4)
    flipped = (full.argmax(1) != rounded.argmax(1)).double().mean()
    assert found.flipped == pytest.approx(float(flipped))


def test_more_bits_do_less(refined: dict[str, LayerEffects]) -> None:
    assert list(refined) == ["c1", "dw", "g", "a", "b", "up", "ip"]
    for found in refined.values():
        assert list(found.alone) == LENGTHS
        assert found.alone[8].error < found.alone[5].error < found.alone[2].error


def test_weights_are_fitted(refined: dict[str, LayerEffects]) -> None:
    each = effects(FORMATS, Refinement(), [2])
    better = [name for name in each if refined[name].alone[2].error < each[name].alone[2].error]
    assert len(better) >= 5


def test_layers_behind_take_errors_back(refined: dict[str, LayerEffects]) -> None:
    assert refined["ip"].remaining == 1  # nothing is behind it
    assert all(0 < found.remaining <= 1 for found in refined.values())
    assert refined["c1"].remaining < 0.9


@pytest.mark.slow  # seven nets are refined
def test_what_remains_is_what_refined_nets_show(refined: dict[str, LayerEffects]) -> None:
    """One layer in 2 bits, the others refined behind it."""
    x = samples(256, 5)
    full = scores(trained(), x)
    alone, remaining = [], []
    for layer, found in refined.items():
        formats = replace(FORMATS, bits=[16, f"{layer}:weight=2"])
        made = work(formats, Refinement(refine=True)).run()
        low = Net(rewrite(file_of(GRAPH), made.proposal), made.weights)
        error = float((scores(low, x) - full).square().sum() / full.square().sum())
        alone.append(abs(math.log(error / found.alone[2].error)))
        remaining.append(abs(math.log(error / (found.alone[2].error * found.remaining))))
    assert sum(remaining) < 0.8 * sum(alone)


def test_plain_rounding_takes_nothing_back(plain: dict[str, LayerEffects]) -> None:
    assert {found.remaining for found in plain.values()} == {1.0}


def test_known_layers_are_left_out(refined: dict[str, LayerEffects]) -> None:
    rest = effects(FORMATS, Refinement(refine=True), LENGTHS, known=("c1", "b"))
    assert rest == {name: x for name, x in refined.items() if name not in ("c1", "b")}


def test_layers_behind_the_scores_do_nothing_to_them(refined: dict[str, LayerEffects]) -> None:
    found = effects(FORMATS, Refinement(refine=True), LENGTHS, scores=["up"])
    assert list(found) == list(refined)
    assert [x.error for x in found["ip"].alone.values()] == [0, 0, 0]
    assert all(x.error > 0 for name in ("c1", "up") for x in found[name].alone.values())
    assert 0 < found["c1"].remaining <= 1 and found["up"].remaining == 1
    both = effects(FORMATS, Refinement(refine=True), LENGTHS, scores=["up", "prob"])
    assert 0 < both["ip"].alone[2].error < refined["ip"].alone[2].error


def test_scores_are_those_before_the_softmax() -> None:
    assert scored_tops(trained().nodes, ["prob"]) == {"ip": "ip"}
    assert scored_tops(trained().nodes, ["sum"]) == {"sum_relu": "sum"}
