"""The prototxts in models/: in step with the script that makes them and each other; they run."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from adaption.cli.main import main
from adaption.io import prototxt
from adaption.io.netfile import from_document, read_net
from adaption.net import Net, Point
from adaption.proto import caffe_pb2
from adaption.report.cost import cost
from adaption.report.inspect import inspect

ROOT = Path(__file__).resolve().parents[1]
NETS = sorted(
    path.parent.name
    for path in ROOT.glob("models/*/deploy.prototxt")
    if path.parent.name != "lenet_digits"
)
SMALL = ("lenet", "lenet5", "cifar10_quick", "cifar10_full", "cifar10_resnet20")
SMALL += ("cifar10_preresnet20", "cifar10_convnet_sakr", "cifar10_alexnet")
MARKED = [n if n in SMALL else pytest.param(n, marks=pytest.mark.slow) for n in NETS]
SOLVERS = sorted(ROOT.glob("models/*/*solver.prototxt"))
SOLVER_NAMES = [path.relative_to(ROOT / "models").as_posix() for path in SOLVERS]
FASTER = ROOT / "models/faster_rcnn_vgg16"


@cache
def script() -> ModuleType:
    """scripts/make_models.py as a module."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return importlib.import_module("make_models")
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_every_file_is_what_the_script_makes() -> None:
    made = dict(script().all_files())
    stale = [str(path) for path, text in made.items() if path.read_text("utf-8") != text]
    assert not stale, "run python scripts/make_models.py"
    others = {p for n in [*NETS, FASTER.name] for p in ROOT.glob(f"models/{n}/*.prototxt")}
    assert others == set(made)


def test_each_net_has_a_readme() -> None:
    assert len(NETS) == 19
    for name in [*NETS, FASTER.name]:
        text = (ROOT / "models" / name / "README.md").read_text("utf-8")
        assert "Origin: " in text and "Weights: " in text


def low_file(name: str, kind: str, out: Path) -> Path:
    """The net `kind` in fixed point: the file of models/ where ADaPTION published one, otherwise
    what the command in the model's README.md writes."""
    ours = ROOT / "models" / name / f"{kind}_lp.prototxt"
    if ours.exists():
        return ours
    if not (out / ours.name).exists():
        text = (ROOT / "models" / name / "README.md").read_text("utf-8")
        command = re.search(r"^adaption (rewrite (?:.*\\\n)*.*)$", text, re.MULTILINE)
        assert command is not None
        words = shlex.split(command[1].replace("\\\n", " "))
        with contextlib.chdir(out):
            assert main([str(ROOT / w) if w.startswith("models/") else w for w in words]) == 0
    return out / ours.name


def test_published_fixed_point_nets() -> None:
    """Those of ADaPTION alone: what `rewrite` makes is not kept."""
    found = {path.parent.name for path in ROOT.glob("models/*/*_lp*.prototxt")}
    assert found == {"alexnet", "lenet", "vgg16", "vgg19"}


@pytest.mark.parametrize("name", MARKED)
def test_deploy_and_train_val_have_the_same_weights_and_formats(name: str, tmp_path: Path) -> None:
    folder = ROOT / "models" / name
    deploy, train = (_weight_layers(folder / f"{k}.prototxt") for k in ("deploy", "train_val"))
    assert deploy and {k: v for k, v in train.items() if k in deploy} == deploy
    assert all(name.startswith(("loss1/", "loss2/")) for name in set(train) - set(deploy))
    low = [_formats(low_file(name, kind, tmp_path)) for kind in ("deploy", "train_val")]
    assert low[0] == low[1] and low[0]
    floats = [read_net(folder / f"{kind}.prototxt") for kind in ("deploy", "train_val")]
    for one, kind in zip(floats, ("deploy", "train_val"), strict=True):
        rounded = read_net(low_file(name, kind, tmp_path))
        kept = [m.name for m in rounded.message.layer if m.type != "LPAct"]
        assert kept == [m.name for m in one.message.layer]


def _weight_layers(path: Path) -> dict[str, Any]:
    """What decides the blobs of each weight layer, and where it stands."""
    made = {}
    for message in read_net(path).message.layer:
        if message.type in ("Convolution", "InnerProduct"):
            for field in ("weight_filler", "bias_filler"):
                for param in (message.convolution_param, message.inner_product_param):
                    param.ClearField(field)
            message.ClearField("param")
            made[message.name] = message
    return made


def _shape(folder: Path) -> tuple[int, ...]:
    layer = read_net(folder / "deploy.prototxt").message.layer[0]
    return tuple(layer.input_param.shape[0].dim)


