"""adaption draw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adaption.cli.main import main

NET = str(Path(__file__).resolve().parents[2] / "models/lenet_digits/train_val.prototxt")


def test_dot_and_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "net.dot")
    assert main(["draw", NET, out, "--phase", "ALL", "--rankdir", "TB"]) == 0
    assert Path(out).read_text().startswith('digraph "LeNetDigits" {\n  rankdir=TB;\n')
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 15 boxes, 18 arrows",
        f"next: dot -Tsvg {out} -o {tmp_path / 'net.svg'}",
    ]
    assert main(["draw", NET, out, "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 1")


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "net.mmd")
    shapes = ["--input", "data=1x1x8x8", "--input", "label=1"]
    assert main(["draw", NET, out, "--json", *shapes]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "adaption.drawing/1" and found["file"] == out
    assert {"tail": 2, "head": 3, "label": "1x16x8x8"} in found["arrows"]


def test_a_picture_without_graphviz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    out = str(tmp_path / "net.svg")
    assert main(["draw", NET, out]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("adaption draw: drawing .svg needs graphviz")
    assert f"{tmp_path / 'net.mmd'} instead" in shown
    assert not Path(out).exists()
