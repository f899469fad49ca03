"""A small graph with all that refining meets: groups, depthwise, a sum, a concat, deconvolution,
batch norm that is not folded."""

from __future__ import annotations

import torch

from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net

FILL = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "uniform" min: -0.3 }'


def weights(name: str, kind: str, below: str, settings: str) -> str:
    param = "inner_product_param" if kind == "InnerProduct" else "convolution_param"
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{below}" top: "{name}"'
        f" {param} {{ {settings} {FILL} }} }}\n"
    )


def relu(name: str) -> str:
    return f'layer {{ name: "{name}_relu" type: "ReLU" bottom: "{name}" top: "{name}" }}\n'


GRAPH = (
    'layer { name: "in" type: "Input" top: "x"'
    " input_param { shape { dim: 2 dim: 4 dim: 8 dim: 8 } } }\n"
    + weights("c1", "Convolution", "x", "num_output: 8 kernel_size: 3 pad: 1")
    + 'layer { name: "bn" type: "BatchNorm" bottom: "c1" top: "c1" }\n'
    + 'layer { name: "sc" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true'
    ' filler { type: "uniform" min: 0.5 max: 1.5 } bias_filler { type: "uniform" min: -0.2 } } }\n'
    + relu("c1")
    + weights("dw", "ConvolutionDepthwise", "c1", "num_output: 8 kernel_size: 3 pad: 1")
    + relu("dw")
    + weights("g", "Convolution", "dw", "num_output: 8 kernel_size: 1 group: 2")
    + 'layer { name: "sum" type: "Eltwise" bottom: "g" bottom: "c1" top: "sum" }\n'
    + relu("sum")
    + weights("a", "Convolution", "sum", "num_output: 4 kernel_size: 1")
    + relu("a")
    + weights("b", "Convolution", "sum", "num_output: 4 kernel_size: 3 pad: 1")
    + relu("b")
    + 'layer { name: "cat" type: "Concat" bottom: "a" bottom: "b" top: "cat" }\n'
    + 'layer { name: "pool" type: "Pooling" bottom: "cat" top: "pool"'
    " pooling_param { pool: MAX kernel_size: 2 stride: 2 } }\n"
    + weights("up", "Deconvolution", "pool", "num_output: 4 kernel_size: 2 stride: 2")
    + relu("up")
    + weights("ip", "InnerProduct", "up", "num_output: 5")
    + 'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }\n'
)


def file_of(text: str) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def trained(text: str = GRAPH) -> Net:
    """The net with statistics in its batch norms, and channels of very different ranges."""
    net = Net(file_of(text), seed=3)
    values = torch.Generator().manual_seed(7)
    for node in net.nodes:
        if node.spec.type == "BatchNorm":
            mean, variance, factor = node.blobs
            mean.tensor.copy_(torch.randn(mean.shape, generator=values) / 4)
            variance.tensor.copy_(torch.rand(variance.shape, generator=values) + 0.3)
            factor.tensor.fill_(0.7)
        if node.spec.type == "Convolution":
            rows = node.blobs[0].tensor.detach()
            spread = torch.rand(len(rows), generator=values) * 4 - 2
            rows.mul_(torch.exp2(spread).view(-1, 1, 1, 1))
    return net


def samples(count: int, seed: int) -> torch.Tensor:
    """Smooth images, whose neighbouring values go together."""
    values = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 4, 4, 4, generator=values)
    return torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear") + 0.5
