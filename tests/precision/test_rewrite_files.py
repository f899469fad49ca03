"""rewrite_files: folding, rewriting and converting in one call, nets and weights in step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.cli.main import main
from adaption.errors import FieldError, UsageError
from adaption.io.netfile import read_net
from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.options import Formats
from adaption.precision.proposal import Proposal
from adaption.precision.rewrite import uniform_plan
from adaption.precision.rewrite_files import rewrite_files
from adaption.precision.rules import Choice

RESNET = Path(__file__).resolve().parents[2] / "models/cifar10_resnet20"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Random weights, and statistics as training leaves them."""
    net = Net(RESNET / "train_val.prototxt", seed=3, input_shapes={"data": (1, 3, 32, 32),
                                                                   "label": (1,)})  # fmt: skip
    generator = torch.Generator().manual_seed(4)
    for node in net.nodes:
        if node.spec.type == "BatchNorm":
            mean, variance, factor = (blob.tensor for blob in node.blobs)
            mean.copy_(torch.randn(mean.shape, generator=generator) * 0.1)
            variance.copy_(torch.rand(variance.shape, generator=generator) + 0.5)
            factor.fill_(1)
    net.save(tmp_path / "net.caffemodel")
    return tmp_path / "net.caffemodel"


def test_fold_rewrite_and_convert(trained: Path, tmp_path: Path) -> None:
    low, train, weights = (tmp_path / n for n in ("low.prototxt", "train.prototxt", "w.caffemodel"))
    made = rewrite_files(
        RESNET / "deploy.prototxt",
        low,
        weight=FixedPoint.q("4.20"),
        activation=FixedPoint.q("12.12"),
        fold=True,
        also=[(RESNET / "train_val.prototxt", train)],
        weights=trained,
        weights_out=weights,
    )
    assert made.files == [low, train, weights]
    assert len(made.folded) == 21 and made.folded["conv1"] == ("conv1_bn", "conv1_scale")
    assert made.notes == ['Layer "ip": last classifier, its result stays float.']
    full = Net(RESNET / "deploy.prototxt", trained)
    shapes = {"data": (1, 3, 32, 32), "label": (1,)}
    nets = [Net(low, weights), Net(train, weights, input_shapes=shapes)]
    assert not any(n.spec.type in ("BatchNorm", "Scale") for net in nets for n in net.nodes)
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    for net in (full, *nets):
        net.forward({"data": image, **({} if "label" not in net.blobs else {"label": [0]})})
        scores = net.blobs["ip"].data
        # 24 bits: the float scores reach 100, each result is off by 2^-13 at most
        np.testing.assert_allclose(scores, full.blobs["ip"].data, atol=0.02)


def test_a_plan_for_the_net_before_it_was_folded(trained: Path, tmp_path: Path) -> None:
    """Its places move to the weight layer, and weights that it does not hold are told of."""
    plan = Proposal("ResNet-20")
    plan.choices[Point("conv1", "weight")] = Choice(FixedPoint(16, 22), "")
    plan.choices[Point("conv1", "activation")] = Choice(FixedPoint(16, 8), "")
    plan.places["conv1"] = "conv1_scale"
    made = rewrite_files(
        RESNET / "deploy.prototxt", tmp_path / "low.prototxt", plan=plan, fold=True,
        weights=trained, weights_out=tmp_path / "w.caffemodel",
    )  # fmt: skip
    names = [n.spec.name for n in Net(tmp_path / "low.prototxt").nodes]
    assert names[1:3] == ["conv1", "conv1_lpact"]
    told = [note for note in made.notes if "folded weights" in note]
    assert len(told) == 1 and told[0].startswith('Layer "conv1": ')
    assert told[0].endswith(" of 432 folded weights lie beyond Q-6.22.")


def test_folding_alone(trained: Path, tmp_path: Path) -> None:
    made = rewrite_files(
        RESNET / "deploy.prototxt", tmp_path / "f.prototxt", fold=True, weights=trained,
        weights_out=tmp_path / "f.caffemodel",
    )  # fmt: skip
    assert not made.layers and len(made.folded) == 21
    net = Net(tmp_path / "f.prototxt", tmp_path / "f.caffemodel")
    assert {n.spec.type for n in net.nodes if n.blobs} == {"Convolution", "InnerProduct"}


