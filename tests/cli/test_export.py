"""`adaption export`: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from adaption.cli.main import main

FOLDER = Path(__file__).parents[2] / "models" / "lenet_digits"
FILES = (str(FOLDER / "deploy.prototxt"), str(FOLDER / "lenet_digits.caffemodel"))


def test_onnx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "net.onnx"
    assert main(["export", *FILES, "--to", "onnx", "-o", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"written: {out} ({out.stat().st_size} bytes)",
        f"next: adaption verify {FILES[0]} {FILES[1]} {out}",
    ]
    assert main(printed[1].split()[2:]) == 0


def test_default_name_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--to", "onnx", "--style", "qonnx", "--batch", "2", "--opset", "19", "--json"]
    assert main(["export", *FILES, *flags]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["to"], said["style"], said["opset"], said["batch"]) == ("onnx", "qonnx", 19, 2)
    assert [f["path"] for f in said["files"]] == ["deploy.onnx"]
    assert (tmp_path / "deploy.onnx").stat().st_size == said["files"][0]["size_bytes"]


def test_embedded_preprocessing(tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    flags = ["--embed-preprocessing", "--image-layout", "NHWC", "--scale", "0.0625"]
    assert main(["export", *FILES, "--to", "onnx", "-o", str(out), *flags, "--quiet"]) == 0
    (image,) = onnx.load(out).graph.input
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)


def test_input_format_gives_the_first_layer_codes(tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    flags = ["--style", "qdq", "--processor", "vnni", "--input-format", "data=Q1.7", "--quiet"]
    assert main(["export", *FILES, "--to", "onnx", "-o", str(out), *flags]) == 0
    made = onnx.load(out)
    assert "QuantizeLinear" in {n.op_type for n in made.graph.node}
    assert {p.key: p.value for p in made.metadata_props}["adaption.processor"] == "vnni"


def test_c_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    low = tmp_path / "low.prototxt"
    flags = ["--weight", "Q1.7", "--activation", "Q5.3", "-o", str(low), "--quiet"]
    assert main(["rewrite", FILES[0], *flags]) == 0
    flags = ["--to", "c", "--input-format", "data=Q1.8", "-o", str(tmp_path / "c"), "--json"]
    capsys.readouterr()
    assert main(["export", str(low), FILES[1], *flags]) == 0
    said = json.loads(capsys.readouterr().out)
    names = {Path(f["path"]).name for f in said["files"]}
    name = json.loads((tmp_path / "c" / "manifest.json").read_text())["c"]["name"]
    assert {f"{name}.c", f"{name}.h", "ops.h", "main.c", "Makefile", "manifest.json"} <= names
    assert said["notes"][-1].startswith("the program ends with codes: ")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--to", "caffemodel", "--style", "qdq"], "target caffemodel takes no style"),
        (["--to", "onnx", "--processor", "vnni"], "style float is the same for every processor"),
        (["--to", "onnx", "--scale", "2"], "preprocessing is given, and is not to be part"),
        (["--to", "onnx", "--input-format", "Q1.7"], "--input-format is 'Q1.7'"),
        (
            ["--to", "onnx", "--input-format", "x=Q1.7"],
            "an input format is given for 'x', allowed: 'data'\n",
        ),
        (["--to", "nothing"], "export target is 'nothing', allowed: "),
    ],
)
def test_bad_flags(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *FILES, "-o", str(tmp_path / "net"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
