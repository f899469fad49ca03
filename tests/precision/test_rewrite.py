"""Sites, propose, rewrite and convert, on nets with branches, groups, batch norm and comments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.errors import FieldError, FileFormatError, LayerError
from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.caffemodel import read_weights, write_weights
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.precision.convert import convert
from adaption.precision.measure import Measurement, measure_net
from adaption.precision.propose import Proposal, propose
from adaption.precision.rewrite import rewrite
from adaption.precision.rules import Choice
from adaption.precision.sites import quantization_sites

NET = """# a comment at the top
name: "mixed"   # behind the name
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 6 } } }
layer {
  name: "conv1"  # grouped and dilated
  type: "Convolution"
  bottom: "x"
  top: "conv1"
  param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 3 pad: 2 dilation: 2 group: 2
    weight_filler { type: "gaussian" std: 0.5 } }
}
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer {
  name: "left"
  type: "Convolution"
  bottom: "conv1"
  top: "left"
  convolution_param { num_output: 4 kernel_size: 1 bias_term: false
    weight_filler { type: "gaussian" std: 2 } }
}
layer { name: "sum" type: "Eltwise" bottom: "conv1" bottom: "left" top: "sum" }
layer {
  name: "up"
  type: "Deconvolution"
  bottom: "sum"
  top: "up"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2
    weight_filler { type: "gaussian" std: 0.3 } }
}
layer { name: "ip" type: "InnerProduct" bottom: "up" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


class OneBatch:
    def __init__(self, **blobs: np.ndarray) -> None:
        self.blobs = blobs
        self.names = [str(i) for i in range(len(next(iter(blobs.values()))))]
        self.labels = None


@pytest.fixture
def net_file() -> NetFile:
    return from_document(prototxt.parse(NET, "mixed.prototxt"))


@pytest.fixture
def batch() -> OneBatch:
    return OneBatch(x=np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32))


@pytest.fixture
def measured(net_file: NetFile, batch: OneBatch) -> tuple[Net, Measurement]:
    net = Net(net_file, seed=3)
    return net, measure_net(net, [batch], every_layer=True)


def test_sites_stand_behind_batch_norm_and_leave_the_last_classifier(net_file: NetFile) -> None:
    spec = build_spec(net_file.message, NetState())
    places = {s.weight.name: s.result and s.result.name for s in quantization_sites(spec)}
    assert places == {"conv1": "scale1", "left": "left", "up": "up", "ip": None}


def test_measurement_covers_every_tensor_and_survives_a_file(
    measured: tuple[Net, Measurement], tmp_path: Path
) -> None:
    _, made = measured
    tops = {Point(n, "activation") for n in ("in", "conv1", "bn1", "scale1", "relu1", "left")}
    assert tops <= set(made.points)
    assert {Point("conv1", "weight"), Point("conv1", "bias")} <= set(made.points)
    assert made[Point("prob", "activation")].maximum <= 1
    made.save(tmp_path / "m.json")
    again = Measurement.load(tmp_path / "m.json")
    assert again.samples == 2
    assert {p: s.to_dict() for p, s in again.points.items()} == {
        p: s.to_dict() for p, s in made.points.items()
    }
    assert len((tmp_path / "m.json").read_text().splitlines()) == len(made.points) + 12
    doubled = made.merge(again)
    assert doubled.samples == 4
    point = Point("left", "activation")
    assert doubled[point].count == 2 * made[point].count
    assert doubled[Point("left", "weight")].count == made[Point("left", "weight")].count


def test_rewrite_touches_only_what_changes(
    net_file: NetFile, measured: tuple[Net, Measurement]
) -> None:
    net, made = measured
    low = rewrite(net_file, propose(net.spec, made, bits=8))
    text = low.text()
    kept = [line for line in NET.splitlines() if "Convolution" not in line and '"ip"' not in line]
    rest = iter(text.splitlines())
    assert all(any(line == other for other in rest) for line in kept if "type" not in line)
    assert "# grouped and dilated" in text and "# behind the name" in text
    types = {s.name: s.type for s in build_spec(low.message, NetState())}
    assert types["conv1"] == types["left"] == "LPConvolution"
    assert types["ip"] == "LPInnerProduct"
    assert types["up"] == "Deconvolution"  # has no twin: precision_param says it
    acts = [n for n, t in types.items() if t == "LPAct"]
    assert acts == ["conv1_lpact", "left_lpact", "up_lpact"]
    order = list(types)
    assert order.index("conv1_lpact") == order.index("scale1") + 1
    conv1 = next(x for x in low.message.layer if x.name == "conv1")
    assert (conv1.convolution_param.group, conv1.convolution_param.dilation[0]) == (2, 2)
    assert [p.lr_mult for p in conv1.param] == [1, 2]
    # Names of all blobs are those of the float net.
    assert set(Net(low, seed=0).spec.outputs) == set(net.spec.outputs)


