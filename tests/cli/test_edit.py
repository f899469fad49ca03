"""The verb edit: diff, JSON, and nothing to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adaption.cli.main import main

NET = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer {
  name: "fc"
  type: "LPInnerProduct"
  bottom: "x"
  top: "fc"
  lpfp_param { bd: 1 ad: 7 }  # Q1.7
  inner_product_param { num_output: 3 }
}
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def test_dry_run_prints_the_diff(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", str(net), "fc:weight=Q2.6", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "-  lpfp_param { bd: 1 ad: 7 }  # Q1.7\n+  lpfp_param { bd: 2 ad: 6 }  # Q1.7\n" in out
    assert net.read_text() == NET


def test_in_place(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", str(net), "fc:weight=Q2.6"]) == 0
    assert capsys.readouterr().out == (
        f"fc: weight Q1.7 -> Q2.6\nwritten: {net}\nnext: adaption inspect {net}\n"
    )
    assert net.read_text() == NET.replace("bd: 1 ad: 7", "bd: 2 ad: 6")
    assert main(["edit", str(net), "fc:weight=Q2.6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": None, "changes": [], "diff": ""}


def test_nothing_given(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", str(net)]) == 2
    assert capsys.readouterr().err.startswith("adaption edit: nothing to change is given\n  fix: ")
