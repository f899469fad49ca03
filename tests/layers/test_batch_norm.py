"""NVCaffe's BatchNorm with a scale and a bias of its own: five blobs, moving averages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adaption.io.caffemodel import LayerWeights, WeightBlob, write_weights
from adaption.layers import batch_norm
from adaption.net import Net
from adaption.precision.fold import fold_batch_norm
from adaption.solver.params import learnable
from tests.net.nets import data, layer, net_of

AFFINE = [
    "scale_bias: true",
    "scale_filler { value: 1 }",
    'bias_filler { type: "constant" }',
    "scale_bias: false scale_filler { value: 1 } bias_filler { value: 0 }",
]
VALUES = ([1, 2, 3], [4, 5, 6], [1], [2, -2, 0.5], [7, 8, 9])


def bn(fields: str, bottom: str = "data", top: str = "bn", more: str = "") -> str:
    return layer("BatchNorm", "bn", bottom, top, f"batch_norm_param {{ {fields} }} {more}")


def filled(net: Net, factor: float = 1) -> Net:
    for blob, values in zip(net.params["bn"], VALUES, strict=True):
        blob.data[...] = np.asarray(values, np.float32)
    net.params["bn"][2].data[...] = factor
    return net


@pytest.mark.parametrize("fields", AFFINE)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_in_test_phase(fields: str, shape: tuple[int, ...]) -> None:
    net = filled(net_of(data(*shape) + bn(f"eps: 0.5 {fields}")))
    assert [b.shape for b in net.params["bn"]] == [(3,), (3,), (1,), (3,), (3,)]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    mean, variance, _, scale, bias = (
        np.reshape(v, (-1, *[1] * (len(shape) - 2))) for v in map(np.asarray, VALUES)
    )
    want = scale * (x.astype(np.float64) - mean) / np.sqrt(variance + 0.5) + bias
    np.testing.assert_allclose(net.forward(data=x)["bn"].numpy(), want, rtol=1e-5)


@pytest.mark.parametrize("more", ["", "scale_bias: true"])
@pytest.mark.parametrize("is_alike", [True, False])
def test_the_bits_are_those_of_torch_in_every_memory_layout(
    more: str, is_alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In nets that round a bit decides about a code, and a layout depends on who looks."""
    assert batch_norm._multiplies_alike()
    monkeypatch.setattr(batch_norm, "_multiplies_alike", lambda: is_alike)
    net = net_of(data(2, 37, 9, 7) + bn(more))
    draw = torch.Generator().manual_seed(1)
    for blob in net.params["bn"]:
        blob.tensor.uniform_(0.1, 3, generator=draw)
    mean, variance, factor, *affine = (blob.tensor.detach() for blob in net.params["bn"])
    factor.fill_(1)
    node = net.nodes[net.index("bn")]
    x = torch.randn(2, 37, 9, 7, generator=draw)
    weight, bias = affine or (None, None)
    want = F.batch_norm(x, mean, variance, weight, bias, eps=1e-5)
    with torch.no_grad():
        for form in (torch.contiguous_format, torch.channels_last):
            own = x.contiguous(memory_format=form)
            assert torch.equal(node.forward([own], record=False)[0], want)
            prepared = node.layer.prepared(node.runtime, own, *node.quantized_blobs())
            assert prepared is not None and torch.equal(prepared(own.clone()), want)
            (found,) = node.forward([own], record=False, may_overwrite=True)
            assert torch.equal(found, want) and found.stride() == own.stride()
    (found,) = node.forward([x.contiguous(memory_format=torch.channels_last)], record=True)
    assert torch.equal(found, want)


def test_the_factor_is_not_read_and_eps_has_a_least_value() -> None:
    """NVCaffe holds moving averages, whose factor is always 1."""
    text = data(2, 3) + bn("eps: 1e-9 scale_bias: true")
    net = filled(net_of(text), factor=7)
    net.params["bn"][1].data[...] = 0
    x = np.ones((2, 3), np.float32)
    want = np.array([2, -2, 0.5]) * (1 - np.array([1, 2, 3])) / np.sqrt(1e-5) + [7, 8, 9]
    np.testing.assert_allclose(net.forward(data=x)["bn"].numpy()[0], want, rtol=1e-5)


def test_plain_layers_keep_three_blobs() -> None:
    net = net_of(data(2, 3) + bn("scale_bias: false eps: 0.5"))
    assert [b.shape for b in net.params["bn"]] == [(3,), (3,), (1,)]


def test_fillers_and_their_defaults() -> None:
    def blobs(fields: str) -> list[list[float]]:
        return [b.data.tolist() for b in net_of(data(1, 2) + bn(fields)).params["bn"][2:]]

    assert blobs("scale_bias: true") == [[1], [1, 1], [0, 0]]
    assert blobs("scale_filler { value: 3 }") == [[1], [3, 3], [0, 0]]
    assert blobs("bias_filler { value: 2 }") == [[1], [1, 1], [2, 2]]


