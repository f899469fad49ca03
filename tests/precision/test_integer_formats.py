"""Proposals for integer hardware: biases on the grid of the products, every bottom on a grid."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adaption.errors import UsageError
from adaption.graph import NetSpec, NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.precision.measure import measure_net
from adaption.precision.product_grids import bottom_grids
from adaption.precision.proposal import Proposal
from adaption.precision.propose import propose
from adaption.precision.recipe_rewrite import rewrite

CONV = (
    'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 pad: 1'
    ' weight_filler { type: "xavier" } bias_filler { type: "uniform" min: -0.3 max: 0.3 } }'
)
SHAPE = "dim: 2 dim: 4 dim: 8 dim: 8"
INPUT = f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {SHAPE} }} }} }}'
LAYERS = f"""
layer {{ name: "a" bottom: "x" top: "a" {CONV} }}
layer {{ name: "relu_a" type: "ReLU" bottom: "a" top: "a" }}
layer {{ name: "b" bottom: "a" top: "b" {CONV} }}
layer {{ name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }}
layer {{ name: "relu_s" type: "ReLU" bottom: "sum" top: "sum" }}
layer {{ name: "c" bottom: "sum" top: "c" {CONV} }}
layer {{ name: "both" type: "Concat" bottom: "c" bottom: "sum" top: "both" }}
layer {{ name: "max" type: "Pooling" bottom: "both" top: "max"
  pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "d" bottom: "max" top: "d" {CONV} }}
