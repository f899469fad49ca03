"""Building a net: order, shapes, sharing, and the whole message where it cannot be built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adaption.errors import AdaptionError, FieldError, LayerError, ShapeError, UnknownLayerError
from adaption.io.netfile import read_net
from adaption.net import Net
from tests.net.nets import data, euclidean, inner_product, layer, lp_inner_product, net_of


def error_of(text: str, phase: str = "TEST", **options: object) -> str:
    with pytest.raises(AdaptionError) as caught:
        net_of(text, phase=phase, **options)
    return str(caught.value)


TWO_HEADS = (
    data(4, 2)
    + inner_product("ip", "data")
    + layer("ReLU", "relu", "ip", "ip")
    + layer("Sigmoid", "b", "ip")
    + layer("TanH", "a", "ip")
)


def test_order_of_blobs_layers_and_params() -> None:
    net = net_of(TWO_HEADS)
    assert list(net.blobs) == ["data", "ip", "ip_relu_0_split_0", "ip_relu_0_split_1", "b", "a"]
    assert net.layer_names == ["data", "ip", "relu", "ip_relu_0_split", "b", "a"]
    assert {name: [b.shape for b in blobs] for name, blobs in net.params.items()} == {
        "ip": [(3, 2), (3,)]
    }
    assert (net.inputs, net.outputs) == (("data",), ("a", "b"))
    assert net.blobs["a"].shape == (4, 3)


def test_end_cuts_the_net() -> None:
    net = net_of(TWO_HEADS, end="relu")
    assert net.layer_names == ["data", "ip", "relu"]
    assert net.outputs == ("ip",)
    assert error_of(TWO_HEADS, end="c") == (
        "net.prototxt: has no layer 'c' to end at\n  fix: its layers: data, ip, relu, b, a"
    )


def test_a_path_a_file_and_a_spec_give_the_same_net(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TWO_HEADS)
    nets = [Net(path), Net(str(path)), Net(read_net(path)), Net(Net(path).spec)]
    assert len({tuple(net.layer_names) for net in nets}) == 1


def test_two_layers_of_one_name() -> None:
    """As in Caffe, where published nets have it; `params` shows the last of them."""
    text = data(1, 2) + inner_product("ip", "data") + layer("ReLU", "ip", "ip", "ip")
    net = net_of(text)
    assert net.layer_names == ["data", "ip", "ip"]
    assert list(net.params) == ["ip"]
    more = layer("InnerProduct", "ip", "ip", "y", "inner_product_param { num_output: 4 }")
    net = net_of(text + more)
    assert [b.shape for b in net.params["ip"]] == [(4, 3), (4,)]
    assert len(list(net.parameters())) == 4


def test_names_that_differ_in_a_dot_only() -> None:
    """torch allows no dots in parameter names; without them two layers lost their parameters."""
    net = net_of(data(1, 2) + inner_product("a.b", "data") + inner_product("a_b", "a.b"))
    assert [n for n, _ in net.named_parameters()] == ["a_b:0", "a_b:1", "a_b:0'", "a_b:1'"]
    assert [tuple(p.shape) for p in net.parameters()] == [(3, 2), (3,), (3, 3), (3,)]


def test_a_seed_gives_the_same_net() -> None:
    one, two, other = (net_of(TWO_HEADS, seed=s) for s in (3, 3, 4))
    weights = [n.params["ip"][0].tensor for n in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_without_a_seed_nets_differ() -> None:
    one, two = (net_of(TWO_HEADS, seed=None).params["ip"][0].tensor for _ in range(2))
    assert not torch.equal(one, two)


# -- losses --------------------------------------------------------------------------------------


def test_a_loss_without_a_top_gets_one() -> None:
    """Caffe's AutoTopBlobs; nets of 2014 have losses without tops."""
    text = data(2, 3) + data(2, 3, name="t")
    text += layer("EuclideanLoss", "l1", "data t", "") + layer("EuclideanLoss", "l2", "t data", "")
    net = net_of(text)
    assert list(net.blobs)[-2:] == ["(automatic)", "(automatic 2)"]
    assert net.outputs == ()
    net.blobs["data"].data[...] = 2
    net.forward()
    assert net.loss() == 2 * (2 * 3 * 4) / 4  # sum of squares / 2 N, twice


