"""scripts/bench/all.py: the table's structure, files, comparisons; never a timing."""

from __future__ import annotations

import dataclasses
import importlib
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scripts" / "bench"
NET = ROOT / "models/lenet_digits"
QUICK = ["--quick", "--rounds=1", "--threads=1"]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The modules of scripts/bench, whose names (measure, nets) are none outside the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # all.py sets it for what it starts
    yield importlib.import_module("all")
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(FOLDER)):
            del sys.modules[name]


@pytest.fixture
def figures(bench: ModuleType) -> ModuleType:
    return sys.modules["figures"]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_one_row_on_the_embedded_net(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, table = tmp_path / "a.json", tmp_path / "a.md"
    given = ["--only", "measure", "--net", f"{NET}/deploy.prototxt={NET}/lenet_digits.caffemodel"]
    assert bench.main([*given, *QUICK, "--json", str(out), "--markdown", str(table)]) == 0
    text = capsys.readouterr().out
    assert table.read_text() == text
    heading, _, header, _, row = text.splitlines()
    assert "1 of " in heading and "torch " in heading and "`--quick`" in heading
    assert cells(header) == ["row", "what", "ours", "against", "ratio", "target", "reached",
                             "others, same base"]  # fmt: skip
    made = cells(row)
    assert made[:2] == ["measure", "lenet_digits, batch 4"] and made[5] == "<= 1.15"
    kept = json.loads(out.read_text())
    (figure,) = kept["figures"]
    assert kept["threads"] == 1 and kept["quick"] and figure["value"]["median"] > 0
    assert made[6] == ("yes" if figure["value"]["median"] <= 1.15 else "no")

    assert bench.main(["--show", str(out), "--against", str(out)]) == 0
    again = capsys.readouterr().out
    assert again.startswith(text) and "+0 %, the same" in again.splitlines()[-1]


def test_rows_without_their_data_are_named(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--only", "main", *QUICK, "--material", str(tmp_path)]) == 0
    row = cells(capsys.readouterr().out.splitlines()[-1])
    assert row[4] == "skipped" and row[6] == ""
    assert row[7] == f"no {tmp_path}/models/squeezenet_v1.0, {tmp_path}/data/imagenet_sample"


def test_a_failing_row_does_not_cost_the_others(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--only", "measure", "main", "--material", str(tmp_path), "--net", "none.prototxt"]
    assert bench.main([*given, *QUICK]) == 1
    main, measure = map(cells, capsys.readouterr().out.splitlines()[-2:])
    assert (main[0], main[4]) == ("main", "skipped")
    assert (measure[0], measure[4]) == ("measure", "failed") and "none.prototxt" in measure[7]


def test_the_table_tells_reached_from_missed_and_names_missing_peers(figures: ModuleType) -> None:
    spread = sys.modules["turns"].Spread
    made: Callable[..., object] = figures.Figure
    rows = [
        made("float", "net", "1 ms", "peer 2 ms", spread(0.5, 0.4, 0.61), target=1.0,
             peers={"OpenCV": "not installed", "eager": spread(1.2, 1.1, 1.3)}),
        made("verbs", "edit", "0.4 s", "", spread(0.4, 0.4, 0.4), "s", 0.3),
        made("open", "time"),
    ]  # fmt: skip
    one, two, three = map(cells, figures.table(rows).splitlines()[2:])
    assert one[4:] == ["0.50 (0.40..0.61)", "<= 1.00", "yes",
                       "OpenCV not installed; eager 1.20 (1.10..1.30)"]  # fmt: skip
    assert two[4:7] == ["0.40 s", "<= 0.30 s", "no"]
    assert three[4:7] == ["skipped", "", ""]


def test_forms_take_turns_and_end_after_an_error(bench: ModuleType) -> None:
    turns = sys.modules["turns"]
    before = multiprocessing.active_children()
    # What a form makes is called in its turns: len(()), and int("x"), which fails.
    taken = turns.round_robin({"a": turns.Form(partial, len, ())}, rounds=2, calls=1)
    assert list(taken) == ["a"] and len(taken["a"]) == 2
    forms = {"a": turns.Form(int, "x"), "b": turns.Form(partial, len, ())}
    with pytest.raises(RuntimeError, match="ValueError: invalid literal"):
        turns.round_robin(forms, rounds=1, calls=1)
    assert set(multiprocessing.active_children()) <= set(before)


def test_changes_tell_apart_what_is_beyond_the_spread(figures: ModuleType) -> None:
    spread = sys.modules["turns"].Spread

    def run(threads: int, **values: tuple[float, float, float]) -> object:
        rows = [figures.Figure(name, "x", value=spread(*v)) for name, v in values.items()]
        return figures.Run({"threads": threads}, rows)

    before = run(1, a=(1.0, 0.9, 1.1), b=(1.0, 0.9, 1.1), c=(1.0, 0.9, 1.1), d=(1.0, 1.0, 1.0))
    now = run(2, a=(1.05, 1.0, 1.2), b=(2.0, 1.9, 2.1), c=(0.5, 0.4, 0.6), e=(1.0, 1.0, 1.0))
    assert figures.changes(before, now).splitlines() == [
        "threads differs: 1 then, 2 now",
        "a: x: 1.00 (0.90..1.10) -> 1.05 (1.00..1.20), +5 %, within the spread",
        "b: x: 1.00 (0.90..1.10) -> 2.00 (1.90..2.10), +100 %, worse",
        "c: x: 1.00 (0.90..1.10) -> 0.50 (0.40..0.60), -50 %, better",
        "e: x: measured in one of the runs only",
        "d: x: measured in one of the runs only",
    ]


def test_runs_of_two_machines_are_not_joined(
    bench: ModuleType, figures: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {**figures.facts_of(1, True), "machine": "a"}
    one = figures.Run(facts, [figures.Figure("open", "x")])
    other = dataclasses.replace(one, facts={**facts, "machine": "b"})
    for name, made in (("a.json", one), ("b.json", other)):
        made.save(tmp_path / name)
    assert bench.main(["--show", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 2
    assert capsys.readouterr().err == "error: the runs differ in machine\n"
    (tmp_path / "a.json").write_text("{}")
    assert bench.main(["--show", str(tmp_path / "a.json")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/a.json: not a file that --json")


def test_large_runs_are_measured_by_their_files_and_their_logs(
    bench: ModuleType, tmp_path: Path
) -> None:
    scale = importlib.import_module("scale")
    plain, low = (scale.files_row("cifar10_full", suffix, tmp_path) for suffix in ("", "_lp"))
    # 32 x 3 x 25 + 32, 32 x 32 x 25 + 32, 64 x 32 x 25 + 64, 10 x 1024 + 10
    assert cells(plain)[:2] == ["cifar10_full", "89,578"] and cells(low)[1] == "89,578"
    # The low-precision file has each blob twice; gradients are exchanged once.
    assert (cells(plain)[2], cells(low)[2]) == ("0.4 MB", "0.7 MB")
    assert cells(plain)[5] == cells(low)[5] == "0.4 MB"
    assert cells(plain)[6] == "0.4, 0.5, 0.7 MB"
    line = "I1129 09:30:19.5 1 solver.cpp:230] Iteration 4, loss = 2.3022\n"
    assert scale.SHOWN.findall(line) == [("09", "30", "19.5", "4")]
