"""lp_convolution_param and its like, which the original only declares."""

from __future__ import annotations

import pytest
import torch

from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net

NET = """
layer {{
  name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 dim: 6 dim: 6 }} }}
}}
layer {{ name: "c" type: "LPConvolution" bottom: "x" top: "c" {conv} }}
layer {{ name: "a" type: "LPAct" bottom: "c" top: "a" {act} }}
layer {{ name: "i" type: "LPInnerProduct" bottom: "a" top: "i" {ip} }}
"""
FILLER = 'weight_filler { type: "xavier" }'
USUAL = NET.format(
    conv=f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 stride: 2 {FILLER} }}"
    " lpfp_param { bd: 2 ad: 6 round_bias: true }",
    act="lpfp_param { bd: 8 ad: 8 }",
    ip=f"inner_product_param {{ num_output: 5 bias_term: false {FILLER} }}"
    " lpfp_param { bd: 1 ad: 7 rounding_scheme: STOCHASTIC }",
)
OWN = NET.format(
    conv=f"lp_convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 stride: 2 {FILLER}"
    " bd: 2 ad: 6 round_bias: true }",
    act="lp_act_param { }",
    ip=f"lp_inner_product_param {{ num_output: 5 bias_term: false {FILLER} bd: 1 ad: 7"
    " rounding_scheme: STOCHASTIC }",
)


def net_of(text: str) -> Net:
    file = from_document(prototxt.parse(text))
    return Net(build_spec(file.message, NetState("TEST")), seed=1)


def test_same_net() -> None:
    usual, own = net_of(USUAL), net_of(OWN)
    x = torch.linspace(-2, 2, 2 * 3 * 36).reshape(2, 3, 6, 6)
    assert [n.formats for n in own.nodes] == [n.formats for n in usual.nodes]
    assert torch.equal(own.forward(x=x)["i"], usual.forward(x=x)["i"])


@pytest.mark.parametrize(
    ("act", "want"),
    [
        pytest.param(
            "lp_act_param { bd: 1 ad: 1 } lpfp_param { bd: 6 ad: 10 }", "Q6.10", id="both"
        ),
        pytest.param("lp_act_param { bd: 3 }", "Q3.8", id="defaults of 8"),
        pytest.param(
            "lp_act_param { bd: 3 } precision_param { activation"
            " { kind: FIXED word_length: 8 frac_length: -1 } }",
            "Q9.-1",
            id="precision_param",
        ),
    ],
)
def test_what_counts(act: str, want: str) -> None:
    text = USUAL.replace("lpfp_param { bd: 8 ad: 8 }", act)
    formats = next(n.formats for n in net_of(text).nodes if n.spec.name == "a")
    assert str(formats.activation) == want