def test_loss_weights() -> None:
    text = data(2, 3) + data(2, 3, name="t")
    text += euclidean("l1", "data t") + euclidean("l2", "data t", "loss_weight: 3")
    text += euclidean("l3", "data t", "loss_weight: 0")
    text += layer("Reduction", "r", "data", more="reduction_param { axis: 1 } loss_weight: 2")
    net = net_of(text)
    assert [w for n in net.nodes for w in n.loss_weights if n.spec.type != "Split"][2:] == [
        1.0,
        3.0,
        0.0,
        2.0,
    ]
    assert net.blobs["l2"].diff.tolist() == 3
    assert net.blobs["r"].diff.tolist() == [2, 2]
    net.blobs["data"].data[...] = 2
    net.forward()
    assert net.loss() == pytest.approx(4 * 6 + 2 * 12)  # loss 6; the reduction sums to 6 and 6


def test_loss_weights_have_to_be_one_per_top() -> None:
    text = data(2, 3) + data(2, 3, name="t") + euclidean("l", "data t", "loss_weight: [1, 2]")
    assert error_of(text) == (
        'net.prototxt:3: layer "l" (EuclideanLoss): loss_weight is [1.0, 2.0],'
        " allowed: one per top (1)"
    )


# -- shared parameters ---------------------------------------------------------------------------


def shared(more: str = "", outputs: int = 3, first: str = "") -> str:
    named = 'param { name: "w" %s } param { name: "b" }'
    return (
        data(4, 3)
        + inner_product("one", "data", 3, named % first)
        + inner_product("two", "one", outputs, named % more)
    )


def test_strict_sharing() -> None:
    net = net_of(shared())
    assert net.params["one"][0] is net.params["two"][0]
    assert net.params["one"][1] is net.params["two"][1]
    assert [n for n, _ in net.named_parameters()] == ["one:0", "one:1"]


def test_strict_sharing_of_other_shapes() -> None:
    assert error_of(shared(outputs=4)) == (
        'net.prototxt:3: layer "two" (InnerProduct): shares param "w" of shape (3, 3),'
        " its own blob 0 needs (4, 3)\n"
        "  fix: share blobs of one shape, or of one count with share_mode: PERMISSIVE"
    )


@pytest.mark.parametrize("name", ["lr_mult", "decay_mult"])
def test_multipliers_of_a_shared_parameter_have_to_agree(name: str) -> None:
    net_of(shared(f"{name}: 2", first=f"{name}: 2"))
    net_of(shared(f"{name}: 2"))  # given once
    assert error_of(shared(f"{name}: 2", first=f"{name}: 3")) == (
        f'net.prototxt:3: layer "two" (InnerProduct): {name} of the shared param "w" is 2.0,'
        " allowed: 3.0, which an earlier layer gives\n"
        "  fix: give it once, or the same everywhere"
    )


PERMISSIVE = (
    data(4, 6)
    + inner_product("one", "data", 2, 'param { name: "w" }', "bias_term: false")
    + layer("Reshape", "r", "one", more="reshape_param { shape { dim: -1 dim: 4 } }")
    + inner_product("two", "r", 3, 'param { name: "w" share_mode: PERMISSIVE }', "bias_term: false")
)


def test_permissive_sharing_of_one_count() -> None:
    net = net_of(PERMISSIVE)
    one, two = net.params["one"][0], net.params["two"][0]
    assert (one.shape, two.shape) == ((2, 6), (3, 4))
    two.data[0, 0] = 99
    assert one.data[0, 0] == 99
    assert len(list(net.parameters())) == 1
    net.blobs["data"].reshape(8, 6)
    net.reshape()
    assert net.params["two"][0] is two
    one.data[0, 1] = 98
    assert two.data[0, 1] == 98


def test_permissive_sharing_of_another_count() -> None:
    text = PERMISSIVE.replace("num_output: 3", "num_output: 4")
    assert 'shares param "w" of shape (2, 6), its own blob 0 needs (4, 4)' in error_of(text)


def test_plain_and_low_precision_layers_share_masters_only() -> None:
    spec = 'param { name: "w" } param { name: "b" }'
    net = net_of(
        data(1, 3) + inner_product("hp", "data", 3, spec) + lp_inner_product("lp", "hp", more=spec)
    )
    hp, lp = net.params["hp"], net.params["lp"]
    assert (lp[0] is hp[0], lp[2] is hp[1]) == (True, True)
    assert not {id(lp[1]), id(lp[3])} & {id(b) for b in hp}