def test_moving_averages_in_training() -> None:
    """cudnnBatchNormalizationForwardTraining with factor 1, then 1 - moving_average_fraction."""
    net = net_of(
        data(4, 2, 3) + bn("scale_bias: true moving_average_fraction: 0.75 eps: 0.25"),
        phase="TRAIN",
    )
    net.params["bn"][3].data[...] = [2, 3]
    net.params["bn"][4].data[...] = [-1, 1]
    rng = np.random.default_rng(1)
    mean, variance = np.zeros(2), np.zeros(2)
    for number in range(3):
        x = rng.normal(size=(4, 2, 3)) * 3 + 1
        y = net.forward(data=x.astype(np.float32))["bn"].numpy()
        now, spread = x.mean((0, 2)), x.var((0, 2))
        want = (x - now[:, None]) / np.sqrt(spread + 0.25)[:, None]
        want = want * np.array([[2], [3]]) + np.array([[-1], [1]])
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)  # float32 sums of 12 values
        keep = 0.75 if number else 0.0
        mean = keep * mean + (1 - keep) * now
        variance = keep * variance + (1 - keep) * spread * 12 / 11
        np.testing.assert_allclose(net.params["bn"][0].data, mean, rtol=1e-5)
        np.testing.assert_allclose(net.params["bn"][1].data, variance, rtol=1e-5)
        assert net.params["bn"][2].data.tolist() == [1]


def test_the_state_says_whether_there_are_statistics() -> None:
    text = data(4, 2) + bn("scale_bias: true moving_average_fraction: 0.5")
    net, other = net_of(text, phase="TRAIN"), net_of(text, phase="TRAIN")
    x = torch.arange(8.0).view(4, 2)
    net.forward(data=x)
    for one, blob in zip(other.params["bn"], net.params["bn"], strict=True):
        one.data[...] = blob.data
    state = net.nodes[-1].layer.save_state(net.nodes[-1].runtime)
    other.nodes[-1].layer.load_state(other.nodes[-1].runtime, state)
    for each in (net, other):
        each.forward(data=x * 3)
    assert np.array_equal(net.params["bn"][0].data, other.params["bn"][0].data)
    assert not np.array_equal(net.params["bn"][0].data, x.mean(0) * 3)


def test_scale_and_bias_are_learned_statistics_are_not() -> None:
    net = net_of(data(2, 3) + bn("scale_bias: true"), phase="TRAIN")
    assert [p.lr_mult for p in learnable(net.nodes)] == [0, 0, 0, 1, 1]
    assert [name for name, _ in net.named_parameters()] == ["bn:3", "bn:4"]


def test_multipliers_in_the_order_of_old_files_do_not_count() -> None:
    """DIGITS wrote specs for scale, bias, mean and variance; NVCaffe sets 0, 0, 0, 1, 1 itself."""
    old = "param { lr_mult: 1 } " * 2 + "param { lr_mult: 0 } " * 2
    net = net_of(data(2, 3) + bn("scale_bias: true", more=old), phase="TRAIN")
    assert [p.lr_mult for p in learnable(net.nodes)] == [0, 0, 0, 1, 1]
    own = "param { lr_mult: 0 } " * 3 + "param { lr_mult: 5 } param { lr_mult: 0 }"
    net = net_of(data(2, 3) + bn("scale_bias: true", more=own), phase="TRAIN")
    assert [p.lr_mult for p in learnable(net.nodes)] == [0, 0, 0, 5, 0]


@pytest.mark.parametrize("is_old", [True, False])
def test_files_of_digits_have_another_order(is_old: bool, tmp_path: Path) -> None:
    arrays = [np.asarray(v, np.float32) for v in VALUES]
    if is_old:  # scale, bias, mean, variance, one value more
        arrays = [arrays[i].reshape(1, -1, 1, 1) for i in (3, 4, 0, 1, 2)]
    layers = [LayerWeights("bn", "BatchNorm", [WeightBlob.of(a) for a in arrays])]
    write_weights(tmp_path / "w.caffemodel", layers)
    net = net_of(data(2, 3) + bn("scale_bias: true eps: 0.5"), tmp_path / "w.caffemodel")
    want = filled(net_of(data(2, 3) + bn("scale_bias: true eps: 0.5")))
    x = torch.ones(2, 3)
    assert torch.equal(net.forward(data=x)["bn"], want.forward(data=x)["bn"])


def test_gradients() -> None:
    net = net_of(
        "force_backward: true " + data(3, 2, 2) + bn("scale_bias: true eps: 0.5"), phase="TRAIN"
    )
    net.params["bn"][3].data[...] = [2, -1]
    x = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0))
    grad = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(1))
    with torch.enable_grad():
        net.forward(data=x)
    net.blobs["bn"].diff[...] = grad.numpy()
    net.backward()
    leaves = [x.double().requires_grad_(), torch.tensor([2.0, -1.0]).double().requires_grad_()]
    bias = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    want = F.batch_norm(leaves[0], None, None, leaves[1], bias, training=True, eps=0.5)
    want.backward(grad.double())
    found = [net.blobs["data"].diff, net.params["bn"][3].diff, net.params["bn"][4].diff]
    for have, leaf in zip(found, [*leaves, bias], strict=True):
        assert leaf.grad is not None
        np.testing.assert_allclose(have, leaf.grad.numpy(), rtol=1e-4, atol=1e-6)  # float32


def test_folds_like_batch_norm_and_scale(tmp_path: Path) -> None:
    filler = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'
    text = (
        data(2, 4)
        + layer(
            "InnerProduct", "ip", "data", more=f"inner_product_param {{ num_output: 3 {filler} }}"
        )
        + bn("scale_bias: true eps: 0.5", "ip", "ip")
    )
    (tmp_path / "n.prototxt").write_text(text)
    net = filled(Net(tmp_path / "n.prototxt", seed=1))
    net.save(tmp_path / "n.caffemodel")
    folded = fold_batch_norm(tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    assert dict(folded.folded) == {"ip": ("bn",)} and not folded.left
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    made = Net(folded.net, folded.weights).forward(data=x)["ip"]
    torch.testing.assert_close(made, net.forward(data=x)["ip"], rtol=1e-5, atol=1e-5)
