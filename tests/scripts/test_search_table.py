"""The table of searched word lengths, on the embedded example."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"


@pytest.mark.slow  # two nets through --best, and a search
def test_a_row_compares_equal_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(ROOT / "scripts/tables/search.py"))
    published = script["published"]
    folder = tmp_path / "shared/models/digits"
    folder.mkdir(parents=True)
    shutil.copy(EXAMPLE / "deploy.prototxt", folder)
    shutil.copy(EXAMPLE / "lenet_digits.caffemodel", folder / "deploy.caffemodel")
    settings = {"limit": 200, "calibration_limit": 128}
    monkeypatch.setitem(published.NETS, "digits", published.Net("models/digits", {}, settings))
    data = {"data": EXAMPLE / "digits_test.h5", "calibration": EXAMPLE / "digits_train.h5"}
    monkeypatch.setattr(published, "splits", lambda args, name: [data])
    out = tmp_path / "out"
    words = ["search.py", str(tmp_path / "shared"), "-o", str(out)]
    words += ["--only", "digits", "--bits", "4", "--limit", "100"]
    monkeypatch.setattr("sys.argv", words)
    assert script["main"]() == 0
    cells = capsys.readouterr().out.splitlines()[2].strip("| ").split(" | ")
    assert cells[0] == "digits" and cells[2] == "100"
    uniform, searched = (
        json.loads((out / f"digits_0_{name}_of_100/summary.json").read_text())
        for name in ("4", "4_less")
    )
    lengths = {x["weight"]["word_length"] for x in uniform["layers"] if x["weight"]}
    assert lengths == {4}
    assert searched["calibration"]["samples"] == uniform["calibration"]["samples"] == 128
    assert searched["search"]["average_bits"] <= 3
    assert cells[1] == f"4 / {searched['search']['average_bits']:.2f}"