def _formats(path: Path) -> dict[str, str]:
    return {
        m.name: str(m.lpfp_param) for m in read_net(path).message.layer if m.HasField("lpfp_param")
    }


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("resnet152", 60_344_451, 11_282_415_616),
        ("resnet34", 21_814_732, 3_663_761_408),
        ("cifar10_preresnet20", 273_677, 40_813_184),
        ("cifar10_resnet20_wide", 18_613_151, 2_721_453_056),
        ("cifar10_convnet_sakr", 1_547_472, 59_461_376),
        ("cifar10_alexnet", 2_472_266, 14_957_056),
        ("lenet5", 61_706, 416_520),
    ],
)
def test_counts_of_the_papers(name: str, parameters: int, macs: int) -> None:
    """All parameters, biases and batch norm included; MACs of the weight layers."""
    path = ROOT / "models" / name / "deploy.prototxt"
    assert inspect(path).params == parameters
    assert cost(path).net.macs == macs
    text = path.with_name("README.md").read_text("utf-8")
    assert f"{macs:,}" in text or f"{macs / 1e9:.3f} G" in text


def test_released_formats_of_the_wide_resnet() -> None:
    """The files state the configuration of the released program: its costs, and all its tensors."""
    folder = ROOT / "models/cifar10_resnet20_wide"
    for name in ("deploy_fx", "train_val_fx"):
        shapes = {} if name == "deploy_fx" else {"data": (1, 3, 32, 32), "label": (1,)}
        found = cost(folder / f"{name}.prototxt", inputs=shapes).to_dict()
        assert found["per_tensor"] == {
            "C_W": 725_805_824, "C_A": 25_092_246, "C_M": 804_537_603_072, "C_C": 216_575_104,
        }, name  # fmt: skip
    shapes = {"data": (4, 3, 32, 32), "label": (4,)}
    net = Net(narrow(folder / "train_val_fx.prototxt"), phase="TRAIN", seed=1, input_shapes=shapes)
    kinds = Counter(point.kind for point in net.plan)
    assert kinds == {
        "weight": 22, "weight_grad": 22, "weight_accumulator": 22,
        "bottom": 1, "activation": 19, "activation_grad": 20,
    }  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, shapes["data"]).astype(np.float32) / 256
    assert np.array_equal(net.plan[Point("conv1", "bottom")].quantize(torch.tensor(pixels)), pixels)
    net.blobs["data"].data[...] = pixels
    net.forward()
    net.clear_param_diffs()
    net.backward()
    assert all(np.isfinite(blobs[0].diff).all() for blobs in net.params.values())
    net.release()


@pytest.mark.parametrize("path", SOLVERS, ids=SOLVER_NAMES)
def test_solvers_read_and_name_their_nets(path: Path) -> None:
    solver, notices = prototxt.read(path).message(caffe_pb2.SolverParameter)
    assert not notices
    assert (ROOT / solver.net).parent == path.parent and (ROOT / solver.net).exists()
    assert solver.base_lr > 0 and solver.lr_policy


def test_tables_of_the_original() -> None:
    found = _formats(ROOT / "models/vgg16/deploy_lp.prototxt")
    assert len(found) == 31  # 16 of weights, 15 of results
    q = {name: tuple(map(int, re.findall(r"[ba]d: (\d+)", text))) for name, text in found.items()}
    assert (q["conv1_1"], q["conv1_1_lpact"], q["fc7"], q["fc7_lpact"]) == (
        (3, 13), (7, 9), (2, 14), (3, 13),
    )  # fmt: skip
    scaled = _formats(ROOT / "models/vgg16/deploy_lp_scaled.prototxt")
    assert "bd: 3\nad: 13" in scaled["conv1_1_lpact"]
    assert len(_formats(ROOT / "models/vgg19/deploy_lp.prototxt")) == 37
    assert len(_formats(ROOT / "models/alexnet/deploy_lp.prototxt")) == 15


@pytest.mark.parametrize(
    ("name", "zoo"),
    [
        ("caffenet", "caffenet_deploy"),
        ("googlenet", "googlenet_deploy"),
        ("resnet50", "resnet50_deploy"),
        ("squeezenet", "squeezenet_v1.1_deploy"),
        ("mobilenet", "mobilenet_v1"),
    ],
)
def test_layers_are_those_of_the_published_nets(name: str, zoo: str, shared: Path) -> None:
    """Names, types and blobs: published weights load."""
    path = shared / f"zoo/{zoo}.prototxt"
    if not path.exists():
        pytest.skip(f"no published nets at {path.parent}")
    mine, theirs = (
        {x["name"]: (x["type"], x["blob_shapes"]) for x in inspect(p).to_dict()["layers"]}
        for p in (ROOT / "models" / name / "deploy.prototxt", path)
    )
    for layers in (mine, theirs):
        layers.pop("data", None)
        layers.pop("input", None)
    assert mine == theirs


