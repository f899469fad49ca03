"""Low-precision inference: the same bits whoever looks, whatever runs as one."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from adaption.net import Net, convolver
from adaption.net.in_place_chain import InPlaceChain
from adaption.net.node import Node
from tests.net.nets import data, inner_product, layer, net_of, normal

MSRA = 'weight_filler { type: "msra" } bias_filler { type: "gaussian" std: 0.1 }'
SIZES = [(1, 2, 12, 10), (3, 2, 9, 9)]


def lpfp(r: random.Random) -> str:
    scheme = r.choice(["DETERMINISTIC"] * 3 + ["STOCHASTIC"])
    bits = f"bd: {r.randint(1, 4)} ad: {r.randint(0, 6)}"
    return f"lpfp_param {{ {bits} rounding_scheme: {scheme} }}"


def convolution(r: random.Random, name: str, bottom: str, channels: int, *, odd: bool) -> str:
    """One convolution that keeps the size, or, `odd`, one with group, stride or dilation."""
    kernel = r.choice([1, 3])
    form = f"kernel_size: {kernel} pad: {kernel // 2}"
    if odd:
        form = r.choice(
            ["kernel_size: 3 stride: 2", "kernel_size: 3 pad: 2 dilation: 2", form + " group: 2"]
        )
    kind, low = r.choice([("LPConvolution", lpfp(r)), ("Convolution", "")])
    own = f"convolution_param {{ num_output: {channels} {form} {MSRA} }}"
    return layer(kind, name, bottom, more=own + low)


def behind(r: random.Random, blob: str) -> str:
    """Some in-place layers."""
    choices = {
        "LPAct": lpfp(r),
        "ReLU": r.choice(["", "", "relu_param { negative_slope: 0.25 }"]),
        "BatchNorm": "",
        "Scale": "scale_param { filler { value: 0.8 } bias_term: true }",
        "Dropout": "",
    }
    picked = r.choice(
        [
            ["LPAct", "ReLU"],
            ["LPAct"],
            ["ReLU", "LPAct"],
            ["BatchNorm", "Scale", "LPAct", "ReLU"],
            r.sample(sorted(choices), 3),
        ]
    )
    return "".join(
        layer(kind, f"{blob}_{i}", blob, blob, choices[kind]) for i, kind in enumerate(picked)
    )


def random_net(seed: int) -> str:
    """Convolutions, two branches that meet, a pool, a classifier; always something rounded."""
    r = random.Random(seed)
    text = data(*r.choice(SIZES), name="x")
    text += convolution(r, "a", "x", 4, odd=False) + behind(r, "a")
    text += convolution(r, "b", "a", 6, odd=False) + behind(r, "b")
    text += convolution(r, "c", r.choice(["a", "b"]), 6, odd=False) + behind(r, "c")
    text += layer(r.choice(["Eltwise", "Concat"]), "d", "b c") + behind(r, "d")
    pool = f"pooling_param {{ pool: {r.choice(['MAX', 'AVE'])} kernel_size: 3 stride: 2 }}"
    text += layer("Pooling", "p", "d", more=pool)
    text += convolution(r, "e", "p", 8, odd=True) + behind(r, "e")
    act = layer("LPAct", "f_act", "f", "f", lpfp(r)) + layer("ReLU", "f_relu", "f", "f")
    return text + inner_product("f", "e", 5) + act + layer("Softmax", "prob", "f")


def blobs_of(net: Net) -> dict[str, Tensor]:
    return {name: blob.tensor.clone() for name, blob in net.blobs.items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, values in one.items():
        assert torch.equal(values, other[name]), name


@pytest.mark.parametrize("seed", range(24))
def test_the_same_bits_whoever_looks(seed: int) -> None:
    net = net_of(random_net(seed))
    x = normal(*net.blobs["x"].shape, seed=seed)
    assert any(isinstance(chain, InPlaceChain) for chain in net._chains.values())

    def run(observer: object = None) -> dict[str, Tensor]:
        net.manual_seed(seed)
        net.forward(x=x, observer=observer)
        return blobs_of(net)

    want = run(lambda node, bottoms, tops: None)
    for _ in range(2):  # packed, then from the pack
        assert_same(run(), want)
    views = [blob.data for blob in net.blobs.values()]
    assert_same(run(), want)
    assert_same(run(lambda node, bottoms, tops: None), want)
    views.clear()
    weights = [blob.data for own in net.params.values() for blob in own]
    assert_same(run(), want)
    weights.clear()
    net.manual_seed(seed)
    for name in net.layer_names:
        net.forward(start=name, end=name)
    assert_same(blobs_of(net), want)


@pytest.mark.parametrize("with_onednn", [True, False])
@pytest.mark.parametrize(
    ("channels", "size", "kernel", "is_winograd"), [(256, 20, 3, True), (32, 14, 1, False)]
)
def test_large_convolutions(
    channels: int,
    size: int,
    kernel: int,
    is_winograd: bool,
    with_onednn: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not with_onednn:
        monkeypatch.setattr(convolver, "_ONEDNN", None)
    form = f"num_output: {channels} kernel_size: {kernel} pad: {kernel // 2} {MSRA}"
    low = "lpfp_param { bd: 1 ad: 10 }"
    text = data(1, channels, size, size, name="x")
    text += layer("LPConvolution", "c", "x", more=f"convolution_param {{ {form} }} {low}")
    text += layer("LPAct", "q", "c", "c", "lpfp_param { bd: 3 ad: 12 }")
    text += layer("ReLU", "r", "c", "c")
    net = net_of(text)
    x = normal(1, channels, size, size)
    seen: dict[str, Tensor] = {}
    net.forward(x=x, observer=lambda node, _, tops: seen.update({node.spec.name: tops[0].clone()}))
    assert net.nodes[1].convolver is not None
    assert net.nodes[1].convolver.is_winograd == is_winograd
    assert torch.equal(net.forward(x=x)["c"], seen["r"])
    weight, bias = net.params["c"][1].tensor, net.params["c"][2].tensor.detach()
    exact = torch.nn.functional.conv2d(
        x.double(), weight.double(), bias.double(), padding=kernel // 2
    )
    # Float32 sums of up to 2304 terms of order 0.02.
    torch.testing.assert_close(seen["c"].double(), exact, rtol=1e-5, atol=1e-5)


def test_weights_that_change_are_packed_anew() -> None:
    net = net_of(random_net(0))
    x = normal(*net.blobs["x"].shape)
    net.forward(x=x)
    with torch.no_grad():
        net.params["a"][0].tensor.mul_(-1)
    net.manual_seed(1)
    found = blobs_of(net) if net.forward(x=x) else {}
    net.manual_seed(1)
    net.forward(x=x, observer=lambda node, bottoms, tops: None)
    assert_same(found, blobs_of(net))


def test_a_chain_takes_batch_norm_and_scale_along() -> None:
    text = data(2, 3, 8, 8, name="x") + convolution(random.Random(1), "c", "x", 4, odd=False)
    for kind, more in [
        ("BatchNorm", ""),
        ("Scale", "scale_param { bias_term: true filler { value: 0.7 } }"),
        ("LPAct", "lpfp_param { bd: 2 ad: 5 }"),
        ("ReLU", ""),
    ]:
        text += layer(kind, kind, "c", "c", more)
    net = net_of(text)
    (chain,) = net._chains.values()
    assert [node.spec.name for node in chain.nodes] == ["c", "BatchNorm", "Scale", "LPAct", "ReLU"]
    with torch.no_grad():
        net.params["BatchNorm"][2].tensor.fill_(1)
        net.params["BatchNorm"][1].tensor.fill_(2)
    x = normal(2, 3, 8, 8)
    found = net.forward(x=x)["c"].clone()
    seen = net.forward(x=x, observer=lambda node, bottoms, tops: None)["c"]
    assert torch.equal(found, seen) and len(found.unique()) > 3


AFFINE = [
    ("BatchNorm", ""),
    ("Scale", "scale_param { bias_term: true filler { value: 0.7 } }"),
    ("LPAct", "lpfp_param { bd: 4 ad: 9 }"),
    ("ReLU", ""),
]


def test_every_change_of_what_is_prepared_is_seen() -> None:
    text = data(2, 3, 8, 8, name="x") + convolution(random.Random(1), "c", "x", 4, odd=False)
    net = net_of(text + "".join(layer(kind, kind, "c", "c", more) for kind, more in AFFINE))
    x = normal(2, 3, 8, 8)

    def assert_as_one_by_one() -> Tensor:
        found = net.forward(x=x)["c"].clone()
        assert torch.equal(found, net.forward(observer=lambda node, bottoms, tops: None)["c"])
        return found

    mean, variance, factor = net.params["BatchNorm"]
    slope, shift = net.params["Scale"]
    variance.data[...] = 2
    factor.data[...] = 1
    seen = [assert_as_one_by_one()]
    with torch.no_grad():
        mean.tensor.add_(0.5)
    seen.append(assert_as_one_by_one())
    shift.data[...] = 0.25
    seen.append(assert_as_one_by_one())
    view = slope.data
    view[...] = 0.5
    seen.append(assert_as_one_by_one())
    view[...] = 1.5  # through a view that is still out
    seen.append(assert_as_one_by_one())
    x = normal(1, 3, 11, 6)
    assert_as_one_by_one()
    assert not any(torch.equal(a, b) for a, b in pairwise(seen))


@pytest.mark.parametrize("first", ["convolution", "inner product"])
@pytest.mark.parametrize(
    "behind", [AFFINE, AFFINE[:2], AFFINE[1:2]], ids=["rounded", "float", "scale"]
)
def test_a_copy_prepares_its_own(first: str, behind: list[tuple[str, str]]) -> None:
    text = data(2, 3, 8, 8, name="x") + inner_product("c", "x", 4)
    if first == "convolution":
        text = data(2, 3, 8, 8, name="x") + convolution(random.Random(1), "c", "x", 4, odd=False)
    net = net_of(text + "".join(layer(kind, kind, "c", "c", more) for kind, more in behind))
    for blob in net.params.get("BatchNorm", [])[1:]:
        blob.data[...] = 1
    x = normal(2, 3, 8, 8)
    want = net.forward(x=x)["c"].clone()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for own in net.params.values():
            own[0].tensor.mul_(-3).add_(1)
    for _ in range(2):
        assert torch.equal(twin.forward(x=x)["c"], want)
    assert not torch.equal(net.forward(x=x)["c"], want)


def test_what_another_pass_packed_is_not_taken_for_ours() -> None:
    form = f"convolution_param {{ num_output: 256 kernel_size: 3 pad: 1 {MSRA} }}"
    text = data(1, 256, 20, 20, name="x")
    text += layer("LPConvolution", "c", "x", more=form + "lpfp_param { bd: 1 ad: 10 }")
    net = net_of(text + layer("LPAct", "q", "c", "c", "lpfp_param { bd: 3 ad: 12 }"))
    large, small = normal(1, 256, 20, 20), normal(1, 256, 4, 4)  # one by Winograd, one not

    def look(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        """Make every layer run on its own."""

    want = {x: net.forward(x=x, observer=look)["c"].clone() for x in (large, small)}
    for x in (large, large, large, small, large):
        net.forward(x=small if x is large else large, observer=look)
        assert torch.equal(net.forward(x=x)["c"], want[x])
    for x in (large, large, large, small, small, small, large):
        assert torch.equal(net.forward(x=x)["c"], want[x])


def test_a_sum_and_what_is_in_place_on_it_run_as_one() -> None:
    text = data(2, 3, 8, 8, name="x") + layer("Power", "a", "x", more="power_param { scale: 3 }")
    text += layer("Eltwise", "s", "x a")
    text += "".join(layer(kind, kind, "s", "s", more) for kind, more in AFFINE)
    net = net_of(text)
    net.params["BatchNorm"][1].data[...] = 2
    net.params["BatchNorm"][2].data[...] = 1
    assert [len(chain.nodes) for chain in net._chains.values()] == [5]
    x = normal(2, 3, 8, 8)
    before = net.forward(x=x)["s"]
    kept = before.clone()
    seen = net.forward(x=x, observer=lambda node, bottoms, tops: None)["s"]
    assert torch.equal(before, seen) and len(seen.unique()) > 3
    net.forward(x=-x)
    assert torch.equal(before, kept)  # a caller's top is his
    assert torch.equal(net.blobs["a"].tensor, -3 * x)


def test_float_nets_have_such_chains_too() -> None:
    text = data(2, 3, 8, 8, name="x") + layer("Power", "a", "x", more="power_param { scale: 3 }")
    text += layer("Eltwise", "s", "x a") + layer("ReLU", "r", "s", "s")
    text += inner_product("f", "s", 5) + layer("ReLU", "q", "f", "f")
    net = net_of(text)
    names = [[node.spec.name for node in chain.nodes] for chain in net._chains.values()]
    assert names == [["s", "r"], ["f", "q"]]
    x = normal(2, 3, 8, 8)
    found = net.forward(x=x)["f"].clone()
    assert torch.equal(found, net.forward(observer=lambda node, bottoms, tops: None)["f"])


def test_an_observer_of_chains_still_sees_every_layer_of_a_rounded_net() -> None:
    net = net_of(random_net(1))
    seen: list[str] = []
    net.forward(observer=lambda node, bottoms, tops: seen.append(node.spec.name), fused=True)
    assert seen == net.layer_names
