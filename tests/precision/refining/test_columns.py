"""What a weight layer reads: its weights by output times a column are one of its sums."""

from __future__ import annotations

import pytest
import torch

from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net
from adaption.precision.refining.columns import picked_columns, spread

CASES = [
    pytest.param("Convolution", "kernel_size: 3 pad: 1 stride: 2", id="padded, strided"),
    pytest.param("Convolution", "kernel_size: 2 dilation: 2 group: 2", id="dilated, groups"),
    pytest.param("Convolution", "kernel_h: 1 kernel_w: 3 pad_w: 2", id="not square"),
    pytest.param("ConvolutionDepthwise", "kernel_size: 3 pad: 1", id="depthwise"),
    pytest.param("Deconvolution", "kernel_size: 3 stride: 2 pad: 1", id="deconvolution"),
    pytest.param("Deconvolution", "kernel_size: 2 stride: 3 group: 2", id="with gaps, groups"),
    pytest.param("InnerProduct", "", id="inner product"),
    pytest.param("InnerProduct", "transpose: true", id="transposed"),
    pytest.param("InnerProduct", "axis: 2", id="along an axis"),
]


def net_with(kind: str, settings: str) -> Net:
    param = "inner_product_param" if kind == "InnerProduct" else "convolution_param"
    text = f"""layer {{ name: "in" type: "Input" top: "x"
      input_param {{ shape {{ dim: 2 dim: 4 dim: 7 dim: 6 }} }} }}
    layer {{ name: "w" type: "{kind}" bottom: "x" top: "y" {param} {{ num_output: 4 {settings}
      weight_filler {{ type: "gaussian" std: 1 }} bias_term: false }} }}"""
    return Net(from_document(prototxt.parse(text, "net.prototxt")), seed=1)


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_weights_times_columns_are_the_sums(kind: str, settings: str) -> None:
    net = net_with(kind, settings)
    x = torch.randn(2, 4, 7, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.forward({"x": x})
    layer, weight = net.nodes[-1].layer, net.nodes[-1].masters[0].tensor.detach()
    count = layer.sums(tuple(x.shape))
    columns = layer.columns(x, torch.arange(count))
    rows = torch.from_numpy(layer.by_output(weight.numpy()))
    groups = rows.reshape(len(columns), -1, rows.shape[1])
    made = (columns @ groups.mT).transpose(1, 2).flatten(0, 1)  # (outputs, sums)
    top = net.blobs["y"].tensor
    axis = 2 if "axis" in settings else 1
    wanted = top.movedim(axis, 0).reshape(top.shape[axis], -1)
    torch.testing.assert_close(made, wanted)
    some = torch.tensor([count - 1, 0])
    assert torch.equal(layer.columns(x, some), columns[:, some])


def test_spread_takes_all_parts_alike() -> None:
    assert torch.equal(spread(5, 9, 0), torch.arange(5))
    picks = spread(1000, 100, 3)
    assert torch.equal(picks // 10, torch.arange(100))
    assert torch.equal(picks, spread(1000, 100, 3)) and not torch.equal(picks, spread(1000, 100, 4))


def test_both_nets_are_read_at_the_same_places() -> None:
    layer = net_with("Convolution", "kernel_size: 3").nodes[-1].layer
    full = [torch.randn(3, 4, 7, 6), torch.randn(2, 4, 7, 6)]
    low = [x + 1 for x in full]
    pairs = list(picked_columns(layer, low, full, most=40))
    assert sum(u.shape[1] for u, _ in pairs) == 40
    for u, v in pairs:
        torch.testing.assert_close(u, v + 1)
    same = list(picked_columns(layer, full, full, most=40, inputs=slice(2, 5)))
    assert all(u is v and u.shape[2] == 3 for u, v in same)
