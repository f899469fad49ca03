"""Chains: a convolution with what runs in place behind it equals its layers one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch

from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net, convolver
from adaption.net.fuse import Chain
from adaption.net.node import Node

DATA = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 4 dim: 9 dim: 7 } } }
"""
CONV = """layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {
  num_output: 6 kernel_size: 3 pad: 1 stride: 2 group: 2
  weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 1 } } }
"""
PLAIN = CONV.replace("group: 2", "bias_term: false dilation: 2").replace("stride: 2", "")
BN = 'layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" }\n'
SCALE = """layer { name: "s" type: "Scale" bottom: "c" top: "c"
  scale_param { bias_term: true filler { type: "gaussian" std: 1 } bias_filler { value: 0.3 } } }
"""
RELU = 'layer { name: "r" type: "ReLU" bottom: "c" top: "c" }\n'
LEAKY = RELU.replace(' bottom: "c"', ' relu_param { negative_slope: 0.1 } bottom: "c"')
READER = 'layer { name: "y" type: "Power" bottom: "c" top: "y" power_param { scale: 2 } }\n'


def net_of(text: str, phase: str = "TEST") -> Net:
    file = from_document(prototxt.parse(DATA + text + READER))
    net = Net(build_spec(file.message, NetState(phase)), seed=1)
    generator = torch.Generator().manual_seed(2)
    if "b" in net.params:
        mean, variance, factor = (blob.tensor for blob in net.params["b"])
        mean.normal_(generator=generator)
        variance.uniform_(0.5, 2, generator=generator)
        factor.fill_(3)
    return net


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 4, 9, 7, generator=torch.Generator().manual_seed(3))


