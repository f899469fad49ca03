"""Convolution without spatial axes: a product of the last axis, as Caffe's own tests have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.compare.float_check import check_float
from adaption.export.onnx import export_onnx
from adaption.net import Net
from tests.net.nets import layer, net_of

IMAGE = 'layer { name: "x" type: "Input" top: "x" input_param { shape { %s } } }\n'
FILLERS = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'


def made(dims: tuple[int, ...], own: str, kind: str = "Convolution") -> Net:
    text = IMAGE % " ".join(f"dim: {d}" for d in dims)
    param = f"convolution_param {{ {own} {FILLERS} }}"
    return net_of("force_backward: true\n" + text + layer(kind, "y", "x", more=param), seed=3)


@pytest.mark.parametrize(
    ("dims", "own"),
    [
        pytest.param((2, 3, 6, 4), "axis: 3 num_output: 5", id="last axis"),
        pytest.param((2, 3, 6, 4), "axis: -1 num_output: 5", id="counted from behind"),
        pytest.param((2, 4), "num_output: 3", id="axis 1 of two"),
        pytest.param((2, 3, 4), "axis: 2 num_output: 3 bias_term: false", id="without a bias"),
    ],
)
def test_it_is_a_product_of_the_last_axis(dims: tuple[int, ...], own: str, tmp_path: Path) -> None:
    net = made(dims, own)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=dims).astype(np.float32))
    weight, *bias = [b.tensor.detach() for b in net.params["y"]]
    assert weight.shape == ((5 if "5" in own else 3), dims[-1])
    want = x @ weight.T + (bias[0] if bias else 0)
    torch.testing.assert_close(net.forward(x=x)["y"], want, rtol=1e-5, atol=1e-6)
    export_onnx(net, tmp_path / "n.onnx")
    report = check_float(net, tmp_path / "n.onnx", {"x": x.numpy()})
    assert report.ok, str(report)


def test_groups() -> None:
    net = made((2, 4), "num_output: 6 group: 2")
    x = torch.ones(2, 4)
    weight, bias = [b.tensor.detach() for b in net.params["y"]]
    assert weight.shape == (6, 2)
    torch.testing.assert_close(net.forward(x=x)["y"], (weight.sum(1) + bias).expand(2, 6))


def test_deconvolution() -> None:
    net = made((2, 4), "num_output: 3", "Deconvolution")
    x = torch.arange(8.0).reshape(2, 4)
    weight, bias = [b.tensor.detach() for b in net.params["y"]]
    assert weight.shape == (4, 3)
    torch.testing.assert_close(net.forward(x=x)["y"], x @ weight + bias)


def test_gradients() -> None:
    net = made((2, 3, 4), "axis: 2 num_output: 3")
    x = torch.ones(2, 3, 4)
    net.forward(x=x)
    net.blobs["y"].set_grad(torch.ones(2, 3, 3))
    net.backward()
    assert torch.equal(net.params["y"][0].grad, torch.full((3, 4), 6.0))
