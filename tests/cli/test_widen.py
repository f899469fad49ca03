"""The verb widen: table, JSON, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adaption.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
LENET = str(ROOT / "models/lenet/deploy.prototxt")


def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "wide.prototxt"
    assert main(["widen", LENET, "-o", str(out), "--factor", "1.3"]) == 0
    assert (
        capsys.readouterr().out
        == f"""\
layer  stays because      num_output  wider  weights    wider
conv1                             20     26      500      650
conv2                             50     65   25,000   42,250
ip1                              500    650  400,000  676,000
ip2    last weight layer          10     10    5,000    6,500
430,500 weights, 725,400 in the wider net
written: {out}
next: adaption cost {out} --against {LENET}
"""
    )


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "wide.prototxt"
    flags = ["--factor", "2", "--no-widen-first", "--multiple-of", "64", "--json"]
    assert main(["widen", LENET, "-o", str(out), *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(x["name"], x["before"], x["after"]) for x in found["layers"]] == [
        ("conv1", 20, 20),
        ("conv2", 50, 128),
        ("ip1", 500, 1024),
        ("ip2", 10, 10),
    ]
    assert set(found["layers"][0]) == {
        "name", "before", "after", "weights_before", "weights_after",
    }  # fmt: skip
    assert found["kept"] == {"conv1": "first layer", "ip2": "last weight layer"}
    assert found["files"] == [str(out)]


def test_unknown_weights_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = str(ROOT / "models/lenet/train_val.prototxt")
    out = str(tmp_path / "wide.prototxt")
    assert main(["widen", train, "-o", out, "--factor", "2"]) == 0
    text = capsys.readouterr().out
    assert "conv1                             20     40        ?      ?\n" in text
    assert "note: weights are not counted where shapes are unknown" in text
    inputs = ["--input", "data=1x1x28x28", "--input", "label=1"]
    assert main(["widen", train, "-o", out, "--factor", "2", *inputs]) == 0
    assert "430,500 weights, 1,711,000 in the wider net" in capsys.readouterr().out


def test_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = str(ROOT / "models/cifar10_resnet20/deploy.prototxt")
    out = tmp_path / "wide.prototxt"
    assert main(["widen", net, "-o", str(out), "--factor", "2", "--no-widen-first"]) == 2
    assert capsys.readouterr().err == (
        f'adaption widen: {net}:46: layer "res2a" (Eltwise): adds channels of "res2a_conv2", made'
        ' wider, and channels of "conv1", which keeps its width (first layer)\n'
        "  fix: leave out --no-widen-first, or let --project insert a 1 x 1 convolution\n"
    )
    assert not out.exists()
