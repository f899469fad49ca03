"""Models for images of any height and width."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from adaption.errors import LayerError
from adaption.export.onnx import export_onnx
from tests.export.nets import input_layer, layer, net_of, run_model

CONV = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 '
BODY = (
    input_layer("data", 1, 3, 8, 8)
    + layer("c1", "data", "c1", CONV + "pad: 1 stride: 2 }")
    + layer("act", "c1", "c1", 'type: "LPAct" lpfp_param { bd: 4 ad: 4 }')
    + layer("r1", "c1", "c1", 'type: "ReLU"')
)


@pytest.mark.parametrize("style", ["float", "qdq", "qonnx"])
def test_a_convolutional_net_takes_any_size(style: str, tmp_path: Path) -> None:
    up = 'type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 4 stride: 2 pad: 1 }'
    text = BODY + layer("up", "c1", "up", up)
    net = net_of(text)
    report = export_onnx(net, tmp_path / "net.onnx", style=style, free_size=True)
    assert report.inputs == {"data": ("N", 3, "H", "W")}
    assert report.outputs == {"up": ("N", 2, None, None)}
    if style == "qonnx":
        onnx.checker.check_model(tmp_path / "net.onnx")
        return
    for size in ((8, 8), (9, 14), (11, 5)):
        x = np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)
        other = net_of(text.replace("dim: 8 dim: 8", f"dim: {size[0]} dim: {size[1]}"))
        want = other.forward({"data": torch.from_numpy(x)})["up"]
        found = run_model(tmp_path / "net.onnx", {"data": x})["up"]
        # a code may differ where a sum lies on a tie
        np.testing.assert_allclose(found, want.numpy(), atol=0.1)


@pytest.mark.parametrize(
    ("more", "name"),
    [
        pytest.param(
            layer("p", "c1", "p", 'type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }'),
            "p",
            id="pooling that rounds up",
        ),
        pytest.param(
            layer("ip", "c1", "ip", 'type: "InnerProduct" inner_product_param { num_output: 2 }'),
            "ip",
            id="inner product",
        ),
    ],
)
def test_the_layer_that_depends_on_the_size_is_named(more: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(LayerError) as e:
        export_onnx(net_of(BODY + more), tmp_path / "net.onnx", free_size=True)
    assert f'layer "{name}"' in str(e.value)
    assert "depend on height and width" in str(e.value)
    assert not list(tmp_path.iterdir())
