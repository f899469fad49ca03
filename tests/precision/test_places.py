"""Rewriting: where LPAct goes, what is left out, and the way back to float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adaption.errors import FieldError, UsageError
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document, read_net
from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.precision.rewrite import file_sites, rewrite, uniform_plan

NET = """name: "net"  # a comment
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer {
  name: "a"
  type: "Convolution"  # the first
  bottom: "x"
  top: "a"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }
}
layer { name: "relu_a" type: "ReLU" bottom: "a" top: "a" }
layer { name: "pool_a" type: "Pooling" bottom: "a" top: "p"
  pooling_param { kernel_size: 2 stride: 2 } }

# two branches
layer {
  name: "b"
  type: "Convolution"
  bottom: "p"
  top: "b"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } }
}
layer { name: "relu_b" type: "ReLU" bottom: "b" top: "rb" }
layer {
  name: "c"
  type: "Convolution"
  bottom: "p"
  top: "c"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } }
}
layer { name: "sum" type: "Eltwise" bottom: "rb" bottom: "c" top: "sum" }
layer {
  name: "d"
  type: "InnerProduct"
  bottom: "sum"
  top: "d"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } }
}
layer { name: "prob" type: "Softmax" bottom: "d" top: "prob" }
"""
Q8, Q16 = FixedPoint(8, 6), FixedPoint(16, 12)


def net_file(text: str = NET) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def order(net: NetFile) -> list[str]:
    return [message.name for message in net.message.layer]


@pytest.mark.parametrize(
    ("lpact", "behind"),
    [
        pytest.param("before-relu", {"a": "a", "b": "b", "c": "c"}, id="as the original"),
        pytest.param("after-relu", {"a": "relu_a", "b": "relu_b", "c": "c"}, id="after the ReLU"),
        pytest.param("after-pooling", {"a": "pool_a", "b": "relu_b", "c": "c"}, id="after pooling"),
    ],
)
def test_place_of_lpact(lpact: str, behind: dict[str, str]) -> None:
    net = net_file()
    low = rewrite(net, uniform_plan(net, weight=Q8, activation=Q16, lpact=lpact))
    names = order(low)
    assert {n: names[names.index(f"{n}_lpact") - 1] for n in "abc"} == behind
    assert "d_lpact" not in names  # the last classifier
    made = Net(low, seed=1)
    made.forward({"x": np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)})
    for name in behind:
        node = next(n for n in made.nodes if n.spec.name == f"{name}_lpact")
        values = made.blobs[node.spec.tops[0]].tensor
        if lpact != "before-relu":  # in-place ReLU and pooling keep values on the grid
            assert (values == Q16.quantize(values)).all()


def test_a_plan_can_be_moved() -> None:
    net = net_file()
    plan = uniform_plan(net, weight=Q8, activation=Q16)
    moved = rewrite(net, plan, lpact="after-pooling")
    there = uniform_plan(net, weight=Q8, activation=Q16, lpact="after-pooling")
    assert moved.text() == rewrite(net, there).text()
    with pytest.raises(UsageError) as caught:
        rewrite(moved, plan, lpact="after-relu")
    assert str(caught.value) == (
        "net.prototxt: has LPAct layers already, allowed: a float net where lpact says their place"
        "\n  fix: bring it back to float first: adaption rewrite NET --to float -o OUT"
    )


def test_unknown_place() -> None:
    with pytest.raises(FieldError) as caught:
        uniform_plan(net_file(), weight=Q8, activation=None, lpact="nowhere")
    assert str(caught.value) == (
        "lpact is 'nowhere', allowed: before-relu, after-relu, after-pooling"
    )


@pytest.mark.parametrize(
    ("between", "place"),
    [
        pytest.param('type: "Dropout"', "pool_a", id="dropout"),
        pytest.param(
            'type: "Dropout" dropout_param { scale_train: false }', "relu_a", id="it scales in TEST"
        ),
        pytest.param('type: "SPP" spp_param { pyramid_height: 1 }', "between", id="pyramid"),
    ],
)
def test_what_the_way_to_pooling_goes_through(between: str, place: str) -> None:
    text = NET.replace(
        'layer { name: "pool_a" type: "Pooling" bottom: "a"',
        f'layer {{ name: "between" bottom: "a" top: "m" {between} }}\n'
        'layer { name: "pool_a" type: "Pooling" bottom: "m"',
    )
    if "SPP" in between:
        text = text.replace('name: "pool_a" type: "Pooling"', 'name: "pool_a" type: "Reshape"')
    sites = {s.weight.name: s.result for s in file_sites(net_file(text), "after-pooling")}
    found = sites["a"]
    assert found is not None and found.name == place


@pytest.mark.parametrize("lpact", ["before-relu", "after-relu", "after-pooling"])
def test_the_way_back_gives_the_same_text(lpact: str) -> None:
    net = net_file()
    low = rewrite(net, uniform_plan(net, weight=Q8, activation=Q16, lpact=lpact))
    assert low.text() != NET
    assert rewrite(low).text() == NET


def test_excluded_layers_stay() -> None:
    net = net_file()
    plan = uniform_plan(net, weight=Q8, activation=Q16, exclude_first=True, exclude_last=True)
    assert {p.layer for p in plan.plan} == {"b", "c"}
    whole = uniform_plan(net, weight=Q8, activation=Q16)
    low = rewrite(net, whole, exclude=["[ad]"])
    assert low.text() == rewrite(net, plan).text()
    assert [m.type for m in low.message.layer if m.name in "abcd"] == [
        "Convolution", "LPConvolution", "LPConvolution", "InnerProduct",
    ]  # fmt: skip


ORIGINAL = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "conv_lp_1" type: "LPConvolution" bottom: "data" top: "conv_lp_1"
  lpfp_param { bd: 2 ad: 6 } convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "act_lp_2" type: "LPAct" bottom: "conv_lp_1" top: "act_lp_2"
  lpfp_param { bd: 4 ad: 4 } }
"""


