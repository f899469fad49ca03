"""quantize --sensitivity, what it says of the net before refining, and the commands it gives."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import adaption
from adaption.cli.main import main

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
FILES = (EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel")
DATA = EXAMPLE / "digits_test.h5"
SETTINGS: dict[str, Any] = {"bits": 3, "limit": 16, "rule": "sqnr"}


def test_sensitivity_and_before_refining(tmp_path: Path) -> None:
    refined = adaption.quantize(
        *FILES, DATA, out=tmp_path / "a", refine=True, sensitivity=True, quiet=True, **SETTINGS
    ).summary
    plain = adaption.quantize(*FILES, DATA, out=tmp_path / "b", quiet=True, **SETTINGS).summary
    alone = adaption.sensitivity(*FILES, DATA, quiet=True, **SETTINGS)
    # With one rule the formats agree, so the net before refining is the net that is not refined.
    keys = ("flipped_predictions", "output_sqnr_db")
    assert {k: refined["before_refining"][k] for k in keys} == {k: plain[k] for k in keys}
    assert refined["before_refining"]["accuracy"] == plain["accuracy"]["quantized"]
    assert refined["output_sqnr_db"] != plain["output_sqnr_db"]
    assert "before_refining" not in plain and "sensitivity" not in plain
    assert refined["sensitivity"] == json.loads(json.dumps(alone.to_dict()))
    page = (tmp_path / "a" / "report.html").read_text("utf-8")
    worst = alone.points[0]
    section = page[page.index('id="sensitivity"') : page.index('id="overview"')]
    assert section.index(f">{worst['layer']}</th>") < section.index(">all</th>")
    assert "before refining" in page


@pytest.mark.slow
def test_commands_work_when_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["quantize", *map(str, FILES), "--data", str(DATA), "--limit=40", "--quiet"]
    assert main([*call, "--bits", "2", "--out=out"]) == 0
    assert main([*call, "--bits", "8", "-o", "good"]) == 0
    done = 0
    for folder in ("out", "good"):
        summary = json.loads(Path(folder, "summary.json").read_text())
        for step in summary["next"]:
            if "command" in step:
                words = shlex.split(step["command"])
                assert words[0] == "adaption" and main(words[1:]) == 0, step
                done += 1
    assert done == 5
    made = {p.name for p in Path().iterdir()}
    assert made == {"out", "good", "out-best", "out-wider", "out-sensitivity", "good-6"}
    best = json.loads(Path("out-best/summary.json").read_text())
    assert best["refinement"]["refined"] and best["rule"] == "error"
