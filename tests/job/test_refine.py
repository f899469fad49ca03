"""quantize with refinement: what it writes, what it says, and that every form computes the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.compare.between import check_between
from adaption.errors import KeywordError
from adaption.export.onnx import export_onnx
from adaption.net import Net, Point
from adaption.options import BEST, INT8
from tests.export.nets import net_of
from tests.export.test_equal_forms import TEXT

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"
NET, WEIGHTS = EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A net with a sum, a concat and an average, through --int8 --best at 4 bits."""
    folder = tmp_path_factory.mktemp("graph")
    (folder / "net.prototxt").write_text(TEXT, "utf-8")
    net_of(TEXT).save(folder / "net.caffemodel")
    x = np.random.default_rng(0).normal(size=(40, 3, 12, 12)).astype(np.float32)
    np.savez(folder / "x.npz", x=x[:32])
    np.savez(folder / "y.npz", x=x[32:])
    made = adaption.quantize(
        folder / "net.prototxt",
        folder / "net.caffemodel",
        folder / "y.npz",
        calibration=folder / "x.npz",
        out=folder / "out",
        onnx="integer",
        quiet=True,
        **{**INT8, **BEST, "bits": 4},
    )
    return made, {"x": x[32:36]}


def test_refined_net_is_proved(graph: Any) -> None:
    made, _ = graph
    assert made.is_verified and len(made.summary["verification"]) == 3
    said = made.summary["refinement"]
    assert said["refined"] and said["samples"] > 0 and said["seconds"] > 0
    assert [t["equalized"] for t in said["trials"]] == [False, True]


@pytest.mark.parametrize("other", ["lp", "c", "integer.onnx", "qdq.onnx"])
def test_every_form_computes_the_same_codes(other: str, graph: Any, tmp_path: Path) -> None:
    made, inputs = graph
    if other == "c" and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler (cc, gcc, clang) is installed")
    net = Net(made.folder / "net_lp.prototxt", made.folder / "net_lp.caffemodel")
    path: Any = other
    if other.endswith(".onnx"):
        path = tmp_path / other
        export_onnx(net, path, style=path.stem)
    exact = "exact-half-even" if other == "qdq.onnx" else "exact"
    found = check_between(net, exact, path, inputs)
    codes = [top for top in found.tops if top.format is not None]
    assert codes and not [top.layer for top in codes if top.differing], found.detail


def test_what_fine_tuning_needs_is_written(graph: Any) -> None:
    made, _ = graph
    text = (made.folder / "net_lp.prototxt").read_text("utf-8")
    assert text.count("backward_weights: QUANTIZED") == 6
    plan = json.loads((made.folder / "plan.json").read_text("utf-8"))
    assert plan["backward_weights"] is True and plan["rule"] == "error"
    assert plan["mask_saturated"] is True
    in_force = Net(made.folder / "net_lp.prototxt").plan
    assert in_force and all(fmt.mask_saturated for fmt in in_force.values())


def test_weights_of_the_report_are_compared_with_the_float_ones(graph: Any) -> None:
    made, _ = graph
    sqnr = [entry["weight"]["sqnr_db"] for entry in made.summary["layers"] if entry["weight"]]
    assert all(value is not None and value < 30 for value in sqnr), "4 bits are not exact"


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("digits")
    with h5py.File(EXAMPLE / "digits_test.h5") as file:
        data, labels = file["data"][:], file["label"][:]
    np.savez(folder / "a.npz", data=data[::2], label=labels[::2])
    np.savez(folder / "b.npz", data=data[1::2], label=labels[1::2])
    return {"calibration": folder / "a.npz", "data": folder / "b.npz"}


def test_two_bits(halves: dict[str, Path], tmp_path: Path) -> None:
    def accuracy(name: str, **choices: Any) -> float:
        made = adaption.quantize(
            NET,
            WEIGHTS,
            out=tmp_path / name,
            quiet=True,
            **halves,
            **{**INT8, "bits": 2, **choices},
        )
        return float(made.summary["accuracy"]["quantized"]["top1"])

    best = accuracy("best", **BEST)
    assert best > 0.9 and best > accuracy("sqnr", rule="sqnr") + 0.2


def test_verb_and_its_words(
    halves: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["quantize", NET, WEIGHTS, "--data", halves["data"], "-o", tmp_path / "o", "--best"]
    words += ["--calibration", halves["calibration"], "--bits", "4", "--limit", "40"]
    assert main([str(word) for word in words]) == 0
    shown = capsys.readouterr()
    assert "refining: " in shown.err and "4 bits, rule error" in shown.out
    summary = json.loads((tmp_path / "o/summary.json").read_text("utf-8"))
    assert "make up for what rounding does to means" in " ".join(summary["notes"])
    assert not any(e["bias"]["q"] for e in summary["layers"] if e["bias"]), "biases stay float"


def test_the_default_stays_adaptions(halves: dict[str, Path], tmp_path: Path) -> None:
    made = adaption.quantize(NET, WEIGHTS, halves["data"], out=tmp_path / "o", limit=20, quiet=True)
    assert "refinement" not in made.summary
    assert made.proposal.choices[Point("conv1", "weight")].reason.startswith("max-abs")
    assert "backward_weights" not in (tmp_path / "o/net_lp.prototxt").read_text("utf-8")


def test_misspelt_step(halves: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(KeywordError, match="no keyword 'equalise'"):
        adaption.quantize(NET, WEIGHTS, halves["data"], out=tmp_path / "o", equalise=True)


def test_a_net_of_two_inputs(tmp_path: Path) -> None:
    text = """
layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "c" type: "Convolution" bottom: "a" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "f" type: "Flatten" bottom: "c" top: "f" }
layer { name: "cat" type: "Concat" bottom: "f" bottom: "b" top: "cat" }
layer { name: "ip" type: "InnerProduct" bottom: "cat" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
    (tmp_path / "net.prototxt").write_text(text, "utf-8")
    net_of(text).save(tmp_path / "net.caffemodel")
    random = np.random.default_rng(0)
    a = random.normal(size=(64, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", a=a, b=random.normal(size=(64, 3)).astype(np.float32))
    files = (tmp_path / "net.prototxt", tmp_path / "net.caffemodel", tmp_path / "x.npz")
    settings = {**INT8, **BEST, "bits": 4, "quiet": True}
    made = adaption.quantize(*files, out=tmp_path / "out", **settings)
    assert made.is_verified and made.summary["refinement"]["samples"] == 64
    tuned = adaption.quantize(*files, out=tmp_path / "tuned", tune=1, **settings)
    assert tuned.is_verified and tuned.summary["tuning"]["samples"] == 56