def test_rewriting_again_replaces_the_formats(
    net_file: NetFile, measured: tuple[Net, Measurement]
) -> None:
    net, made = measured
    at_16 = rewrite(net_file, propose(net.spec, made, bits=16))
    at_8 = rewrite(net_file, propose(net.spec, made, bits=8))
    assert rewrite(at_16, propose(net.spec, made, bits=8)).message == at_8.message


def test_formats_beyond_lpfp_param_are_written_as_precision_param(net_file: NetFile) -> None:
    plan = Proposal("mixed")
    plan.choices[Point("left", "activation")] = Choice(FixedPoint(6, -3), "")
    plan.places["left"] = "left"
    low = rewrite(net_file, plan)
    net = Net(low, seed=1)
    act = next(n for n in net.nodes if n.spec.type == "LPAct")
    assert act.formats.activation == FixedPoint(6, -3)


def test_plan_file_can_be_edited_by_hand(measured: tuple[Net, Measurement], tmp_path: Path) -> None:
    net, made = measured
    path = tmp_path / "plan.json"
    first = propose(net.spec, made, bits=8)
    first.save(path)
    again = Proposal.load(path)
    assert (again.plan, again.places) == (first.plan, first.places)
    line = next(x for x in path.read_text().splitlines() if '"ip"' in x and "weight" in x)
    edited = line.replace(str(first.plan[Point("ip", "weight")]), "Q3.5")
    path.write_text(path.read_text().replace(line, edited))
    assert Proposal.load(path).plan[Point("ip", "weight")] == FixedPoint(8, 5)
    path.write_text("{}")
    with pytest.raises(FileFormatError, match="is no plan"):
        Proposal.load(path)


def test_convert_equals_loading_and_saving(
    net_file: NetFile, measured: tuple[Net, Measurement], tmp_path: Path
) -> None:
    net, made = measured
    net.save(tmp_path / "float.caffemodel")
    low = Net(rewrite(net_file, propose(net.spec, made, bits=6, round_bias=True)))
    low.load(tmp_path / "float.caffemodel")
    low.save(tmp_path / "loaded.caffemodel")
    weights = read_weights(tmp_path / "float.caffemodel")
    write_weights(tmp_path / "converted.caffemodel", convert(weights, low.spec))
    loaded, converted = (
        read_weights(tmp_path / f"{n}.caffemodel") for n in ("loaded", "converted")
    )
    for layer in converted.layers:
        other = loaded.get(layer.name)
        assert other is not None
        for a, b in zip(layer.blobs, other.blobs, strict=True):
            np.testing.assert_array_equal(a.array(), b.array())
    counts = {x.name: len(x.blobs) for x in converted.layers if x.blobs}
    assert counts == {"conv1": 4, "bn1": 3, "scale1": 2, "left": 2, "up": 2, "ip": 4}
    back = {x.name: x for x in convert(converted, net.spec)}
    np.testing.assert_array_equal(
        back["conv1"].blobs[1].array(), weights.get("conv1").blobs[1].array()
    )


def test_low_precision_results_lie_on_the_grid(
    net_file: NetFile, measured: tuple[Net, Measurement], batch: OneBatch, tmp_path: Path
) -> None:
    net, made = measured
    net.save(tmp_path / "float.caffemodel")
    proposal = propose(net.spec, made, bits=8)
    low = Net(rewrite(net_file, proposal), tmp_path / "float.caffemodel")
    net.forward(batch.blobs)
    low.forward(batch.blobs)
    for name in ("left", "up"):
        codes = low.blobs[name].tensor / proposal.plan[Point(name, "activation")].lsb
        assert torch.equal(codes, codes.round())
    # A wrong scale or a lost layer would show as a far greater difference than 8 bits make.
    full, found = net.blobs["ip"].tensor, low.blobs["ip"].tensor
    assert 0 < float((full - found).abs().max() / full.abs().max()) < 0.05


@pytest.mark.parametrize("bits", [-1, 0, 1, 25, 40])
def test_bits_out_of_range(measured: tuple[Net, Measurement], bits: int) -> None:
    net, made = measured
    with pytest.raises(FieldError) as caught:
        propose(net.spec, made, bits=bits)
    assert str(caught.value) == (
        f"bits is {bits}, allowed: 2..24 (float32 holds every code up to 24 bits)\n"
        "  fix: 16 is ADaPTION's word length; 8 is what int8 hardware takes"
    )


def test_plan_of_another_net(net_file: NetFile) -> None:
    plan = Proposal("other")
    plan.choices[Point("conv9", "weight")] = Choice(FixedPoint(8, 7), "")
    with pytest.raises(LayerError) as caught:
        rewrite(net_file, plan)
    assert str(caught.value) == (
        'mixed.prototxt: the plan names layer "conv9", which the net lacks\n'
        "  fix: use a plan that was made for this net"
    )
