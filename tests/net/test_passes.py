"""Forward and backward over the whole net and parts of it; inputs, shapes, in-place layers."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import LayerError, ShapeError, UsageError
from adaption.net import Net
from tests.net.nets import (
    GAUSSIAN,
    data,
    euclidean,
    inner_product,
    layer,
    lp_inner_product,
    net_of,
    normal,
)

X = normal(4, 3)
LOW = "precision_param { activation { kind: FIXED word_length: 16 frac_length: 8 } }"
CHAIN = (
    data(4, 3)
    + inner_product("a", "data")
    + layer("ReLU", "relu", "a", "a")
    + inner_product("b", "a")
    + layer("Sigmoid", "s", "b")
)


def weights(net: Net, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    w, b = net.params[name]
    return w.tensor.detach(), b.tensor.detach()


def chain(net: Net, x: torch.Tensor) -> dict[str, torch.Tensor]:
    linear = torch.nn.functional.linear
    a = linear(x, *weights(net, "a")).relu()
    b = linear(a, *weights(net, "b"))
    return {"a": a, "b": b, "s": b.sigmoid()}


# -- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [
        pytest.param(X, id="tensor"),
        pytest.param(X.numpy(), id="array"),
        pytest.param(X.double(), id="float64"),
        pytest.param(X.tolist(), id="lists"),
        pytest.param(X.T.contiguous().T, id="strided tensor"),
        pytest.param(X.numpy()[::-1].copy()[::-1], id="negative strides"),
        pytest.param(np.broadcast_to(X.numpy(), (4, 3)), id="read-only array"),
        pytest.param(X.clone().requires_grad_(), id="tensor that asks for a gradient"),
    ],
)
def test_inputs_of_every_kind(x: Any) -> None:
    net = net_of(CHAIN)
    want = chain(net, X)["s"]
    assert torch.equal(net.forward({"data": x})["s"], want)
    assert torch.equal(net.forward(data=x)["s"], want)


def test_the_callers_array_is_never_written() -> None:
    """Held views made the next input overwrite the first one's array."""
    net, first = net_of(CHAIN), X.numpy().copy()
    net.forward(data=first)
    view = net.blobs["data"].data
    net.forward(data=X + 1)
    view[...] = 9
    np.testing.assert_array_equal(first, X.numpy())


def test_changing_the_array_later_does_not_change_the_net() -> None:
    net, x = net_of(CHAIN), X.numpy().copy()
    net.forward(data=x)
    x[...] = 0
    np.testing.assert_array_equal(net.blobs["data"].data, X.numpy())


def test_inputs_that_are_not_given_keep_their_values() -> None:
    net = net_of(data(2, name="a") + data(2, name="b") + layer("Eltwise", "sum", "a b"))
    net.forward(a=[1, 2], b=[10, 20])
    assert net.forward(a=[3, 4])["sum"].tolist() == [13, 24]


@pytest.mark.parametrize(
    ("inputs", "want"),
    [
        ({"dta": X}, "the net has no blob 'dta'\n  fix: did you mean data? its inputs: data"),
        ({"data": X[0]}, 'net.prototxt: input "data" has shape (3,), the net has (4, 3)'),
        (
            {"data": "text"},
            "input \"data\" is no array of numbers: could not convert string to float: 'text'",
        ),
    ],
)
def test_bad_input(inputs: dict[str, Any], want: str) -> None:
    with pytest.raises((UsageError, ShapeError)) as caught:
        net_of(CHAIN).forward(inputs)
    assert str(caught.value) == want


# -- forward -------------------------------------------------------------------------------------


def test_multi_input_and_multi_output() -> None:
    text = data(2, 3, name="x") + data(2, 3, name="y")
    text += layer("Eltwise", "sum", "x y") + layer("Concat", "both", "x y")
    text += layer("Slice", "cut", "sum", "u v w", "slice_param { axis: 1 }")
    x, y = normal(2, 3, seed=1), normal(2, 3, seed=2)
    out = net_of(text).forward(x=x, y=y)
    assert list(out) == ["both", "u", "v", "w"]
    assert torch.equal(out["both"], torch.cat([x, y], 1))
    assert torch.equal(torch.cat([out["u"], out["v"], out["w"]], 1), x + y)


def test_end_returns_its_tops_and_runs_nothing_behind() -> None:
    net = net_of(CHAIN)
    out = net.forward(data=X, end="a")
    # The ReLU behind is in-place on the same blob.
    want = torch.nn.functional.linear(X, *weights(net, "a"))
    assert list(out) == ["a"] and torch.equal(out["a"], want)
    assert not net.blobs["s"].data.any()