def one_by_one(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.forward({"x": x}, observer=lambda node, bottoms, tops: None)["y"].clone()


@pytest.mark.parametrize("with_onednn", [True, False])
@pytest.mark.parametrize(
    ("text", "length"),
    [
        pytest.param(CONV, 1, id="convolution"),
        pytest.param(CONV + RELU, 2, id="relu"),
        pytest.param(PLAIN + BN + SCALE + RELU, 4, id="all, no bias"),
        pytest.param(CONV + BN + SCALE, 3, id="affine"),
        pytest.param(CONV + SCALE + BN + RELU, 4, id="the other way round"),
        pytest.param(CONV + LEAKY, 1, id="leaky relu stays out"),
        pytest.param(CONV + RELU + SCALE, 2, id="nothing behind the relu"),
    ],
)
def test_equals_the_layers(
    text: str, length: int, with_onednn: bool, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_onednn:
        monkeypatch.setattr(convolver, "_ONEDNN", None)
    net = net_of(text)
    (chain,) = net._chains.values()
    assert len(chain.nodes) == length
    want = one_by_one(net, x)
    for _ in range(2):  # packed, then from the pack
        # Order of float32 sums, and filters that were folded in float64.
        torch.testing.assert_close(net.forward({"x": x})["y"], want, rtol=2e-5, atol=2e-5)


def _statistics_of_the_batch(text: str) -> Net:
    return net_of(
        text.replace('"BatchNorm"', '"BatchNorm" batch_norm_param {use_global_stats: false}')
    )


@pytest.mark.parametrize(
    ("make", "length"),
    [
        (lambda: net_of(CONV + BN + RELU, phase="TRAIN"), 1),
        (lambda: _statistics_of_the_batch(CONV + BN), 1),
        (lambda: net_of(CONV.replace('"c" convolution', '"d" convolution')
                        + RELU.replace('bottom: "c"', 'bottom: "d"')), 1),
        (lambda: net_of(CONV.replace('"Convolution"', '"LPConvolution" lpfp_param {bd: 2 ad: 6}')),
         0),
        (lambda: net_of(CONV.replace(
            '"Convolution"',
            '"Convolution" precision_param {activation {kind: FIXED word_length: 8}}')), 0),
    ],
    ids=["train", "batch statistics", "not in place", "low precision", "rounded top"],
)  # fmt: skip
def test_what_is_left_out(make: Callable[[], Net], length: int) -> None:
    chains = [chain for chain in make()._chains.values() if isinstance(chain, Chain)]
    assert [len(c.nodes) for c in chains] == ([length] if length else [])


def test_every_change_of_a_blob_is_seen(x: torch.Tensor) -> None:
    net = net_of(CONV + BN + SCALE + RELU)
    net.forward({"x": x})
    with torch.no_grad():
        net.params["c"][0].tensor.mul_(2)
    torch.testing.assert_close(net.forward({"x": x})["y"], one_by_one(net, x), rtol=2e-5, atol=2e-5)
    net.params["s"][1].data[...] = 5
    view = net.params["b"][0].data
    view[...] = 1
    torch.testing.assert_close(net.forward({"x": x})["y"], one_by_one(net, x), rtol=2e-5, atol=2e-5)
    view[...] = -1  # through a view that is still out
    torch.testing.assert_close(net.forward({"x": x})["y"], one_by_one(net, x), rtol=2e-5, atol=2e-5)


def test_other_sizes_and_parts_of_the_net(x: torch.Tensor) -> None:
    net = net_of(CONV + BN + SCALE + RELU)
    net.forward({"x": x})
    other = torch.randn(1, 4, 20, 11, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(
        net.forward({"x": other})["y"], one_by_one(net, other), rtol=2e-5, atol=2e-5
    )
    part = net.forward({"x": other}, end="c")["c"].clone()
    assert (part < 0).any()  # the convolution alone: no ReLU
    again = net.forward(start="b")["y"]
    torch.testing.assert_close(again, one_by_one(net, other), rtol=2e-5, atol=2e-5)


def test_gradients_are_those_of_the_layers(x: torch.Tensor) -> None:
    text = "force_backward: true\n" + DATA + CONV + RELU + READER
    net = Net(build_spec(from_document(prototxt.parse(text)).message, NetState()), seed=1)
    net.forward({"x": x})
    net.blobs["y"].diff[...] = 1
    net.backward()
    assert net.blobs["x"].diff.any() and net.params["c"][0].diff.any()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param(CONV + RELU, ["x", "c", "r", "y"], id="convolution and relu"),
        pytest.param(CONV + BN + SCALE + RELU, ["x", "s", "r", "y"], id="what is folded is gone"),
        pytest.param(CONV + BN, ["x", "b", "y"], id="no relu"),
    ],
)
def test_an_observer_may_look_at_chains(text: str, seen: list[str], x: torch.Tensor) -> None:
    net = net_of(text)
    want = net.forward({"x": x})["y"].clone()
    tops: dict[str, torch.Tensor] = {}
    bottoms: dict[str, int] = {}

    def observe(node: Node, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> None:
        tops[node.spec.name] = after[0].clone()
        bottoms[node.spec.name] = len(before)

    with torch.no_grad():
        found = net.forward({"x": x}, observer=observe, fused=True)["y"]
    assert torch.equal(found, want)  # the same passes, but for where ReLU is done
    assert list(tops) == seen
    if "r" in seen:
        assert bottoms["r"] == 0 and torch.equal(tops["r"], tops[seen[1]].relu())
        assert (tops[seen[1]] < 0).any()


@pytest.mark.parametrize("where", ["input", "weight", "bias", "scale"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_comes_through_as_layer_by_layer(where: str, value: float, x: torch.Tensor) -> None:
    net = net_of(CONV + BN + SCALE + RELU)
    want = net.forward({"x": x})["y"].clone()
    held = {"weight": ("c", 0), "bias": ("c", 1), "scale": ("s", 0)}
    if where == "input":
        x = x.clone()
        x[0, 1, 4, 3] = value
    else:
        layer, index = held[where]
        blob = net.params[layer][index].tensor
        first = float(blob.flatten()[0])
        blob.view(-1)[0] = value
    for _ in range(2):
        found = net.forward({"x": x})["y"].clone()
        assert torch.equal(found.isnan(), one_by_one(net, x).isnan())
    if math.isnan(value):  # an infinity gives NaN in some cases only
        assert bool(found.isnan().any())
    if where == "input":
        x[0, 1, 4, 3] = 0
    else:
        blob.view(-1)[0] = first
        assert torch.equal(net.forward({"x": x})["y"], want)  # at once, and again as one
