"""The batch of variants on the embedded example: made, fine-tuned, compared, not made twice."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adaption.errors import FileFormatError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"
Main = Callable[[list[str]], int]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Main:
    monkeypatch.chdir(ROOT)  # the example's data layers start there
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    found: Main = runpy.run_path(str(ROOT / "scripts/quantize_batch.py"))["main"]
    return found


def flags(out: Path, *more: str) -> list[str]:
    data = str(EXAMPLE / "digits_test_lmdb")
    return [
        *(str(EXAMPLE / "deploy.prototxt"), *more, "--data", data, "--scale=0.0625"),
        *("--limit=40", "-o", str(out), "--rules=max"),
    ]


def test_batch(main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(EXAMPLE / "lenet_digits.caffemodel")
    train = str(EXAMPLE / "train_val.prototxt")
    call = flags(tmp_path, weights, "--bits=8,5", f"--train-net={train}", "--finetune=3")
    assert main(call) == 0
    rows = json.loads((tmp_path / "comparison.json").read_text())
    assert [(r["rule"], r["bits"], r["verified"]) for r in rows] == [
        ("max", 8, True),
        ("max", 5, True),
    ]
    for row in rows:
        assert row["fine-tuned Top-1"] > 0.8
        folder = tmp_path / row["folder"]
        assert (folder / "finetuned.onnx").exists()
        assert (folder / "finetuned_iter_3.caffemodel").exists()
    page = (tmp_path / "comparison.html").read_text()
    assert '<a href="max_5/report.html">' in page and "float net" in page
    assert all(0.8 < row["float Top-1"] <= 1 for row in rows)
    capsys.readouterr()

    made = (tmp_path / "max_8" / "summary.json").stat().st_mtime_ns
    assert main([*call, "--bits=8,5"]) == 0
    assert "quantizing" not in capsys.readouterr().out
    assert (tmp_path / "max_8" / "summary.json").stat().st_mtime_ns == made


@pytest.mark.parametrize("text", ["{", "[]", '{"net": "n"}', '{"accuracy": 3}'])
@pytest.mark.usefixtures("main")  # makes the modules of the batch known
def test_a_damaged_summary_is_told(tmp_path: Path, text: str) -> None:
    from batch.compare import facts
    from batch.variants import Variant

    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(FileFormatError, match=r"summary\.json") as refused:
        facts(Variant("max", 8, tmp_path))
    assert "the batch makes it again" in str(refused.value)


@pytest.mark.slow
def test_random_weights(main: Main, tmp_path: Path) -> None:
    assert main(flags(tmp_path, "--random-weights", "--bits=12")) == 0
    assert (tmp_path / "max_12" / "net_lp.onnx").exists()


@pytest.mark.slow
def test_failure_is_told(main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(EXAMPLE / "lenet_digits.caffemodel")
    assert main(flags(tmp_path, weights, "--bits=40")) == 1
    shown = capsys.readouterr()
    assert "failed: max_40, see" in shown.err
    assert "max_40: quantizing (1 of 1)\nmax_40: failed with exit code 2, " in shown.out
    assert "allowed: 2..24" in (tmp_path / "max_40.log").read_text()


@pytest.mark.parametrize("given", [[], ["w.caffemodel", "--random-weights"]])
def test_weights_twice_or_not_at_all(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    assert main(flags(tmp_path, *given, "--bits=8")) == 2
    assert "weights are given twice or not at all" in capsys.readouterr().err


@pytest.mark.slow
def test_best_on_calibration_data(main: Main, tmp_path: Path) -> None:
    weights = str(EXAMPLE / "lenet_digits.caffemodel")
    call = [word for word in flags(tmp_path, weights, "--bits=4") if word != "--rules=max"]
    assert main([*call, "--best", "--calibration", str(EXAMPLE / "digits_test_lmdb")]) == 0
    summary = json.loads((tmp_path / "error_4" / "summary.json").read_text())
    assert summary["refinement"]["refined"]
    assert summary["calibration"]["samples"] == 360 and summary["data"]["samples"] == 40


def test_other_flags_are_refused(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(EXAMPLE / "lenet_digits.caffemodel")
    call = [word for word in flags(tmp_path, weights, "--bits=2") if word != "--rules=max"]
    call += ["--recipe=wrpn", "--first-last=quantized"]
    assert main(call) == 0
    made = (tmp_path / "wrpn_2" / "summary.json").read_bytes()
    capsys.readouterr()
    assert main([*call[:-1], "--first-last=float"]) == 2
    told = capsys.readouterr().err
    assert "wrpn_2: made with --first-last=quantized, now --first-last=float" in told
    assert "another --out" in told
    assert (tmp_path / "wrpn_2" / "summary.json").read_bytes() == made


def test_a_folder_for_each_budget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "scripts/quantize_batch.py"))
    names: list[str] = []

    def make_all(args: object, rest: object, missing: list[Any]) -> None:
        names.extend(variant.folder.name for variant in missing)

    run = script["main"].__globals__
    monkeypatch.setitem(run, "make_all", make_all)
    monkeypatch.setitem(run, "compare", lambda *_: None)
    call = ["n.prototxt", "w.caffemodel", "-o", str(tmp_path), "--bits=8", "--rules=max"]
    for more in ([], ["--max-drop=1"], ["--max-size=40k"], ["--max-macbits=5M", "--max-drop=1"]):
        script["main"]([*call, *more])
    assert names == ["max_8", "max_8_drop_1", "max_8_size_40k", "max_8_drop_1_macbits_5M"]


def test_flags_that_go_on_to_quantize(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "scripts/quantize_batch.py"))
    calls: list[list[str]] = []
    with monkeypatch.context() as patch:
        patch.setattr("subprocess.Popen", lambda command, **_: calls.append(command))
        call = ["n.prototxt", "w.caffemodel", "-o", str(tmp_path), "--best", "--refine"]
        call += [
            "--calibration",
            "c.txt",
            "--calibration-limit",
            "9",
            "--max-drop",
            "1.0",
            "--int8",
        ]
        args, rest = script["parser"]().parse_known_args(call)
        start = sys.modules["batch.make"].start
        start(args, rest, script["Variant"]("error", 8, tmp_path / "error_8"))
    want = {"--calibration=c.txt", "--calibration-limit=9", "--max-drop=1.0"}
    assert want | {"--best", "--refine", "--int8", "--rule=error"} <= set(calls[0])


def test_recipes(main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(EXAMPLE / "lenet_digits.caffemodel")
    train = str(EXAMPLE / "train_val.prototxt")
    call = [word for word in flags(tmp_path, weights, "--bits=2") if word != "--rules=max"]
    call += ["--recipe=sdfp,wrpn", f"--train-net={train}", "--finetune=3", "--first-last=quantized"]
    assert main(call) == 0
    rows = json.loads((tmp_path / "comparison.json").read_text())
    assert [(r["rule"], r["bits"], r["verified"]) for r in rows] == [
        ("sdfp", 2, None),
        ("wrpn", 2, None),
    ]
    for row in rows:
        assert row["change"] < 0 and row["fine-tuned Top-1"] is not None
        for net in ("net_lp.prototxt", "train_lp.prototxt"):
            assert "precision_param" in (tmp_path / row["folder"] / net).read_text()
    assert 'href="sdfp_2/net_lp.prototxt"' in (tmp_path / "comparison.html").read_text()
    assert "sdfp_2: rewriting and testing (1 of 2)" in capsys.readouterr().out
    assert main(call) == 0
    assert "2 of 2 variants are there already" in capsys.readouterr().out


def test_a_recipe_has_formats_of_its_own(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags(tmp_path, "w.caffemodel", "--recipe=sdfp", "--max-drop=1", "--best")) == 2
    assert "--rules, --best, --max-drop beside --recipe" in capsys.readouterr().err


def test_what_runs_long_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(ROOT / "scripts/quantize_batch.py"))
    progress = script["Progress"](2)
    variants = [script["Variant"]("error", bits, tmp_path / f"error_{bits}") for bits in (8, 4)]
    (tmp_path / "error_8.log").write_text("measuring: 3 in 1 s\nrefining conv2\n\n")
    (tmp_path / "error_4.log").write_text("")
    progress.pulse(variants)
    assert capsys.readouterr().out == ""
    progress.spoke -= 31
    progress.pulse(variants)
    assert capsys.readouterr().out == "error_8: refining conv2\nerror_4: starting\n"


def test_what_ends_says_when_the_last_one_will(capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(ROOT / "scripts/quantize_batch.py"))
    progress = script["Progress"](3)
    progress.began -= 120
    progress.end("error_8", "done", 120.0)
    progress.end("error_6", "failed with exit code 2", 0.2)
    progress.end("error_4", "done", 60.0)
    assert capsys.readouterr().out == (
        "error_8: done, 2 min 00 s, 2 left, 30 variants/h, about 4 min 00 s more\n"
        "error_6: failed with exit code 2, 0.20 s, 1 left, 60 variants/h, about 1 min 00 s more\n"
        "error_4: done, 1 min 00 s, 0 left\n"
    )