@pytest.mark.parametrize(
    ("behind", "want"),
    [
        pytest.param(
            'layer { name: "relu_3" type: "ReLU" bottom: "act_lp_2" top: "act_lp_2" }',
            'layer { name: "relu_3" type: "ReLU" bottom: "conv_lp_1" top: "conv_lp_1" }',
            id="readers read the sum",
        ),
        pytest.param("", None, id="an output keeps its name"),
        pytest.param(
            'layer { name: "relu_3" type: "ReLU" bottom: "act_lp_2" top: "act_lp_2" }\n'
            'layer { name: "other" type: "Power" bottom: "conv_lp_1" top: "other" }',
            'type: "Split"',
            id="both blobs are needed",
        ),
    ],
)
def test_layers_of_the_original_back_to_float(behind: str, want: str | None) -> None:
    back = rewrite(net_file(ORIGINAL + behind))
    text = back.text()
    assert "LP" not in text.replace('"conv_lp_1"', "") and "lpfp" not in text
    if want is None:
        assert Net(back).outputs == Net(net_file(ORIGINAL)).outputs == ("act_lp_2",)
    else:
        assert want in text
    low, plain = Net(net_file(ORIGINAL + behind), seed=2), Net(back, seed=2)
    assert set(low.outputs) - {"act_lp_2"} == set(plain.outputs) - {"act_lp_2", "conv_lp_1"}


def test_formats_by_precision_param_go_too() -> None:
    net = net_file()
    wide = FixedPoint(6, -3)
    low = rewrite(net, uniform_plan(net, weight=wide, activation=wide))
    assert "precision_param" in low.text() and "lpfp_param" not in low.text()
    assert rewrite(low).text() == NET


def test_companion_net_gets_the_same_formats() -> None:
    """deploy and train_val stay in step, also where one has layers the other lacks."""
    deploy = net_file()
    auxiliary = NET.replace(
        'layer { name: "prob"',
        'layer { name: "aux" type: "InnerProduct" bottom: "p" top: "aux"'
        " inner_product_param { num_output: 2 } }\n"
        'layer { name: "prob"',
    )
    plan = uniform_plan(deploy, weight=Q8, activation=Q16)
    plan.choices[Point("gone", "weight")] = plan.choices[Point("a", "weight")]
    low = rewrite(net_file(auxiliary), plan, partly=True)
    types = {m.name: m.type for m in low.message.layer}
    assert types["a"] == "LPConvolution" and types["aux"] == "InnerProduct"
    plan.choices.pop(Point("gone", "weight"))
    formats = {m.name: str(m.lpfp_param) for m in rewrite(deploy, plan).message.layer}
    assert formats == {m.name: str(m.lpfp_param) for m in low.message.layer if m.name in formats}


ZOO = Path(__file__).resolve().parents[3] / "shared/zoo"
# A template with placeholders; nets of the original; solvers.
LEFT_OUT = ("deeplab_largefov_train", "adaption_", "solver")
PUBLISHED = [
    p.name for p in sorted(ZOO.glob("*.prototxt")) if not any(x in p.name for x in LEFT_OUT)
]
QUICK = ("googlenet", "mnist_autoencoder", "mobilenet_ssd", "v1_alexnet", "yolo_v1")


@pytest.mark.parametrize(
    "name",
    [
        n if n.startswith(QUICK) else pytest.param(n, marks=pytest.mark.slow)
        for n in PUBLISHED or ["none"]
    ],
)
def test_published_nets_there_and_back(name: str, shared: Path) -> None:
    """Branches, groups, dilation, legacy forms, missing phases: any graph, and every byte back."""
    if not PUBLISHED:
        pytest.skip(f"no published nets at {ZOO}")
    net = read_net(shared / "zoo" / name)
    want = prototxt.format_message(net.message) if net.document.root.all("layers") else net.text()
    for lpact in ("before-relu", "after-relu", "after-pooling"):
        low = rewrite(net, uniform_plan(net, weight=Q8, activation=Q16, lpact=lpact))
        assert "LPAct" in low.text()
        # A file that does not end its last line may get the end of it.
        assert rewrite(low).text().rstrip("\n") == want.rstrip("\n")
