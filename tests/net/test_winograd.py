"""The 3 x 3 convolution by fewer products, against torch's in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from adaption.net import Net, winograd


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("size", [(1, 3, 6, 6), (2, 5, 7, 4), (3, 8, 3, 9), (1, 2, 4, 5)])
def test_equals_a_direct_convolution(size: tuple[int, ...], pad: int, relu: bool) -> None:
    generator = torch.Generator().manual_seed(sum(size) + pad)
    x = torch.randn(size, generator=generator)
    weight = torch.randn(7, size[1], 3, 3, generator=generator)
    bias = torch.randn(7, generator=generator)
    want = F.conv2d(x.double(), weight.double(), bias.double(), padding=pad)
    want = (want.relu() if relu else want).float()
    filters = winograd.transform_filters(weight)
    for layout in (torch.contiguous_format, torch.channels_last):
        laid = x.contiguous(memory_format=layout)
        found = winograd.convolve(laid, filters, bias, pad, relu=relu)
        assert found.shape == want.shape
        # float32 against float64.
        torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-5)


def test_a_net_that_uses_it() -> None:
    from adaption.io import prototxt
    from adaption.io.netfile import from_document

    text = """layer { name: "x" type: "Input" top: "x"
      input_param { shape { dim: 1 dim: 256 dim: 21 dim: 20 } } }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {
      num_output: 256 kernel_size: 3 pad: 1 weight_filler { type: "msra" }
      bias_filler { type: "gaussian" } } }
    layer { name: "r" type: "ReLU" bottom: "c" top: "c" }"""
    net = Net(from_document(prototxt.parse(text)), seed=0)
    x = torch.randn(1, 256, 21, 20, generator=torch.Generator().manual_seed(1))
    want = net.forward({"x": x}, observer=lambda *_: None)["c"].clone()
    found = net.forward({"x": x})["c"]
    assert net._chains[1].convolver.is_winograd
    # Order of float32 sums over 2304 terms.
    torch.testing.assert_close(found, want, rtol=1e-4, atol=2e-5)
