"""What a net scores on data of any kind, against counting by hand and against quantize."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import adaption
from adaption.cli.main import main
from adaption.errors import DataError, UsageError
from adaption.job import score
from adaption.net import Net

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
DEPLOY, WEIGHTS = EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel"
COUNT = 60
SCALE = 0.0625


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(EXAMPLE / "digits_test.h5") as file:
        return file["data"][:COUNT], file["label"][:COUNT].reshape(-1).astype(int)


@pytest.fixture(scope="module")
def folder(digits: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same digits as images in class folders, a list, idx and npz; a third of the labels wrong,
    so that no form can be right by chance."""
    made = tmp_path_factory.mktemp("digits")
    images, labels = digits
    pixels = np.rint(images / SCALE).astype(np.uint8)
    told = wrong(labels)
    lines = []
    for i, (image, label) in enumerate(zip(pixels, told, strict=True)):
        path = made / "folder" / str(label) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
        lines.append(f"{label}/{i:03}.png {label}\n")
    (made / "list.txt").write_text("".join(lines))
    head = struct.pack(">BBBBIII", 0, 0, 8, 3, COUNT, *pixels.shape[2:])
    (made / "t-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
    head = struct.pack(">BBBBI", 0, 0, 8, 1, COUNT)
    (made / "t-labels-idx1-ubyte").write_bytes(head + told.astype(np.uint8).tobytes())
    np.savez(made / "arrays.npz", data=images, label=told)
    np.savez(made / "bare.npz", data=images)
    return made


def wrong(labels: np.ndarray) -> np.ndarray:
    return np.where(np.arange(COUNT) % 3 == 0, (labels + 1) % 10, labels)


def share(rows: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Of the samples whose label is among the `count` greatest scores."""
    return float(np.mean([y in np.argsort(r)[-count:] for r, y in zip(rows, labels, strict=True)]))


@pytest.fixture(scope="module")
def want(digits: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    images, labels = digits
    rows = Net(DEPLOY, WEIGHTS).forward({"data": images})["prob"].numpy()
    told = wrong(labels)
    return {"top1": share(rows, told, 1), "top5": share(rows, told, 5)}


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        pytest.param("folder", ["--scale", str(SCALE)], id="folder"),
        pytest.param("list.txt", ["--scale", str(SCALE), "--root", "folder"], id="list"),
        pytest.param("t-images-idx3-ubyte", ["--scale", str(SCALE)], id="idx"),
        pytest.param("arrays.npz", [], id="npz"),
    ],
)
@pytest.mark.parametrize("net", ["deploy.prototxt", "train_val.prototxt"])
def test_data_of_any_kind(
    data: str,
    flags: list[str],
    net: str,
    folder: Path,
    want: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    call = ["test", str(EXAMPLE / net), str(WEIGHTS), "--data", data, *flags, "--json"]
    assert main(call) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == want and 0.5 < want["top1"] < 0.7
    assert (found["samples"], found["formats"]) == (COUNT, {})
    assert found["data"]["source"] == data


def test_formats_are_in_force(folder: Path, tmp_path: Path) -> None:
    data = folder / "arrays.npz"
    made = adaption.quantize(DEPLOY, WEIGHTS, data, out=tmp_path, bits=3, quiet=True)
    low = score(tmp_path / "net_lp.prototxt", tmp_path / "net_lp.caffemodel", data, quiet=True)
    full = score(DEPLOY, WEIGHTS, data, quiet=True)
    stated = made.summary["accuracy"]
    assert (stated["float"], stated["quantized"]) == (full.accuracy, low.accuracy)
    assert low.accuracy["top1"] != full.accuracy["top1"]
    assert low.formats == {"weight": [3], "activation": [3]}
    assert made.summary["data"] == low.data


def test_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(folder / "arrays.npz")
    call = ["test", str(DEPLOY), str(WEIGHTS), "--data", data, "--limit", "30", "--quiet"]
    assert main(call) == 0
    title, head, row = capsys.readouterr().out.splitlines()
    assert title == f"LeNetDigits: 30 samples of {data}, float"
    assert head.split() == ["classifier", "top-1", "top-5", "right", "of"]
    blob, *_, right, of = row.split()
    assert (blob, of) == ("prob", "30") and 15 < int(right) < 21
    assert main(call[:-1]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("next: adaption quantize ")


def test_labels_that_are_no_classes(
    tmp_path: Path,
    digits: tuple[np.ndarray, np.ndarray],
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "one.npz", data=digits[0], label=digits[1] + 1)
    call = ["test", str(DEPLOY), str(WEIGHTS), "--data", str(tmp_path / "one.npz"), "--quiet"]
    assert main(call) == 0
    assert "the labels count from 1, subtract 1" in capsys.readouterr().err


def test_no_labels(folder: Path) -> None:
    with pytest.raises(DataError, match=r"bare\.npz: has no labels, so accuracy cannot be stated"):
        score(DEPLOY, WEIGHTS, folder / "bare.npz", quiet=True)


def test_no_class_scores(folder: Path) -> None:
    with pytest.raises(UsageError, match="no output of the net holds one score per class"):
        score(DEPLOY, WEIGHTS, folder / "arrays.npz", end="pool2", quiet=True)


def test_maps_of_scores(folder: Path) -> None:
    with pytest.raises(UsageError, match=r'"pool2" has shape .*, a map of scores, and the data'):
        score(DEPLOY, WEIGHTS, folder / "arrays.npz", end="pool2", score="pool2", quiet=True)
    train = DEPLOY.with_name("train_val.prototxt")
    with pytest.raises(UsageError, match=r'"conv2" has shape .*, a map of scores, and the data'):
        score(train, WEIGHTS, folder / "arrays.npz", score="conv2", quiet=True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        pytest.param(
            ["--limit", "3", "--scale", "1", "--score", "prob"],
            "--scale, --limit, --score would count for nothing without --data\n  fix: name the data"
            " with --data; otherwise the net's data layers say what they read",
            id="flags of data",
        ),
        pytest.param(
            ["--data", "x.npz", "--iterations", "3"],
            "--iterations would count for nothing with --data\n  fix: leave it out",
            id="flags of caffe",
        ),
        pytest.param(
            ["--data", "x.npz", "--original-semantics"],
            "--original-semantics would count for nothing with --data\n  fix: leave it out",
            id="original semantics",
        ),
    ],
)
def test_flags_of_the_other_form(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "n.prototxt", "n.caffemodel", *flags]) == 2
    assert capsys.readouterr().err == f"adaption test: {message}\n"


def test_settings_for_all_verbs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of --config may hold flags for other verbs; Caffe's form goes on without them."""
    monkeypatch.chdir(EXAMPLE.parents[1])  # the example's data layers start there
    config = tmp_path / "settings.toml"
    config.write_text("limit = 10\nscale = 0.5\n")
    net = str(EXAMPLE / "train_val.prototxt")
    call = ["test", net, str(WEIGHTS), "--iterations", "1", "--json", "--config", str(config)]
    assert main(call) == 0
    shown = capsys.readouterr()
    assert shown.err == "warning: --scale, --limit would count for nothing without --data\n"
    assert json.loads(shown.out)["iterations"] == 1
