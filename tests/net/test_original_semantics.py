"""Every difference that the switch `original_semantics` makes in a net, one test each.

Fillers and the refusal of plain weights: test_fillers.py, test_weights.py. Source of the facts:
the README of the golden vectors.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adaption.net import Net
from tests.golden_cases import Case, cases, compare
from tests.net.nets import data, euclidean, lp_inner_product, net_of, normal

X = normal(4, 3)
STOCHASTIC = "rounding_scheme: STOCHASTIC"
LOSS = data(4, 3, name="t") + euclidean("loss", "q t")

# Recorded cases in which the original's defects show; every other one is the same either way.
DIFFER = {
    "lpconv_stoch": "STOCHASTIC is floor",
    "lpconv_spec1_zero": "spec 1 gates the bias",
    "lpip_spec1_zero": "spec 1 gates the bias",
    "lpconv_filler": "rounded blobs are drawn on their own",
    "lpip_filler": "rounded blobs are drawn on their own",
}


@pytest.mark.parametrize("case", [c for c in cases("lp_layers") if c.id not in DIFFER])
def test_what_was_meant_equals_the_original_elsewhere(case: Case) -> None:
    net = case.forward(original_semantics=False)
    for name, want in case.group("out").items():
        compare(name, net.blobs[name].data, want)
    if case.meta["backward"]:
        case.backward(net)
        for name, want in case.group("bottomdiff").items():
            compare(name, net.blobs[name].diff, want)
        for name, want in case.group("paramdiff").items():
            layer, _, index = name.rpartition(".")
            compare(name, net.params[layer][int(index)].diff, want)


def both(text: str, phase: str = "TRAIN") -> tuple[Net, Net]:
    """Meant, original; with the same master weights."""
    meant, original = (net_of(text, phase=phase, original_semantics=o) for o in (False, True))
    for name, blobs in meant.params.items():
        for i in range(0, len(blobs), 2):
            original.params[name][i].data[...] = blobs[i].data
    return meant, original


def test_stochastic_is_floor() -> None:
    meant, original = both(
        data(4, 3) + lp_inner_product("q", "data", 300, "bd: 3 ad: 2 " + STOCHASTIC)
    )
    for net in (meant, original):
        net.params["q"][0].data[...] = -0.3
        net.forward(data=X)
    assert set(original.params["q"][1].data.flat) == {-0.5}
    assert set(meant.params["q"][1].data.flat) == {-0.5, -0.25}
    assert meant.params["q"][1].data.mean() == pytest.approx(-0.3, abs=0.02)  # 900 draws


@pytest.mark.parametrize(
    ("specs", "meant", "original"),
    [
        # Blobs: 0 weights, 1 rounded weights, 2 bias, 3 rounded bias.
        ("param { } param { lr_mult: 0 }", {0}, {0}),
        ("param { } param { } param { lr_mult: 0 }", {0, 2}, {0, 2}),
        ("param { lr_mult: 0 } param { }", {2}, {2}),
        ("param { lr_mult: 0 } param { lr_mult: 0 }", set(), set()),
    ],
)
def test_param_specs(specs: str, meant: set[int], original: set[int]) -> None:
    """One spec per weight and bias here; one per blob there, where blob 1 gates the bias."""
    text = data(4, 3) + lp_inner_product("q", "data", more=specs) + LOSS
    for net, want in zip(both(text), (meant, original), strict=True):
        net.forward(data=X)
        net.backward()
        assert {i for i, b in enumerate(net.params["q"]) if b.diff.any()} == want


def test_shared_names_follow_the_specs() -> None:
    """The second spec names the bias here, the rounded weights there."""
    spec = 'param { name: "w" } param { name: "b" }'
    text = data(4, 3) + "".join(
        lp_inner_product(name, bottom, more=spec) for name, bottom in (("p", "data"), ("q", "p"))
    )
    for net, want in zip(both(text), ([True, False, True, False], [True, True, False, False]),
                         strict=True):  # fmt: skip
        p, q = net.params["p"], net.params["q"]
        assert [a is b for a, b in zip(p, q, strict=True)] == want


def test_the_rounded_bias_is_stale_without_round_bias() -> None:
    meant, original = both(data(4, 3) + lp_inner_product("q", "data"))
    for net in (meant, original):
        net.params["q"][3].data[...] = 99
        net.forward(data=X)
    np.testing.assert_array_equal(meant.params["q"][3].data, meant.params["q"][2].data)
    assert (original.params["q"][3].data == 99).all()
    assert torch.equal(meant.blobs["q"].tensor, original.blobs["q"].tensor)


def test_a_snapshot_holds_stale_rounded_weights() -> None:
    meant, original = both(data(4, 3) + lp_inner_product("q", "data"))
    for net, want in ((meant, 0.75), (original, 0.25)):
        net.params["q"][0].data[...] = 0.3
        net.forward(data=X)
        net.params["q"][0].data[...] = 0.8
        saved = next(w for w in net.weights() if w.name == "q")
        assert (saved.blobs[1].array() == want).all()


def test_shared_rounded_blobs_of_two_formats_are_rounded_for_each_layer() -> None:
    """There, blob 1 is one memory: each layer has to find its own rounding in it."""
    spec = 'param { name: "w" } param { name: "r" }'
    text = data(4, 3) + lp_inner_product("p", "data", lpfp="bd: 2 ad: 2", more=spec)
    text += lp_inner_product("q", "data", lpfp="bd: 2 ad: 6", more=spec)
    net = net_of(text, original_semantics=True)
    for name in "pq":
        net.params[name][0].data[...] = 0.3
        net.params[name][2].data[...] = 0
    for _ in range(2):
        net.forward(data=X)
        for name, w in (("p", 0.25), ("q", 0.296875)):
            torch.testing.assert_close(
                net.blobs[name].tensor, (X.sum(1, keepdim=True) * w).expand(4, 3)
            )
