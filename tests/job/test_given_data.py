"""Data that the caller holds: arrays, arrays by name, batches; and how results are shown."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import adaption
import adaption.pycaffe
from adaption.errors import AdaptionError, UsageError
from adaption.net import Net, Point

NET = """name: "few"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
X = np.random.default_rng(3).normal(size=(10, 2, 6, 6)).astype(np.float32)
LABELS = np.arange(10) % 4


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    net, weights = tmp_path / "n.prototxt", tmp_path / "w.caffemodel"
    net.write_text(NET)
    Net(net, seed=1).save(weights)
    np.savez(tmp_path / "d.npz", x=X, label=LABELS)
    return net, weights


def batches() -> Iterator[Any]:
    """As a DataLoader of torch gives them."""
    for at in range(0, 10, 4):
        yield torch.from_numpy(X[at : at + 4]), torch.from_numpy(LABELS[at : at + 4])


FORMS: dict[str, Callable[[], Any]] = {
    "array": lambda: X,
    "float64": lambda: X.astype(np.float64),
    "tensor": lambda: torch.from_numpy(X),
    "by name": lambda: {"x": X, "label": LABELS},
    "pairs": batches,
    "list of arrays": lambda: [X[:3], X[3:4], X[4:]],
    "generator of names": lambda: ({"x": X[i : i + 5]} for i in (0, 5)),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_in_every_form(files: tuple[Path, Path], form: str) -> None:
    want = adaption.measure(*files, files[0].parent / "d.npz", quiet=True)
    made = adaption.measure(*files, FORMS[form](), quiet=True)
    assert made.samples == 10
    assert made.points.keys() == want.points.keys()
    for point, stats in made.points.items():
        assert stats.to_dict() == want.points[point].to_dict()


@pytest.mark.parametrize("form", ["by name", "pairs"])
def test_labels_come_along(files: tuple[Path, Path], tmp_path: Path, form: str) -> None:
    made = adaption.quantize(*files, FORMS[form](), out=tmp_path / "out", quiet=True)
    want = adaption.quantize(*files, tmp_path / "d.npz", out=tmp_path / "want", quiet=True)
    assert made.summary["accuracy"] == want.summary["accuracy"]
    assert made.summary["accuracy"]["samples"] == 10
    assert made.summary["data"]["source"] == "arrays given"


def test_a_reference_tells_arrays_apart(files: tuple[Path, Path], tmp_path: Path) -> None:
    kept = {"reference": tmp_path / "ref", "quiet": True}
    first = adaption.quantize(*files, X, out=tmp_path / "a", bits=8, **kept)
    again = adaption.quantize(*files, X.copy(), out=tmp_path / "b", bits=8, **kept)
    assert again.summary["output_sqnr_db"] == first.summary["output_sqnr_db"]
    with pytest.raises(UsageError, match="reference was made with other data"):
        adaption.quantize(*files, X + 1, out=tmp_path / "c", bits=8, **kept)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "data is int, allowed: a path, an array"),
        ([], "an iterable without batches"),
        (["a", "b"], "holds a str that is no array of numbers"),
        ([X[:2], {"y": X}], "batch 1 of the data holds y, the first one x"),
        ([X[:2], X[:2, :1]], "batches of the data do not fit together"),
        (np.float32(1), "no array of numbers with samples"),
        ({"label": LABELS}, "holds labels only"),
    ],
)
def test_data_that_is_none(files: tuple[Path, Path], data: Any, message: str) -> None:
    with pytest.raises(AdaptionError, match=message):
        adaption.measure(*files, data, quiet=True)


# -- what an interpreter and a notebook show -----------------------------------------------------


def test_a_net_is_shown_in_few_lines(files: tuple[Path, Path]) -> None:
    text = repr(Net(*files))
    assert text.splitlines()[0] == 'Net "few" (TEST): 5 layers, 253 parameters'
    assert re.search(r"^  conv +Convolution +1x3x4x4 +3x2x3x3 3$", text, re.MULTILINE)
    assert text.splitlines()[-1] == "inputs: x; outputs: prob"
    assert repr(adaption.pycaffe.Net(str(files[0]), 1)).splitlines()[0] == text.splitlines()[0]


def test_a_long_net_is_shown_by_its_ends(tmp_path: Path) -> None:
    layers = "".join(
        f'layer {{ name: "r{i}" type: "ReLU" bottom: "{f"r{i - 1}" if i else "x"}" top: "r{i}" }}\n'
        for i in range(60)
    )
    (tmp_path / "n.prototxt").write_text(NET.splitlines()[1] + "\n" + layers)
    lines = repr(Net(tmp_path / "n.prototxt")).splitlines()
    assert len(lines) == 15
    assert lines[1].split()[0] == "x"
    assert lines[-2].split()[0] == "r59"
    shown = sum("ReLU" in line for line in lines)
    assert f"  ... {60 - shown} more" in lines


def test_results_are_shown_in_few_lines(files: tuple[Path, Path], tmp_path: Path) -> None:
    measured = adaption.measure(*files, X, quiet=True)
    assert repr(measured).splitlines()[0] == 'Measurement of "few": 9 tensors over 10 samples'
    assert len(repr(measured).splitlines()) == 10
    made = adaption.quantize(*files, X, out=tmp_path / "out", bits=2, quiet=True)
    lines = repr(made).splitlines()
    assert len(lines) <= 15
    assert "few: 2 bits, rule adaption" in lines[0]
    assert any(line.startswith("warning: ") for line in lines)
    assert str(tmp_path / "out") in lines[-1]


def test_long_results_are_cut(files: tuple[Path, Path]) -> None:
    measured = adaption.measure(*files, X, quiet=True)
    stats = measured.points[Point("conv", "weight")]
    measured.points |= {Point(f"more{i}", "weight"): stats for i in range(40)}
    lines = repr(measured).splitlines()
    assert len(lines) == 15
    assert lines[-1].split()[0] == "more39"


def test_results_in_a_notebook(files: tuple[Path, Path], tmp_path: Path) -> None:
    measured = adaption.measure(*files, X, quiet=True)
    measured.net = "<b>"
    text = measured._repr_html_()
    assert "&lt;b&gt;" in text and "<b>" not in text
    assert text.count("<tr>") == 1 + len(measured.points)
    made = adaption.quantize(*files, X, out=tmp_path / "out", quiet=True)
    assert "<td>conv</td>" in made._repr_html_()


def test_data_frames(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = adaption.measure(*files, X, quiet=True)
    made = adaption.quantize(*files, X, out=tmp_path / "out", quiet=True)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas"):
        measured.to_dataframe()
    pretended: Any = SimpleNamespace(DataFrame=lambda rows: rows)  # what it is given
    monkeypatch.setitem(sys.modules, "pandas", pretended)
    rows = measured.to_dataframe()
    weight = next(r for r in rows if (r["layer"], r["kind"]) == ("conv", "weight"))
    assert weight["count"] == 54
    assert weight["max"] == pytest.approx(measured.points[Point("conv", "weight")].maximum)
    points = {(r["layer"], r["point"]): r["q"] for r in made.to_dataframe()}
    assert points["conv", "weight"].startswith("Q")


def test_real_pandas(files: tuple[Path, Path]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = adaption.measure(*files, X, quiet=True).to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 9
