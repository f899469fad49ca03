"""The table of a net and its exports, on the embedded example."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from adaption.io.netfile import read_net, write_net
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision.rewrite import rewrite, uniform_plan

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"


def test_exports_predict_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = read_net(EXAMPLE / "deploy.prototxt")
    plan = uniform_plan(file, weight=FixedPoint(8, 7), activation=FixedPoint(8, 3))
    definition, weights = tmp_path / "lp.prototxt", tmp_path / "lp.caffemodel"
    write_net(rewrite(file, plan), definition)
    Net(definition, EXAMPLE / "lenet_digits.caffemodel").save(weights)
    main: Callable[[list[str]], int] = runpy.run_path(str(ROOT / "scripts/tables/deploy.py"))[
        "main"
    ]
    data = str(EXAMPLE / "digits_test_lmdb")
    code = main([str(definition), str(weights), "--data", data, "--scale=0.0625", "--samples=40"])
    assert code == 0
    cells = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    rows = [row for row in cells if len(row) == 5]
    by_name = {row[0].strip("| "): row[1:] for row in rows}
    as_it_is = ["lp, float32", "lp64, float64", "exact", "ONNX float", "ONNX integer"]
    half_even = ["exact, as qdq rounds", "ONNX qdq"]
    if shutil.which("cc") or shutil.which("gcc") or shutil.which("clang"):
        as_it_is.append("C program")
    assert set(by_name) == {*as_it_is, *half_even}
    assert {by_name[name][2] for name in as_it_is} == {"0 of 40"}
    assert len({by_name[name][0] for name in as_it_is}) == 1
    assert by_name[half_even[0]][:3] == by_name[half_even[1]][:3]


def test_a_missing_file_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    main: Callable[[list[str]], int] = runpy.run_path(str(ROOT / "scripts/tables/deploy.py"))[
        "main"
    ]
    assert main(["none.prototxt", "none.caffemodel", "--data", "none.npz"]) == 2
    assert capsys.readouterr().err.startswith("error: none.prototxt: no such file")


@pytest.mark.slow  # six short trainings
def test_five_systems_on_one_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    script = runpy.run_path(str(ROOT / "scripts/tables/five_systems.py"))
    assert script["main"](["-o", str(tmp_path), "--seeds", "1", "--iterations", "20"]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert list(rows) == list(script["SYSTEMS"])
    assert rows["float"]["1"]["weight_bits"] == 32 and rows["float"]["1"]["mac_bits"] == 1
    for name, by_seed in rows.items():
        row = by_seed["1"]
        assert 0 < row["accuracy"] <= 1
        if name != "float":
            assert row["weight_bits"] < 32 and 0 < row["mac_bits"] < 1
    table = capsys.readouterr().out
    assert all(name in table for name in rows)