def test_start_takes_the_blobs_as_they_are() -> None:
    net = net_of(CHAIN)
    net.forward(data=X)
    a = normal(4, 3, seed=7)
    out = net.forward({"a": a}, start="b")
    want = torch.nn.functional.linear(a, *weights(net, "b")).sigmoid()
    assert torch.equal(out["s"], want)
    net.blobs["a"].data[...] = 0
    assert torch.equal(net.forward(start="b")["s"][0], weights(net, "b")[1].sigmoid())


CLASSIFIER = (
    "force_backward: true\n"
    + data(1, 3, 8, 8)
    + layer("Convolution", "conv", "data", more="convolution_param { num_output: 4 kernel_size: 3"
            ' weight_filler { type: "gaussian" } }')
    + layer("ReLU", "relu", "conv", "conv")
    + layer("Pooling", "pool", "conv", more="pooling_param { kernel_size: 6 }")
    + inner_product("fc", "pool", 2)
)  # fmt: skip


def test_layers_behind_end_need_not_fit() -> None:
    """Features at any size of the input, as deepdream and others take them."""
    net = net_of(CLASSIFIER, seed=1)
    before = net.forward(data=torch.ones(1, 3, 8, 8))["fc"].clone()
    for size in ((20, 30), (6, 7), (5, 3)):
        made = net.forward(data=torch.ones(2, 3, *size), end="relu")["conv"]
        assert made.shape == (2, 4, size[0] - 2, size[1] - 2)
        net.blobs["conv"].set_grad(torch.ones_like(made))
        net.backward(start="relu")
        assert net.blobs["data"].grad.any()
        with pytest.raises(ShapeError):
            net.forward()
        again = net.forward(end="conv")["conv"]
        assert torch.equal(again.relu(), made)
    assert torch.equal(net.forward(data=torch.ones(1, 3, 8, 8))["fc"], before)


def test_a_pass_behind_a_shorter_one_reshapes_the_rest() -> None:
    net = net_of(CHAIN)
    net.forward(data=normal(7, 3), end="a")
    assert net.blobs["b"].shape == (4, 3)
    assert net.forward()["s"].shape == (7, 3)


def test_layers_by_index() -> None:
    net = net_of(CHAIN)
    net.forward(data=X, end=1)
    made = net.forward(start=2, end=3)
    assert list(made) == ["b"]
    with pytest.raises(UsageError, match="no layer 9"):
        net.forward(end=9)


def test_backward_of_blobs_as_they_are() -> None:
    net = net_of("force_backward: true\n" + CHAIN)
    for blob in net.blobs.values():
        blob.set(torch.full(blob.shape, 0.5))
    net.blobs["s"].set_grad(torch.ones(4, 3))
    net.backward(as_they_are=True)
    assert torch.equal(net.blobs["b"].tensor, torch.full((4, 3), 0.5))
    slope = torch.sigmoid(torch.full((4, 3), 0.5))
    want = (slope * (1 - slope)) @ weights(net, "b")[0] @ weights(net, "a")[0]
    torch.testing.assert_close(net.blobs["data"].grad, want)


def test_unknown_layer_names() -> None:
    net = net_of(CHAIN)
    for run in (net.forward, net.backward):
        for at in ({"start": "c"}, {"end": "c"}):
            with pytest.raises(UsageError) as caught:
                run(**at)
            assert str(caught.value) == (
                "the net has no layer 'c'\n  fix: its layers: data, a, relu, b, s"
            )