def test_layers_that_share_a_master_may_round_it_differently() -> None:
    spec = 'param { name: "w" }'
    net = net_of(
        data(1, 3)
        + lp_inner_product("a", "data", lpfp="bd: 2 ad: 2", more=spec)
        + lp_inner_product("b", "a", lpfp="bd: 2 ad: 6", more=spec)
    )
    net.params["a"][0].data[...] = 0.3
    net.forward()
    assert net.params["a"][1].data[0, 0] == 0.25
    assert net.params["b"][1].data[0, 0] == 0.296875


# -- errors --------------------------------------------------------------------------------------


def test_unknown_layers_are_all_listed() -> None:
    text = data(1, 2) + layer("Convolutions", "r", "data") + layer("Foo", "f", "r")
    with pytest.raises(UnknownLayerError) as caught:
        net_of(text)
    assert str(caught.value).splitlines()[0] == (
        "net.prototxt:2: unknown layer type in layer \"r\" of type 'Convolutions'"
        " (did you mean Convolution?),"
        " layer \"f\" of type 'Foo'"
    )


def test_shapes_that_do_not_fit_name_the_layer() -> None:
    text = data(1, 1, 4, 4) + layer(
        "Convolution", "c", "data", more="convolution_param { num_output: 1 kernel_size: 7 }"
    )
    with pytest.raises(ShapeError) as caught:
        net_of(text)
    assert str(caught.value).startswith('net.prototxt:2: layer "c" (Convolution): ')


def test_propagate_down_has_to_be_one_per_bottom() -> None:
    text = data(1, 2) + inner_product("ip", "data", more="propagate_down: [true, false]")
    with pytest.raises(LayerError) as caught:
        net_of(text)
    assert str(caught.value) == (
        'net.prototxt:2: layer "ip" (InnerProduct): propagate_down is given 2 times,'
        " allowed: once per bottom (1)"
    )


FIXED = "{ kind: FIXED word_length: 8 frac_length: 4 }"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            layer("BatchNorm", "l", "data", more=f"precision_param {{ weight {FIXED} }}"),
            "(BatchNorm): precision_param.weight is 'set', allowed: layers whose blobs are one"
            " weight and one bias",
            id="statistics",
        ),
        pytest.param(
            layer("ReLU", "l", "data", more=f"precision_param {{ weight {FIXED} }}"),
            "(ReLU): precision_param.weight is 'set', allowed: layers with a weight",
            id="no weight",
        ),
        pytest.param(
            inner_product(
                "l", "data", 3, f"precision_param {{ bias {FIXED} }}", "bias_term: false"
            ),
            "(InnerProduct): precision_param.bias is 'set', allowed: layers with a bias",
            id="no bias",
        ),
    ],
)
def test_precision_of_what_a_layer_lacks_is_refused(text: str, want: str) -> None:
    fix = "\n  fix: remove it from this layer"
    assert error_of(data(2, 3) + text) == f'net.prototxt:2: layer "l" {want}{fix}'


@pytest.mark.parametrize("kind", ["Input", "DummyData"])
def test_precision_of_data_is_refused(kind: str) -> None:
    """An Input layer does not run, a Data layer would round its labels, too."""
    shape = "shape { dim: 1 dim: 2 }"
    param = f"input_param {{ {shape} }} dummy_data_param {{ {shape} }}"
    text = layer(kind, "d", "", "d", f"{param} precision_param {{ activation {FIXED} }}")
    with pytest.raises(FieldError) as caught:
        net_of(text)
    assert str(caught.value) == (
        f"net.prototxt:1: layer \"d\" ({kind}): precision_param.activation is 'set',"
        " allowed: layers that compute\n  fix: put an LPAct layer behind the data"
    )


def test_a_spec_takes_a_dialect_too() -> None:
    spec = net_of(data(2, 3)).spec
    assert Net(spec, dialect="segnet").spec.dialect == "segnet"
    with pytest.raises(FieldError, match="dialect is 'nobody', allowed: "):
        Net(spec, dialect="nobody")
