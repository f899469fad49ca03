"""Which layers, bottoms and blobs take part in the backward pass. Source: Net::Init in net.cpp."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adaption.errors import LayerError
from adaption.net import Net
from tests.net.nets import data, euclidean, inner_product, layer, lp_inner_product, net_of

INPUTS = data(2, 3) + data(2, 3, name="t")
LOSS = euclidean("loss", "b t")
TWO = INPUTS + inner_product("a", "data") + inner_product("b", "a")


def needs(net: Net) -> list[str]:
    return [n.spec.name for n in net.nodes if n.needs_backward]


def fill(net: Net) -> Net:
    rng = np.random.default_rng(1)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.normal(size=net.blobs[name].shape)
    return net


def passed(text: str, phase: str = "TRAIN") -> Net:
    net = fill(net_of(text, phase=phase))
    net.forward()
    net.backward()
    return net


def gradients(net: Net) -> set[str]:
    """Blobs and parameters with a gradient that is not all zero."""
    found = {name for name, blob in net.blobs.items() if blob.diff.any()}
    return found | {
        f"{name}.{i}" for name, own in net.params.items() for i, b in enumerate(own) if b.diff.any()
    }


def test_a_loss_brings_gradients_to_what_learns_and_no_further() -> None:
    net = passed(TWO + LOSS)
    assert needs(net) == ["a", "b", "loss"]
    assert gradients(net) == {"a", "b", "loss", "a.0", "a.1", "b.0", "b.1"}


def test_without_a_loss_there_is_no_gradient() -> None:
    net = passed(TWO)
    assert needs(net) == []
    assert all(node.tape is None for node in net.nodes)
    net.blobs["b"].diff[...] = 1
    net.backward()
    assert gradients(net) == {"b"}


def test_force_backward_reaches_inputs_and_frozen_parameters() -> None:
    frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
    text = INPUTS + inner_product("a", "data", more=frozen) + euclidean("loss", "a t")
    assert gradients(passed(text)) == {"loss"}
    forced = passed(text + "force_backward: true")
    assert gradients(forced) == {"loss", "a", "data", "t", "a.0", "a.1"}


def test_force_backward_without_a_loss() -> None:
    net = fill(net_of(TWO + "force_backward: true"))
    net.forward()
    net.blobs["b"].diff[...] = 1
    net.backward()
    assert gradients(net) == {"b", "a", "data", "a.0", "a.1", "b.0", "b.1"}


def test_labels_get_no_gradient_even_when_forced() -> None:
    text = INPUTS.replace(
        '"t" input_param { shape { dim: 2 dim: 3', '"t" input_param { shape { dim: 2'
    )
    text += layer("SoftmaxWithLoss", "loss", "data t")
    net = passed(text + "force_backward: true")
    assert gradients(net) == {"data", "loss"}


@pytest.mark.parametrize(
    ("specs", "want"),
    [
        pytest.param("", {"a.0", "a.1"}, id="default lr_mult is 1"),
        pytest.param("param { lr_mult: 0 }", {"a.1"}, id="frozen weights"),
        pytest.param("param { } param { lr_mult: 0 }", {"a.0"}, id="frozen bias"),
        pytest.param("param { lr_mult: 0 } param { lr_mult: 0 }", set(), id="frozen"),
        pytest.param("param { lr_mult: 1e-9 } param { decay_mult: 0 }", {"a.0", "a.1"}, id="tiny"),
    ],
)
@pytest.mark.parametrize("make", [inner_product, lp_inner_product])
def test_lr_mult_zero(make: object, specs: str, want: set[str]) -> None:
    """One spec per weight and bias, also for the four blobs of a low-precision layer."""
    assert callable(make)
    text = INPUTS + inner_product("z", "data") + make("a", "z", more=specs)
    net = passed(text + euclidean("loss", "a t"))
    own = {name for name in gradients(net) if name.startswith("a.")}
    if make is lp_inner_product:
        want = {name.replace("a.1", "a.2") for name in want}
    assert own == want
    assert "z.0" in gradients(net)  # a frozen layer hands the gradient on


def test_frozen_layers_at_the_bottom_are_left_out() -> None:
    frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
    net = passed(INPUTS + inner_product("a", "data", more=frozen) + inner_product("b", "a") + LOSS)
    assert needs(net) == ["b", "loss"]
    assert gradients(net) == {"b", "loss", "b.0", "b.1"}


def test_propagate_down_false_stops_the_gradient() -> None:
    text = (
        INPUTS + inner_product("a", "data") + inner_product("b", "a", more="propagate_down: false")
    )
    net = passed(text + LOSS)
    assert needs(net) == ["b", "loss"]
    assert gradients(net) == {"b", "loss", "b.0", "b.1"}


def test_propagate_down_true_asks_for_it() -> None:
    net = passed(INPUTS + inner_product("b", "data", more="propagate_down: true") + LOSS)
    assert gradients(net) == {"data", "b", "loss", "b.0", "b.1"}


def test_propagate_down_of_one_branch() -> None:
    text = INPUTS + inner_product("a", "data") + inner_product("c", "data")
    text += layer("Eltwise", "b", "a c", more="propagate_down: [true, false]")
    assert {n for n in gradients(passed(text + LOSS)) if "." in n} == {"a.0", "a.1"}


def test_a_branch_without_a_loss_is_left_out() -> None:
    side = inner_product("side", "a") + layer("ArgMax", "best", "side")
    net = passed(TWO.replace(inner_product("b", "a"), side + inner_product("b", "a")) + LOSS)
    assert "side" not in needs(net)
    assert {n for n in gradients(net) if "." in n} == {"a.0", "a.1", "b.0", "b.1"}


def test_silence_on_a_loss_does_not_stop_it() -> None:
    """In Caffe it does: a layer whose tops all lead nowhere is skipped, a loss or not."""
    net = passed(TWO + LOSS + layer("Silence", "quiet", "loss", ""))
    assert "a.0" in gradients(net)


def test_statistics_do_not_learn() -> None:
    text = INPUTS + inner_product("a", "data") + layer("BatchNorm", "b", "a")
    net = passed(text + LOSS)
    assert [node.learns for node in net.nodes if node.spec.name == "b"] == [[False] * 3]
    assert not any(blob.diff.any() for blob in net.params["b"])


def test_nothing_is_recorded_in_a_test_net_without_a_loss() -> None:
    net = fill(net_of(TWO))
    net.forward()
    assert all(node.tape is None for node in net.nodes)
    assert not any(blob.tensor.requires_grad for blob in net.blobs.values())


def test_backward_needs_a_recorded_forward_pass() -> None:
    net = fill(net_of(TWO + LOSS))
    with torch.no_grad():
        net.forward()
    with pytest.raises(LayerError) as caught:
        net.backward()
    assert str(caught.value) == (
        'net.prototxt: layer "loss" (EuclideanLoss): backward without a recorded forward pass\n'
        "  fix: run forward on the whole net first"
    )