layer {{ name: "ave" type: "Pooling" bottom: "d" top: "ave"
  pooling_param {{ pool: AVE kernel_size: 3 stride: 2 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "ave" top: "ip"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
"""
NET = INPUT + LAYERS
WEIGHTS = ("a", "b", "c", "d", "ip")


def net_file(text: str = NET) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def spec_of(text: str = NET) -> NetSpec:
    return build_spec(net_file(text).message, NetState("TEST"))


def proposed(text: str = NET, **settings: Any) -> Proposal:
    net = Net(spec_of(text), seed=0)
    x = np.random.default_rng(0).normal(size=(2, 4, 8, 8)).astype(np.float32) * 3
    measured = measure_net(net, [SimpleNamespace(blobs={"x": x}, names=["0"])])
    return propose(net.spec, measured, bits=8, **settings)


def test_grids_of_bottoms() -> None:
    formats = {"a": FixedPoint(8, 3), "b": FixedPoint(8, 5), "c": FixedPoint(8, 4)}
    formats |= {"d": FixedPoint(8, 6)}
    # The input is not rounded; the sum, and what is concatenated, need the finest of both grids;
    # an average is a sum on its bottom's.
    want = {"a": "in", "b": 3, "c": 5, "d": 5, "ip": 6}
    assert bottom_grids(spec_of(), formats, WEIGHTS) == want
    rounded = bottom_grids(spec_of(), {**formats, "x": FixedPoint(8, -1)}, WEIGHTS)
    assert rounded == {**want, "a": -1}


@pytest.mark.parametrize(
    "between",
    [
        pytest.param('type: "Sigmoid"', id="another function"),
        pytest.param('type: "ReLU" relu_param { negative_slope: 0.1 }', id="leaky"),
        pytest.param('type: "Eltwise" bottom: "a" eltwise_param { operation: PROD }', id="product"),
        pytest.param('type: "Eltwise" bottom: "a" eltwise_param { coeff: 0.5 coeff: 1 }', id="0.5"),
    ],
)
def test_what_leaves_the_grid_is_named(between: str) -> None:
    function = f'layer {{ name: "f" bottom: "a" top: "f" {between} }}'
    b = 'layer { name: "b" bottom: '
    text = NET.replace(f'{b}"a"', f'{function}\n{b}"f"')
    assert text != NET
    assert bottom_grids(spec_of(text), {"a": FixedPoint(8, 3)}, ["b"]) == {"b": "f"}


def test_biases_on_the_grid_of_the_products() -> None:
    made = proposed(product_bias=True)
    formats = {str(p): fmt for p, fmt in made.plan.items()}
    seen = FixedPoint(8, formats["a:weight"].frac_length)  # the input has no format of its own
    assert formats["a:bias"].frac_length - seen.frac_length == 7 - 4  # |x| up to 11: Q5.3
    for name, before in (("b", "a"), ("ip", "d")):
        want = formats[f"{name}:weight"].frac_length + formats[f"{before}:activation"].frac_length
        assert formats[f"{name}:bias"] == FixedPoint(32, want), name
    assert "fractional bits" in made.choices[Point("b", "bias")].reason
    own = proposed(product_bias=True, every_bottom=True)
    assert own.plan[Point("a", "bias")] == formats["a:bias"]
    with pytest.raises(UsageError, match=r"ask for one of round_bias and product_bias"):
        proposed(product_bias=True, round_bias=True)


def test_every_bottom_is_rounded() -> None:
    made = proposed(every_bottom=True)
    points = [str(p) for p in made.plan if p.kind == "activation"]
    assert points == [f"{n}:activation" for n in ("x", "a", "b", "sum", "c", "d", "ave")]
    low = rewrite(net_file(), made)
    assert [m.name for m in low.message.layer if m.type == "LPAct"] == [
        "x_lpact", "a_lpact", "b_lpact", "sum_lpact", "c_lpact", "d_lpact", "ave_lpact"
    ]  # fmt: skip
    text = low.document.text()
    assert text.index("sum_lpact") < text.index("relu_s")
    late = proposed(every_bottom=True, lpact="after-relu")
    assert late.places["sum"] == "relu_s"


@pytest.mark.parametrize(
    ("source", "behind"),
    [
        pytest.param(f'input: "x" input_shape {{ {SHAPE} }}', 0, id="field"),
        pytest.param(
            'layer { name: "mnist" type: "Data" top: "x" top: "label" include { phase: TRAIN } }',
            1,
            id="data layer",
        ),
    ],
)
def test_an_input_is_rounded_whatever_brings_it(source: str, behind: int) -> None:
    made = proposed(every_bottom=True)
    low = rewrite(net_file(source + LAYERS), made)
    layers = [m for m in low.message.layer if m.type != "Input"]
    act = layers[behind]
    assert (act.name, list(act.bottom), list(act.top)) == ("x_lpact", ["x"], ["x"])
    assert len(act.include) == behind
    again = rewrite(low, made)
    assert again.document.text() == low.document.text()


def test_a_data_layers_blobs_are_not_told_apart() -> None:
    text = NET.replace('top: "x" input_param', 'top: "x" top: "label" input_param')
    net = Net(spec_of(text), seed=0)
    blobs = {name: np.ones(net.blobs[name].shape, np.float32) for name in ("x", "label")}
    measured = measure_net(net, [SimpleNamespace(blobs=blobs, names=["0"])])
    made = propose(net.spec, measured, every_bottom=True)
    assert made.left_float["in"] == "several blobs from one layer, measured as one"


def test_a_split_layer_hands_on_what_was_rounded() -> None:
    split = 'layer { name: "split" type: "Split" bottom: "a" top: "s" top: "t" }'
    b = 'layer { name: "b" bottom: '
    text = NET.replace(f'{b}"a"', f'{split}\n{b}"s"')
    made, plain = proposed(text, every_bottom=True), proposed(every_bottom=True)
    assert list(made.plan) == list(plain.plan)
    assert bottom_grids(spec_of(text), {"a": FixedPoint(8, 3)}, ["b"]) == {"b": 3}


def test_a_function_is_rounded_where_it_is_made() -> None:
    cut = 'layer { name: "f" type: "TanH" bottom: "a" top: "f" }\nlayer { name: "cut" type: "Slice"'
    text = NET.replace(
        'layer { name: "b" bottom: "a"',
        f'{cut} bottom: "f" top: "s" top: "t" }}\nlayer {{ name: "b" bottom: "s"',
    )
    assert Point("f", "activation") in proposed(text, every_bottom=True).plan


def test_half_even_is_of_results() -> None:
    made = proposed(rounding="half_even", product_bias=True)
    for point, fmt in made.plan.items():
        assert fmt.rounding == ("half_even" if point.kind == "activation" else "half_away")
    text = rewrite(net_file(), made).document.text()
    assert text.count("rounding: HALF_EVEN") == 4
