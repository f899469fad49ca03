"""The verbs rewrite and convert on the embedded example: files, notes, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adaption.cli.main import main
from adaption.io.caffemodel import read_weights
from adaption.net import Net

LENET = Path(__file__).resolve().parents[2] / "models/lenet_digits"
DEPLOY, TRAIN_VAL = LENET / "deploy.prototxt", LENET / "train_val.prototxt"
(WEIGHTS,) = LENET.glob("*.caffemodel")


def test_deploy_and_train_val_stay_in_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, also, weights = (tmp_path / n for n in ("d.prototxt", "t.prototxt", "w.caffemodel"))
    arguments = [
        "rewrite",
        str(DEPLOY),
        "-o",
        str(out),
        "--weight",
        "Q2.6",
        "--activation",
        "Q6.10",
    ]
    arguments += ["--also", str(TRAIN_VAL), str(also), "--exclude-last"]
    arguments += ["--weights", str(WEIGHTS), "--weights-out", str(weights)]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "weight Q2.6, activation Q6.10" in text and "stays as it is, as asked" in text
    assert f"next: adaption inspect {out} {weights}" in text
    shapes = {"data": (1, 1, 8, 8), "label": (1,)}
    nets = [Net(out, weights), Net(also, weights, input_shapes=shapes)]
    formats = [
        {n.spec.name: n.formats for n in net.nodes if n.spec.type.startswith("LP")} for net in nets
    ]
    assert formats[0] == formats[1] and len(formats[0]) > 2
    # and back
    assert main(["rewrite", str(out), "-o", str(tmp_path / "f.prototxt"), "--to", "float"]) == 0
    assert (tmp_path / "f.prototxt").read_bytes() == DEPLOY.read_bytes()
    back = ["convert", str(weights), str(DEPLOY), "-o", str(tmp_path / "f.caffemodel"), "--json"]
    capsys.readouterr()
    assert main(back) == 0
    mapping = json.loads(capsys.readouterr().out)["mapping"]
    assert mapping and all(a == b for a, b in mapping.items())
    originals = {layer.name: layer.blobs for layer in read_weights(WEIGHTS)}
    for layer in read_weights(tmp_path / "f.caffemodel"):
        for blob, want in zip(layer.blobs, originals[layer.name], strict=True):
            np.testing.assert_array_equal(blob.array(), want.array())


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "d.prototxt"
    assert main(["rewrite", str(DEPLOY), "-o", str(out), "--weight", "2.6", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["files"] == [str(out)]
    assert all(points == {"weight": "Q2.6"} for points in made["layers"].values())


def test_original_style_with_its_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, file name and weights by order; both nets give the same scores at 16 bits."""
    weights = tmp_path / "HP_LeNetDigits_v2.caffemodel"
    arguments = ["rewrite", str(DEPLOY), "-o", str(tmp_path), "--style", "original"]
    arguments += ["--weight", "Q3.13", "--activation", "Q9.7"]
    arguments += ["--weights", str(WEIGHTS), "--weights-out", str(weights), "--json"]
    assert main(arguments) == 0
    made = tmp_path / "LP_LeNetDigits_16_bit_deploy.prototxt"
    assert json.loads(capsys.readouterr().out)["files"] == [str(made), str(weights)]
    low, full = Net(made, weights), Net(DEPLOY, WEIGHTS)
    assert [n.spec.name for n in low.nodes][1:4] == ["conv_lp_1", "act_lp_2", "relu_3"]
    image = np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32)
    for net in (low, full):
        net.forward({"data": image})
    # 16 bits: the results of each layer are off by 2^-8 at most before the softmax
    np.testing.assert_allclose(low.blobs["prob"].data, full.blobs["prob"].data, atol=0.02)


def test_original_style_of_branches_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    squeezenet = DEPLOY.parents[1] / "squeezenet/deploy.prototxt"
    flags = ["--style", "original", "--weight", "Q3.13", "--activation", "Q9.7"]
    assert main(["rewrite", str(squeezenet), "-o", str(tmp_path), *flags]) == 2
    assert "allowed: a chain" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(
            [],
            "adaption rewrite: a plan, formats for all layers, or float: exactly one says what to"
            " rewrite to\n  fix: give --plan plan.json, or --weight Q2.14 --activation Q3.13, or"
            " --to float\n",
            id="no formats",
        ),
        pytest.param(
            ["--weight", "2.14", "--to", "float"],
            "adaption rewrite: a plan, formats for all layers, or float: exactly one says what to"
            " rewrite to\n  fix: give --plan plan.json, or --weight Q2.14 --activation Q3.13, or"
            " --to float\n",
            id="two ways",
        ),
        pytest.param(
            ["--fold-batch-norm"],
            "adaption rewrite: weights are needed\n  fix: give --weights net.caffemodel\n",
            id="no weights",
        ),
        pytest.param(
            ["--weight", "fine"],
            "adaption rewrite: Qm.f is 'fine', allowed: two integers such as \"Q2.14\" (the sign"
            " bit counts in m)\n"
            "  fix: write m and f with a point between: 16 bits may be Q2.14, Q9.7, ...\n",
            id="no format",
        ),
    ],
)
def test_bad_input(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.prototxt"
    assert main(["rewrite", str(DEPLOY), "-o", str(out), *flags]) == 2
    assert capsys.readouterr().err == message
    assert not out.exists()


RESNET = Path(__file__).resolve().parents[2] / "models/cifar10_resnet20"


def test_recipe_wrpn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, deploy = tmp_path / "net.prototxt", tmp_path / "deploy.prototxt"
    arguments = ["rewrite", str(RESNET / "train_val.prototxt"), "-o", str(net), "--recipe", "wrpn",
                 "--weight-bits", "2", "--activation-bits", "4",
                 "--also", str(RESNET / "deploy.prototxt"), str(deploy)]  # fmt: skip
    assert main([*arguments, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["files"] == [str(net), str(deploy)] and made["warnings"] == []
    assert made["layers"][0] == {
        "name": "conv1", "weight": "float", "activation": "A4", "input": "float",
        "zero_share_at_start": None,
    }  # fmt: skip
    assert made["layers"][1]["weight"] == "W2" and made["layers"][1]["zero_share_at_start"] == 0.5
    assert {str(fmt) for fmt in Net(deploy).plan.values()} == {"W2", "A4"}
    assert main([*arguments, "--keep-fillers", "--first-last", "quantized"]) == 0
    said, warned = capsys.readouterr()
    assert "conv1: weight W2, activation A4, input float, zero_share_at_start " in said
    assert "warning: most weights start in the zero level" in warned
    assert f"next: adaption inspect {net}" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recipe", "wrpn"], "recipe wrpn needs weight_bits and activation_bits"),
        (["--recipe", "wrpn", "--weight-bits", "0", "--activation-bits", "4"],
         "weight_bits is 0, allowed: 1..16, or 32 for float"),
        (["--recipe", "wrqn"], "recipe is 'wrqn', allowed: sdfp, wrpn"),
        (["--weight-bits", "4"], "--weight-bits is a flag of --recipe wrpn, and no recipe"),
        (["--recipe", "wrpn", "--weight-bits", "4", "--activation-bits", "4", "--to", "float"],
         "a recipe says what to rewrite to; to_float cannot be given beside it"),
    ],
)  # fmt: skip
def test_wrong_recipes(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.prototxt"
    assert main(["rewrite", str(DEPLOY), "-o", str(out), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
