"""Bad input: one clear message, exit code 2, no traceback, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adaption.cli.main import main
from adaption.data.lmdb_writer import write_lmdb
from adaption.net import Net
from adaption.proto import caffe_pb2

NET = """name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } }
}
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 } }
"""


class Case:
    """A folder with good files; a test spoils one of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.net, self.weights = folder / "net.prototxt", folder / "net.caffemodel"
        self.data, self.out = folder / "data.npz", folder / "out"
        self.flags: list[str] = []
        self.net.write_text(NET)
        Net(self.net, seed=0).save(self.weights)
        images = np.random.default_rng(0).random((5, 1, 4, 4), dtype=np.float32)
        np.savez(self.data, data=images, label=np.arange(5) % 3)

    def run(self) -> int:
        return main(
            [
                *("quantize", str(self.net), str(self.weights), "--data", str(self.data)),
                *("-o", str(self.out), "--quiet", *self.flags),
            ]
        )


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_the_good_files_are_good(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert case.run() == 0
    made = {p.name for p in case.out.iterdir()}
    assert made == {
        "net_lp.prototxt",
        "net_lp.caffemodel",
        "net_lp.onnx",
        "plan.json",
        "summary.json",
        "report.html",
    }
    assert "verification" in capsys.readouterr().out


def _write(name: str, content: str | bytes) -> Callable[[Case], None]:
    def spoil(case: Case) -> None:
        path: Path = getattr(case, name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def _truncate(case: Case) -> None:
    content = case.weights.read_bytes()
    case.weights.write_bytes(content[: len(content) // 2])


def _replace(old: str, new: str) -> Callable[[Case], None]:
    def spoil(case: Case) -> None:
        assert old in NET
        case.net.write_text(NET.replace(old, new))

    return spoil


def _point(name: str, to: str) -> Callable[[Case], None]:
    return lambda case: setattr(case, name, case.folder / to)


def _empty_folder(case: Case) -> None:
    case.data = case.folder / "empty"
    case.data.mkdir()


def _unreadable_images(case: Case) -> None:
    case.data = case.folder / "images"
    case.data.mkdir()
    (case.data / "a.png").write_bytes(b"no image")
    (case.data / "b.jpg").write_bytes(b"")


def _flags(*flags: str) -> Callable[[Case], None]:
    return lambda case: case.flags.extend(flags)


HTML = "<!DOCTYPE html>\n<html><body>Not found</body></html>\n"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 100\n"


@pytest.mark.parametrize(
    ("spoil", "fragments"),
    [
        pytest.param(_point("net", "no.prototxt"), ["no.prototxt", "no such file"], id="no net"),
        pytest.param(_point("weights", "no.caffemodel"), ["no.caffemodel"], id="no weights"),
        pytest.param(_point("data", "nothing"), ["nothing"], id="no data"),
        pytest.param(_truncate, ["net.caffemodel", "truncated"], id="truncated caffemodel"),
        pytest.param(_write("net", HTML), ["net.prototxt", "HTML"], id="HTML as prototxt"),
        pytest.param(_write("weights", HTML), ["net.caffemodel", "HTML"], id="HTML as weights"),
        pytest.param(_write("net", LFS), ["net.prototxt", "git lfs pull"], id="LFS prototxt"),
        pytest.param(_write("weights", LFS), ["net.caffemodel", "git lfs pull"], id="LFS weights"),
        pytest.param(_write("weights", ""), ["net.caffemodel", "empty"], id="empty weights"),
        pytest.param(
            _replace("num_output: 2 ", "num_output 2 "),
            ["net.prototxt:9:34:", "':'"],
            id="syntax error has line and column",
        ),
        pytest.param(
            _replace('"Convolution"', '"Convoluton"'),
            ["net.prototxt:4:", "Convoluton", "did you mean Convolution?"],
            id="unknown layer type",
        ),
        pytest.param(
            _replace('bottom: "conv"', 'bottom: "cnv"'),
            ["net.prototxt:11:", 'unknown bottom blob "cnv"', 'did you mean "conv"?'],
            id="unknown bottom",
        ),
        pytest.param(
            _replace("num_output: 2 ", "num_output: 4 "),
            ['"conv"', "2x1x3x3 in the file, 4x1x3x3 in the net", '"ip"'],
            id="shapes of another net are listed",
        ),
        pytest.param(
            _replace('name: "ip"', 'name: "fc"'),
            ["net.caffemodel", "has no weights for 1 of 2 layers: fc", "it has conv, ip"],
            id="names of another net are listed",
        ),
        pytest.param(_empty_folder, ["empty"], id="empty data folder"),
        pytest.param(_unreadable_images, ["none of 2 samples could be read"], id="bad images"),
        pytest.param(_flags("--bits", "40"), ["bits is 40, allowed: 2..24"], id="bits"),
        pytest.param(_flags("--threshold", "1.5"), ["threshold is 1.5"], id="threshold"),
        pytest.param(_flags("--mean-value", "a,b"), ["--mean-value"], id="mean value"),
        pytest.param(_flags("--limit", "0"), ["limit is 0"], id="limit"),
        pytest.param(_flags("--crop", "9"), ["crop", "9"], id="crop larger than the data"),
    ],
)
def test_one_clear_error(
    case: Case,
    spoil: Callable[[Case], None],
    fragments: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(case)
    before = {p.name for p in case.folder.iterdir()}
    assert case.run() == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    for fragment in fragments:
        assert fragment in shown.err
    assert shown.err.startswith("adaption quantize: ")
    assert "Traceback" not in shown.err
    assert len(shown.err.splitlines()) <= 3
    assert {p.name for p in case.folder.iterdir()} == before


def test_one_unreadable_image_is_skipped_and_counted(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    case.data = case.folder / "images"
    case.data.mkdir()
    rng = np.random.default_rng(1)
    for i in range(3):
        pixels = rng.integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(case.data / f"{i}.png")
    (case.data / "broken.png").write_bytes(b"\x89PNG no more")
    case.flags += ["--scale", "0.00390625", "--json"]
    assert case.run() == 0
    import json

    summary = json.loads(capsys.readouterr().out)
    assert summary["data"]["samples"] == 3
    assert summary["data"]["skipped"] == 1
    assert any("Skipped 1 sample that could not be read" in note for note in summary["notes"])


def test_output_that_is_a_file(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.out.write_text("mine")
    assert case.run() == 2
    assert case.out.read_text() == "mine"
    assert "is a file\n  fix: name a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x" * 300, r"a\000b"], ids=["long", "NUL"])
@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("Data", "data_param {{ source: {0} batch_size: 1 }}"),
        ("ImageData", "image_data_param {{ source: {0} batch_size: 1 }}"),
        (
            "WindowData",
            "window_data_param {{ source: {0} batch_size: 1 }} transform_param {{ crop_size: 2 }}",
        ),
        ("HDF5Data", "hdf5_data_param {{ source: {0} batch_size: 1 }}"),
        (
            "Data",
            "data_param {{ source: 'db' batch_size: 1 }} transform_param {{ mean_file: {0} }}",
        ),
        ("HDF5Output", "hdf5_output_param {{ file_name: {0} }}"),
    ],
    ids=["Data", "ImageData", "WindowData", "HDF5Data", "mean file", "HDF5Output"],
)
def test_names_that_no_file_can_have(
    kind: str,
    setting: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    datum = caffe_pb2.Datum(channels=1, height=2, width=2, data=b"0123")
    write_lmdb(Path("db"), [(b"0", datum.SerializeToString())])
    bottoms = 'bottom: "x" bottom: "y"' if kind == "HDF5Output" else 'top: "data" top: "label"'
    setting = setting.format(f'"{name}"')
    Path("n.prototxt").write_text(
        'input: "x" input_shape { dim: 1 } input: "y" input_shape { dim: 1 }'
        f' layer {{ name: "d" type: "{kind}" {bottoms} {setting} }}'
    )
    assert main(["time", "--model=n.prototxt", "--iterations=1"]) == 2
    said = capsys.readouterr().err.splitlines()  # behind Caffe's log
    assert said[-2].startswith("adaption time: ")
    assert 'layer "d"' in said[-2]
    assert said[-1].startswith("  fix: ")
    assert "Traceback" not in "".join(said)