def test_observer_sees_every_layer_with_bottoms_and_tops() -> None:
    net = net_of(CHAIN)
    seen: dict[str, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
    net.forward(
        data=X,
        observer=lambda node, bottoms, tops: seen.update(
            {node.spec.name: (list(bottoms), list(tops))}
        ),
    )
    assert list(seen) == net.layer_names
    (before,), (after,) = seen["relu"]
    assert torch.equal(before.relu(), after) and bool((before < 0).any())


def test_results_of_two_passes_are_two_tensors() -> None:
    net = net_of(CHAIN)
    one = net.forward(data=X)["s"]
    kept = one.clone()
    two = net.forward(data=X + 1)["s"]
    assert torch.equal(one, kept) and not torch.equal(one, two)


def test_a_held_view_of_every_blob_changes_nothing() -> None:
    """Views force the net to write into their memory, also under in-place layers."""
    text = CHAIN + data(4, 3, name="t") + euclidean("loss", "s t")
    free, held = net_of(text, phase="TRAIN"), net_of(text, phase="TRAIN")
    views = {name: (blob.data, blob.diff) for name, blob in held.blobs.items()}
    for seed in range(2):
        x, t = normal(4, 3, seed=seed), normal(4, 3, seed=seed + 9)
        for net in (free, held):
            net.clear_param_diffs()
            net.forward(data=x, t=t)
            net.backward()
        for name, (values, diff) in views.items():
            np.testing.assert_array_equal(values, free.blobs[name].data, err_msg=name)
            np.testing.assert_array_equal(diff, free.blobs[name].diff, err_msg=name)
        for name, blobs in held.params.items():
            for i, blob in enumerate(blobs):
                np.testing.assert_array_equal(blob.diff, free.params[name][i].diff)


# -- shapes --------------------------------------------------------------------------------------


def test_a_new_batch_size_goes_through_the_net() -> None:
    net = net_of(CHAIN)
    x = normal(7, 3)
    assert torch.equal(net.forward(data=x)["s"], chain(net, x)["s"])
    assert [b.shape for b in net.blobs.values()] == [(7, 3)] * 4


def test_reshape_before_the_pass() -> None:
    net = net_of(CHAIN)
    net.blobs["data"].reshape(2, 3)
    net.reshape()
    assert net.blobs["s"].shape == (2, 3)
    net.blobs["data"].reshape(5, 3)  # without reshape(): the pass does it
    net.forward()
    assert net.blobs["s"].shape == (5, 3)


def test_reshape_keeps_the_loss_weight_as_diff() -> None:
    text = data(4, 3) + layer("Reduction", "r", "data", more="reduction_param { axis: 1 }"
                              " loss_weight: 3")  # fmt: skip
    net = net_of(text)
    net.forward(data=normal(2, 3))
    assert net.blobs["r"].diff.tolist() == [3, 3]


def test_a_shape_that_does_not_fit_names_the_layer_and_leaves_the_net_usable() -> None:
    text = CHAIN + data(4, 3, name="t") + euclidean("loss", "data t")
    net = net_of(text, phase="TRAIN")
    want = net.forward(data=X)["s"].clone()
    with pytest.raises(ShapeError) as caught:
        net.forward(data=normal(4, 5))
    assert str(caught.value) == (
        'net.prototxt:2: layer "a" (InnerProduct): the blobs have shapes [(3, 3), (3,)],'
        " this input needs [(3, 5), (3,)]"
    )
    assert torch.equal(net.forward(data=X)["s"], want)
    assert net.blobs["loss"].diff.tolist() == 1


# -- backward ------------------------------------------------------------------------------------


def test_gradients_of_a_chain_are_those_of_torch() -> None:
    net = net_of(CHAIN + "force_backward: true")
    net.forward(data=X)
    g = normal(4, 3, seed=5)
    net.blobs["s"].diff[...] = g
    net.backward()
    x = X.clone().requires_grad_()
    leaves = [p.clone().requires_grad_() for name in "ab" for p in weights(net, name)]
    linear = torch.nn.functional.linear
    y = linear(linear(x, *leaves[:2]).relu(), *leaves[2:]).sigmoid()
    want = torch.autograd.grad(y, [x, *leaves], g)
    got = [net.blobs["data"].grad, *(b.grad for name in "ab" for b in net.params[name])]
    for one, two in zip(got, want, strict=True):
        torch.testing.assert_close(one, two)  # float32: another order of sums


def test_backward_from_and_to_a_layer() -> None:
    net = net_of(CHAIN + "force_backward: true")
    net.forward(data=X)
    g = normal(4, 3, seed=5)
    net.blobs["b"].diff[...] = g
    net.backward(start="b", end="b")
    assert torch.allclose(net.blobs["a"].grad, g @ weights(net, "b")[0])
    assert not net.blobs["data"].diff.any()
    assert not net.params["a"][0].diff.any()
    net.backward(start="relu")
    assert net.blobs["data"].diff.any()


def test_parameter_gradients_add_up_and_blob_gradients_do_not() -> None:
    net = net_of(CHAIN + "force_backward: true")
    net.forward(data=X)
    net.blobs["s"].diff[...] = 1
    net.backward()
    once = {n: [b.diff.copy() for b in net.params[n]] for n in "ab"}
    below = net.blobs["data"].diff.copy()
    net.backward()
    for name, diffs in once.items():
        for blob, diff in zip(net.params[name], diffs, strict=True):
            np.testing.assert_allclose(blob.diff, 2 * diff)
    np.testing.assert_array_equal(net.blobs["data"].diff, below)
    net.clear_param_diffs()
    assert not any(b.diff.any() for blobs in net.params.values() for b in blobs)


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
def test_gradients_of_shared_parameters_add_up_in_the_one_blob(mode: str) -> None:
    spec = f'param {{ name: "w" share_mode: {mode} }}'
    text = data(4, 3) + inner_product("a", "data", 3, spec, "bias_term: false")
    text += inner_product("b", "a", 3, spec, "bias_term: false") + "force_backward: true"
    net = net_of(text)
    net.forward(data=X)
    net.blobs["b"].diff[...] = 1
    net.backward()
    w = net.params["a"][0].tensor.detach().clone().requires_grad_()
    (X @ w.T @ w.T).sum().backward()
    assert w.grad is not None
    torch.testing.assert_close(net.params["a"][0].grad, w.grad)
    assert net.params["b"][0].diff is not None
    np.testing.assert_array_equal(net.params["b"][0].diff, net.params["a"][0].diff)


def test_gradients_of_permissive_sharing_in_two_shapes() -> None:
    text = data(4, 6) + inner_product("a", "data", 2, 'param { name: "w" }', "bias_term: false")
    text += layer("Reshape", "r", "a", more="reshape_param { shape { dim: -1 dim: 4 } }")
    spec = 'param { name: "w" share_mode: PERMISSIVE }'
    text += inner_product("b", "r", 3, spec, "bias_term: false") + "force_backward: true"
    net = net_of(text)
    x = normal(4, 6)
    net.forward(data=x)
    net.blobs["b"].diff[...] = 1
    net.backward()
    w = net.params["a"][0].tensor.detach().clone().requires_grad_()
    ((x @ w.T).reshape(-1, 4) @ w.view(3, 4).T).sum().backward()
    assert w.grad is not None
    torch.testing.assert_close(net.params["a"][0].grad, w.grad)
    assert net.params["b"][0].diff.shape == (3, 4)


def test_gradients_add_up_at_a_split() -> None:
    text = data(2, 3) + layer("Power", "a", "data", more="power_param { scale: 2 }")
    text += layer("Power", "b", "data", more="power_param { scale: 5 }") + "force_backward: true"
    net = net_of(text)
    net.forward()
    net.blobs["a"].diff[...] = 1
    net.blobs["b"].diff[...] = 10
    net.backward()
    assert (net.blobs["data"].diff == 52).all()


def test_loss_weights_scale_gradients() -> None:
    text = data(2, 3) + data(2, 3, name="t") + layer("Power", "p", "data")
    text += euclidean("l", "p t", "loss_weight: 4") + "force_backward: true"
    net = net_of(text)
    net.forward(data=torch.ones(2, 3))
    net.backward()
    assert (net.blobs["data"].diff == 4 * 1 / 2).all()  # (x - t) / N
    net.blobs["l"].diff[...] = 1  # a script may start from another gradient
    net.backward()
    assert (net.blobs["data"].diff == 0.5).all()


def test_zeroing_the_input_diff_does_not_touch_the_top_diff() -> None:
    """LPAct hands its gradient on as it is; the two blobs must not share memory."""
    lpfp = "lpfp_param { bd: 2 ad: 2 }"
    net = net_of(data(2) + layer("LPAct", "q", "data", more=lpfp) + "force_backward: true")
    net.forward()
    for value in (1.0, 2.0):
        net.blobs["q"].diff[...] = value
        net.blobs["data"].diff[...] = 0
        net.backward()
        assert net.blobs["data"].diff.tolist() == [value, value]


def test_backward_may_run_twice() -> None:
    net = net_of(CHAIN + "force_backward: true")
    net.forward(data=X)
    grads = []
    for _ in range(2):
        net.blobs["s"].diff[...] = 1
        net.backward()
        grads.append(net.blobs["data"].diff.copy())
    np.testing.assert_array_equal(*grads)


def test_dropout_follows_the_phase_and_the_seed() -> None:
    text = data(100) + layer("Dropout", "d", "data")
    x = torch.ones(100)
    assert torch.equal(net_of(text).forward(data=x)["d"], x)
    one, two = (net_of(text, phase="TRAIN", seed=3) for _ in range(2))
    first = one.forward(data=x)["d"]
    assert torch.equal(first, two.forward(data=x)["d"])
    assert 20 < int((first == 0).sum()) < 80
    assert not torch.equal(first, one.forward(data=x)["d"])
    one.manual_seed(5)
    again = one.forward(data=x)["d"].clone()
    one.manual_seed(5)
    assert torch.equal(one.forward(data=x)["d"], again)


def test_nan_passes_through() -> None:
    net = net_of(data(2) + layer("LPAct", "q", "data", more="lpfp_param { bd: 2 ad: 2 }"))
    out = net.forward(data=[math.nan, math.inf])["q"]
    assert math.isnan(out[0]) and out[1] == 1.75


def test_low_precision_layers_use_rounded_weights_forward_and_full_ones_backward() -> None:
    """Source: lp_inner_product_layer.cpp, Backward_cpu uses blobs_[0]."""
    net = net_of(data(4, 3) + lp_inner_product("q", "data") + "force_backward: true")
    w, rounded, b, _ = (blob.tensor.detach() for blob in net.params["q"])
    y = net.forward(data=X)["q"]
    assert torch.equal(rounded, (w * 4).round().clamp(-7, 7) / 4)
    assert not torch.equal(rounded, w)
    torch.testing.assert_close(y, X @ rounded.T + b)
    g = normal(4, 3, seed=5)
    net.blobs["q"].diff[...] = g
    net.backward()
    torch.testing.assert_close(net.blobs["data"].grad, g @ w)
    torch.testing.assert_close(net.params["q"][0].grad, g.T @ X)
    assert not net.params["q"][1].diff.any()


def test_inference_mode_leaves_a_net_that_can_go_on() -> None:
    """Inference tensors cannot be written later, nor do they count versions."""
    text = data(4, 3) + lp_inner_product("q", "data") + data(4, 3, name="t")
    net, other = (net_of(text + euclidean("loss", "q t"), phase="TRAIN") for _ in range(2))
    with torch.inference_mode():
        first = net.forward(data=X.clone())["loss"]
    view = net.blobs["q"].data
    net.forward(data=X)
    other.forward(data=X)
    assert torch.equal(first, other.forward(data=X)["loss"])
    np.testing.assert_array_equal(view, other.blobs["q"].data)
    net.backward()
    assert net.params["q"][0].diff.any()


def test_blobs_are_float32_whatever_the_default_is() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        net = net_of(CHAIN + data(4, 3, name="t") + euclidean("loss", "s t"), phase="TRAIN")
        net.forward(data=X.double())
        net.backward()
        blobs = [*net.blobs.values(), *(b for own in net.params.values() for b in own)]
        assert {a.dtype for b in blobs for a in (b.data, b.diff)} == {np.dtype(np.float32)}
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_copy_is_a_net_of_its_own() -> None:
    net = net_of(data(4, 3) + lp_inner_product("q", "data"))
    want = net.forward(data=X)["q"].clone()
    twin = copy.deepcopy(net)
    twin.params["q"][0].data[...] = 0.5
    assert twin.params["q"][0].tensor is dict(twin.named_parameters())["q:0"]
    twin.forward(data=X)
    assert (twin.params["q"][1].data == 0.5).all()
    assert torch.equal(net.forward(data=X)["q"], want)


def test_a_copy_of_a_net_in_training_runs_passes_of_its_own() -> None:
    net = net_of(CHAIN + data(4, 3, name="t") + euclidean("loss", "s t"), phase="TRAIN")
    net.forward(data=X)
    twin = copy.deepcopy(net)
    for one in (net, twin):
        one.forward(data=X)
        one.backward()
    own, its = net.params["a"][0].grad, twin.params["a"][0].grad
    assert own.any() and torch.equal(own, its)


@pytest.mark.parametrize("low", ["", LOW], ids=["float", "rounded"])
def test_a_pass_without_gradients_leaves_none_of_the_pass_before(low: str) -> None:
    form = f"convolution_param {{ num_output: 2 kernel_size: 3 {GAUSSIAN} }}"
    text = "force_backward: true\n" + data(2, 3, 5, 5)
    text += layer("Convolution", "c", "data", more=form + low)
    text += layer("Scale", "scale", "c", "c") + layer("ReLU", "relu", "c", "c")
    net = net_of(text)
    net.forward(data=normal(2, 3, 5, 5, seed=1))
    for _ in range(2):  # the second goes on from the first
        with torch.no_grad():
            net.forward(data=normal(2, 3, 5, 5))
    net.blobs["c"].diff[...] = 1
    with pytest.raises(LayerError, match="without a recorded forward pass"):
        net.backward()
    net.backward(as_they_are=True)
    fresh = net_of(text)
    fresh.forward(data=normal(2, 3, 5, 5))
    fresh.blobs["c"].diff[...] = 1
    fresh.backward()
    assert fresh.params["c"][0].diff.any()
    assert np.array_equal(net.params["c"][0].diff, fresh.params["c"][0].diff)