@pytest.mark.parametrize("name", MARKED)
@pytest.mark.parametrize("kind", ["deploy", "deploy_lp", "train_val_lp"])
def test_runs_with_random_weights(name: str, kind: str, tmp_path: Path) -> None:
    folder = ROOT / "models" / name
    file = folder / f"{kind}.prototxt"
    if kind.endswith("_lp"):
        file = low_file(name, kind.removesuffix("_lp"), tmp_path)
    shape = _shape(folder)
    shapes: dict[str, Any] = {"data": shape, "label": (1,)} if kind == "train_val_lp" else {}
    net = Net(file, seed=1, input_shapes=shapes)
    assert not net.notices
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=shape)
    with torch.no_grad():
        net.forward()
    out = net.blobs["loss" if "loss" in net.blobs else net.outputs[-1]].data
    assert np.isfinite(out).all()
    if kind != "train_val_lp":
        assert out.sum() == pytest.approx(1, abs=1e-4)  # float32 sum of a softmax
    net.release()


def narrow(path: Path) -> Any:
    """A net with a 32nd of the channels: the same graph, and quick to run."""
    text = path.read_text("utf-8")
    text = re.sub(
        r"num_output: (64|128|256|512|4096)\b", lambda m: f"num_output: {int(m[1]) // 32}", text
    )
    text = text.replace("dim: 25088", f"dim: {25088 // 32}")
    return from_document(prototxt.parse(text, path.name))


IMAGE = (1, 3, 256, 320)


def test_faster_rcnn_finds_regions() -> None:
    net = Net(narrow(FASTER / "test.prototxt"), seed=1, input_shapes={"data": IMAGE})
    assert sum(n.spec.type == "LPAct" for n in net.nodes) == 15
    assert not net.notices
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=IMAGE)
    net.blobs["im_info"].data[...] = [256, 320, 1]
    with torch.no_grad():
        net.forward()
    rois, scores = net.blobs["rois"].data, net.blobs["cls_prob"].data
    assert len(rois) == len(scores) == len(net.blobs["bbox_pred"].data) > 1
    assert (rois[:, 1:] >= 0).all() and rois[:, 3].max() <= 319
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)  # float32 sums of a softmax


@pytest.mark.parametrize("stage", [1, 2])
def test_faster_rcnn_proposal_net_learns(stage: int) -> None:
    shapes = {"data": IMAGE, "im_info": (1, 3), "gt_boxes": (2, 5)}
    net = Net(
        narrow(FASTER / f"stage{stage}_rpn_train.prototxt"),
        phase="TRAIN",
        seed=1,
        input_shapes=shapes,
    )
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=IMAGE)
    net.blobs["im_info"].data[...] = [256, 320, 1]
    net.blobs["gt_boxes"].data[...] = [[10, 10, 130, 140, 1], [150, 60, 290, 200, 2]]
    net.forward()
    assert {-1, 0, 1} >= set(net.blobs["rpn_labels"].data.ravel()) >= {0, 1}
    assert net.blobs["rpn_cls_loss"].data == pytest.approx(np.log(2), abs=0.2)
    net.clear_param_diffs()
    net.backward()
    gradient = {name: bool(blobs[0].diff.any()) for name, blobs in net.params.items()}
    assert gradient["rpn_conv/3x3"] and gradient["rpn_bbox_pred"]
    assert gradient["conv_lp_1"] is (stage == 1) and not gradient["fc_lp_32"]


@pytest.mark.parametrize("stage", [1, 2])
def test_faster_rcnn_detector_learns(stage: int) -> None:
    regions = np.array([[0, 10, 10, 120, 130], [0, 60, 40, 180, 150]], np.float32)
    shapes = {"data": IMAGE, "rois": (2, 5), "labels": (2,)}
    shapes |= {n: (2, 84) for n in ("bbox_targets", "bbox_inside_weights", "bbox_outside_weights")}
    path = FASTER / f"stage{stage}_fast_rcnn_train.prototxt"
    net = Net(narrow(path), phase="TRAIN", seed=1, input_shapes=shapes)
    assert not net.notices  # spatial_scale is 1/16, not the original's 0.625
    for name, shape in shapes.items():
        net.blobs[name].data[...] = np.random.default_rng(0).normal(size=shape)
    net.blobs["rois"].data[...] = regions
    net.blobs["labels"].data[...] = [3, 0]
    net.forward()
    net.clear_param_diffs()
    net.backward()
    gradient = {name: bool(blobs[0].diff.any()) for name, blobs in net.params.items()}
    assert gradient["cls_score"] and gradient["fc_lp_32"]
    assert gradient["conv_lp_1"] is (stage == 1) and not gradient["rpn_conv/3x3"]