def test_bad_arguments(trained: Path, tmp_path: Path) -> None:
    net, out = RESNET / "deploy.prototxt", tmp_path / "o.prototxt"
    q = FixedPoint(8, 6)
    with pytest.raises(UsageError, match="weights are read, but not written anywhere"):
        rewrite_files(net, out, weight=q, weights=trained)
    with pytest.raises(UsageError, match="exactly one says what to rewrite to"):
        rewrite_files(net, out, weight=q, to_float=True)
    with pytest.raises(FieldError, match="style is 'mine', allowed: caffe, original"):
        rewrite_files(net, out, weight=q, style="mine")
    assert not out.exists()


def test_backward_weights_alone_and_beside_formats(trained: Path, tmp_path: Path) -> None:
    net, low, both = RESNET / "deploy.prototxt", tmp_path / "low.prototxt", tmp_path / "b.prototxt"
    form = {"weight": FixedPoint(4, 3), "activation": FixedPoint(4, 2)}
    rewrite_files(net, low, **form, exclude_first=True)
    rewrite_files(low, tmp_path / "alone.prototxt", backward_weights=True)
    rewrite_files(net, both, **form, exclude_first=True, backward_weights=True)
    assert both.read_text("utf-8") == (tmp_path / "alone.prototxt").read_text("utf-8")
    nodes = {n.spec.name: n for n in Net(both).nodes}
    assert nodes["ip"].formats.backward_weights == "QUANTIZED"
    assert nodes["ip"].formats.weight == FixedPoint(4, 3)
    assert nodes["conv1"].formats.backward_weights == "MASTER"
    with pytest.raises(UsageError, match="no layers with rounded weights"):
        rewrite_files(net, tmp_path / "o.prototxt", backward_weights=True)
    with pytest.raises(UsageError, match="which a float net has not"):
        rewrite_files(low, tmp_path / "o.prototxt", to_float=True, backward_weights=True)
    assert not (tmp_path / "o.prototxt").exists()


def test_no_gradient_for_what_saturates(trained: Path, tmp_path: Path) -> None:
    net, low = RESNET / "deploy.prototxt", tmp_path / "low.prototxt"
    form = {"weight": FixedPoint(4, 3), "activation": FixedPoint(4, 2)}
    rewrite_files(net, low, **form, exclude_first=True, mask_saturated=True)
    formats = {n.spec.name: n.formats for n in Net(low).nodes}
    assert formats["ip"].weight == FixedPoint(4, 3, mask_saturated=True)
    assert formats["conv1"].weight is None
    rounded = {f.activation for f in formats.values() if f.activation is not None}
    assert rounded == {FixedPoint(4, 2, mask_saturated=True)}
    with pytest.raises(UsageError, match="mask_saturated needs formats, and none are given"):
        rewrite_files(low, tmp_path / "o.prototxt", mask_saturated=True, backward_weights=True)
    with pytest.raises(UsageError, match="mask_saturated goes with formats in precision_param"):
        rewrite_files(low, tmp_path / "o.prototxt", to_float=True, mask_saturated=True)
    assert not (tmp_path / "o.prototxt").exists()


def test_original_style_says_what_of_a_plan_it_cannot_say(tmp_path: Path) -> None:
    net = RESNET.parent / "lenet_digits/deploy.prototxt"
    plan = uniform_plan(read_net(net), weight=FixedPoint(8, 6), activation=FixedPoint(8, 4))
    plan.formats = Formats(bits=8, mask_saturated=True)
    made = rewrite_files(net, tmp_path / "o.prototxt", plan=plan, style="original")
    assert "The original style cannot say mask_saturated of the plan." in made.notes


def test_the_flag_that_a_recipe_shares(tmp_path: Path) -> None:
    net, low = str(RESNET / "deploy.prototxt"), str(tmp_path / "low.prototxt")
    call = ["rewrite", net, "-o", low, "--mask-saturated"]
    assert main([*call, "--weight", "Q1.3", "--activation", "Q2.2", "--quiet"]) == 0
    by_hand = {n.spec.name: n.formats for n in Net(low).nodes}
    assert by_hand["ip"].weight == FixedPoint(4, 3, mask_saturated=True)
    assert main([*call, "--recipe", "sdfp", "--quiet"]) == 0
    by_recipe = [n.formats.weight for n in Net(low).nodes if n.formats.weight is not None]
    assert by_recipe and all(fmt.mask_saturated for fmt in by_recipe)
