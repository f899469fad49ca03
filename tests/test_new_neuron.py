"""A neuron that is added in one file is treated as one by every room, without a line elsewhere.

HardSwish stands for it: forks of Caffe have it, but do not agree on what it computes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import adaption
from adaption.errors import LayerError
from adaption.export.targets.nullhop import nullhop_network
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.layers import base
from adaption.layers.base import Layer, Lowering, layer
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision.edit import edit
from adaption.precision.fold import fold_batch_norm
from adaption.precision.rewrite import rewrite, uniform_plan
from adaption.precision.sites import PLACES, bottom_sites
from adaption.pycaffe import coord_map
from adaption.pycaffe.net_spec import layers
from adaption.report.draw import drawing_of

NEW = "HardSwish"


@pytest.fixture(autouse=True)
def hard_swish() -> Iterator[None]:
    """What the one file says; `layer` finds it as the scan of the folder would."""

    @layer(NEW, kind="activation", is_pointwise=True)
    @dataclass(frozen=True)
    class HardSwish(Layer):
        def forward(self, x: Tensor) -> Tensor:
            return x * (x + 3).clamp(0, 6) / 6

        def lower(self, g: Lowering, *names: str) -> str:
            x = names[0]
            gate = g.op("Clip", g.op("Add", x, g.constant(3.0)), g.constant(0.0), g.constant(6.0))
            y: str = g.op("Mul", g.op("Mul", x, gate), g.constant(1 / 6))
            return y

    yield
    del base._registry[NEW]


NET = """name: "n"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" convolution_param { num_output: 4
  kernel_size: 3 weight_filler { type: "gaussian" std: 0.4 } } }
layer { name: "b1" type: "BatchNorm" bottom: "c1" top: "c1" }
layer { name: "s1" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } }
layer { name: "n1" type: "HardSwish" bottom: "c1" top: "n1" }
layer { name: "p1" type: "Pooling" bottom: "n1" top: "p1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2" convolution_param { num_output: 4
  kernel_size: 2 weight_filler { type: "gaussian" std: 0.4 } } }
layer { name: "n2" type: "HardSwish" bottom: "c2" top: "c2" }
layer { name: "ip" type: "InnerProduct" bottom: "c2" top: "ip" inner_product_param { num_output: 5
  weight_filler { type: "xavier" } } }
"""
KNOWN = NET.replace(NEW, "Swish")  # which the project has always known


def file_of(text: str) -> NetFile:
    return from_document(prototxt.parse(text, "n.prototxt"))


def low(net: NetFile, lpact: str) -> NetFile:
    plan = uniform_plan(net, weight=FixedPoint(8, 6), activation=FixedPoint(8, 4), lpact=lpact)
    return rewrite(net, plan)


def test_rounding_comes_behind_it() -> None:
    order = [spec.name for spec in Net(low(file_of(NET), "after-relu")).spec]
    assert order == [
        *("x", "c1", "b1", "s1", "n1", "c1_lpact", "p1"),
        *("c2", "n2", "c2_lpact", "ip"),
    ]


@pytest.mark.parametrize("lpact", PLACES)
@pytest.mark.parametrize(
    "result",
    [
        pytest.param(lambda net, lpact: low(net, lpact).text(), id="rewrite"),
        pytest.param(lambda net, lpact: rewrite(low(net, lpact)).text(), id="back to float"),
        pytest.param(
            lambda net, lpact: edit(low(net, lpact), ["c?:activation=Q5.5"]).net.text(), id="edit"
        ),
        pytest.param(
            lambda net, lpact: [str(site) for site in bottom_sites(Net(net).spec, lpact)],
            id="bottoms",
        ),
        pytest.param(lambda net, lpact: drawing_of(low(net, lpact)).dot(), id="draw"),
    ],
)
def test_it_is_treated_as_other_neurons_are(
    lpact: str, result: Callable[[NetFile, str], Any]
) -> None:
    mine, theirs = result(file_of(NET), lpact), result(file_of(KNOWN), lpact)
    assert str(mine).replace(NEW, "Swish") == str(theirs)


def test_batch_norm_folds_in_front_of_it(tmp_path: Path) -> None:
    net = file_of(NET)
    Net(net, seed=1).save(tmp_path / "w.caffemodel")
    folded = fold_batch_norm(net, tmp_path / "w.caffemodel")
    assert folded.folded == {"c1": ("b1", "s1")}


def test_it_hands_no_scale_on(tmp_path: Path) -> None:
    net = file_of(
        NET.replace('layer { name: "b1" type: "BatchNorm" bottom: "c1" top: "c1" }\n', "")
    )
    Net(net, seed=1).save(tmp_path / "w.caffemodel")
    with pytest.raises(LayerError, match=r'"n1" \(HardSwish of scaled values\)'):
        adaption.rescale(net, tmp_path / "w.caffemodel", 0.5)


def test_places_go_through_it() -> None:
    data = layers.Input(input_param={"shape": {"dim": [1, 1, 9, 9]}})
    assert coord_map.coord_map_from_to(getattr(layers, NEW)(data), data) == (None, 1, 0)
    assert NEW in coord_map.PASS_THROUGH_LAYERS


@pytest.mark.parametrize(
    ("lpact", "onnx"),
    [("after-relu", "float"), ("after-relu", "qdq"), ("before-relu", "integer")],
)
def test_the_main_job_measures_rounds_proves_and_reports_it(
    lpact: str, onnx: str, tmp_path: Path
) -> None:
    (tmp_path / "n.prototxt").write_text(NET)
    net = Net(tmp_path / "n.prototxt", seed=1)
    net.params["b1"][1].data[...] = 1  # variances, and the factor they are divided by
    net.params["b1"][2].data[...] = 1
    net.save(tmp_path / "n.caffemodel")
    x = np.random.default_rng(0).normal(size=(40, 2, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    made = adaption.quantize(
        tmp_path / "n.prototxt",
        tmp_path / "n.caffemodel",
        tmp_path / "data.npz",
        out=tmp_path / "out",
        bits=8,
        lpact=lpact,
        every_bottom=True,
        product_bias=True,
        rounding="half_even",
        onnx=onnx,
        quiet=True,
    )
    low_net, low_weights = made.folder / "net_lp.prototxt", made.folder / "net_lp.caffemodel"
    results = {entry["name"]: entry["activation"] for entry in made.summary["layers"]}
    if lpact == "after-relu":
        assert [results[name]["place"] for name in ("c1", "c2")] == ["n1", "n2"]
        assert results["c1"]["min"] >= -0.375 - 1e-6, "of HardSwish, which has no smaller value"
    elif shutil.which("cc"):
        exact = adaption.verify(Net(low_net, low_weights), "exact", "c", {"x": x})
        assert exact.ok, str(exact)


def test_an_accelerator_without_it_says_so() -> None:
    chain = NET[: NET.index('layer { name: "b1"')] + (
        'layer { name: "n1" type: "HardSwish" bottom: "c1" top: "n1" }\n'
    )
    with pytest.raises(LayerError, match=r'followed by "n1" \(HardSwish\), which NullHop lacks'):
        nullhop_network(Net(file_of(chain)))
