"""What to do next: the right steps in the right order, as commands and as keywords."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from adaption.cli.flags import value_of
from adaption.cli.main import verb_parsers
from adaption.options import Tuning
from adaption.report.advice import Step, next_steps, verify_command, weakest
from adaption.report.html import render_report
from tests.report.conftest import Page, layer, point

Summary = dict[str, Any]
COMMAND = ["adaption", "quantize", "my net.prototxt", "n.caffemodel", "--data", "d"]


@pytest.fixture
def bad(summary: Summary) -> Summary:
    """A net that lost 9 points at 4 bits, made by a command."""
    summary |= {
        "bits": 4,
        "lengths": "4",
        "command": [*COMMAND, "--bits=4", "--rule", "max", "-o", "out"],
        "layers": [
            layer("conv1", weight=point(4, 3, sqnr_db=20.0), activation=point(4, 3, sqnr_db=2.0)),
            layer("conv2", weight=point(4, 3, sqnr_db=5.0), activation=point(4, 3, sqnr_db=30.0)),
            layer("ip", weight=point(4, 3, sqnr_db=None), activation=None),
        ],
    }
    summary["accuracy"]["quantized"]["top1"] = 0.9
    names = {"net_lp": "net_lp.prototxt", "weights_lp": "net_lp.caffemodel", "report": "r.html"}
    summary["files"] |= {k: {"path": f"out/{v}", "size_bytes": 1} for k, v in names.items()}
    return summary


def commands(summary: Summary) -> list[list[str]]:
    return [shlex.split(step.command) for step in next_steps(summary) if step.command]


def test_a_net_that_lost_much(bad: Summary) -> None:
    best, wider, sensitivity = commands(bad)
    assert best == [*COMMAND, "--bits=4", "--best", "-o", "out-best"]  # the rule is --best's own
    wanted = ["--bits", "conv1:activation=6", "--bits", "conv2:weight=6"]
    assert wider[:9] == [*COMMAND, "--bits=4", "--rule", "max"] and wider[9:13] == wanted
    assert sensitivity[-3:] == ["--sensitivity", "-o", "out-sensitivity"]
    assert any("fine-tuning" in step.text for step in next_steps(bad))
    parser = verb_parsers()["quantize"]
    for words in (best, wider, sensitivity):
        args = parser.parse_args(words[2:])
        assert args.net == "my net.prototxt" and args.out == words[-1]


def test_what_was_done_is_not_recommended(bad: Summary) -> None:
    bad["refinement"] = {"refined": True}
    bad["sensitivity"] = {"points": []}
    bad["flipped_predictions"] = {"count": 9, "share": 0.09}
    bad["calibration"] = {"samples": 255}
    assert len(commands(bad)) == 1
    bad["calibration"]["samples"] = 256
    tuned, wider = commands(bad)
    assert tuned[-4:] == ["--tune", "10", "-o", "out-tuned"]
    assert value_of(verb_parsers()["quantize"].parse_args(tuned[2:]), Tuning()).tune == 10
    bad["tuning"] = {"is_taken": True}
    (wider,) = commands(bad)
    assert wider[9] == "--bits"


def test_a_net_as_good_as_float(bad: Summary) -> None:
    bad["accuracy"]["quantized"]["top1"] = 0.9905
    verify, fewer = commands(bad)
    assert verify == verify_command(bad) == ["adaption", "verify", *verify[2:]]
    assert verify[2:] == ["out/net_lp.prototxt", "out/net_lp.caffemodel", "lp", "lp64"]
    assert fewer == [*COMMAND, "--rule", "max", "--bits", "2", "-o", "out-2"]


@pytest.mark.parametrize(
    ("changes", "worse"),
    [
        ({"accuracy": None, "flipped_predictions": {"share": 0.06}}, True),
        ({"accuracy": None, "flipped_predictions": {"share": 0.01}}, False),
        ({"accuracy": None, "flipped_predictions": None, "output_sqnr_db": {"a": 12.0}}, True),
        ({"accuracy": None, "flipped_predictions": None, "output_sqnr_db": {"a": None}}, False),
    ],
)
def test_without_labels(bad: Summary, changes: Summary, worse: bool) -> None:
    assert any("--best" in words for words in commands(bad | changes)) == worse


def test_nothing_measured(bad: Summary) -> None:
    nothing = {"accuracy": None, "flipped_predictions": None, "output_sqnr_db": {}}
    assert any("--score BLOB" in step.text for step in next_steps(bad | nothing))


def test_a_failed_check_comes_first(bad: Summary) -> None:
    bad["verification"][0]["ok"] = False
    bad["inputs"] = {"data": [8, 1, 28, 28]}
    assert commands(bad)[0][-2:] == ["--input", "data=8x1x28x28"]


def test_formats_by_hand(bad: Summary) -> None:
    bad["command"] += ["--plan", "p.json"]
    texts = [step.text for step in next_steps(bad)]
    assert any("came from --plan" in text for text in texts)
    assert not any("--best" in words for words in commands(bad))


def test_made_from_python(bad: Summary) -> None:
    bad["command"] = []
    steps = next_steps(bad)
    assert Step(steps[0].text, python="quantize(..., **BEST)") == steps[0]
    assert "bits=['4', 'conv1:activation=6', 'conv2:weight=6', " in steps[1].python
    assert not any(step.command for step in steps)


def test_worst_points_first(bad: Summary) -> None:
    assert [str(w) for w in weakest(bad)][:3] == [
        "conv1 (activation)",
        "conv2 (weight)",
        "conv1 (weight)",
    ]
    measured = [("conv2", "activation", 3.0), ("conv1", "weight", 9.0), ("ip", "weight", None)]
    bad["sensitivity"] = {
        "points": [
            {"layer": n, "kind": k, "sqnr_db": db, "flipped_predictions": None}
            for n, k, db in measured
        ]
    }
    assert [str(w) for w in weakest(bad)] == ["conv2 (activation)", "conv1 (weight)"]
    assert any("conv2:activation=6" in words for words in commands(bad))


def test_the_report_shows_them(bad: Summary) -> None:
    bad["before_refining"] = {
        "accuracy": {"top1": 0.7123, "top5": 0.9},
        "flipped_predictions": {"count": 99, "samples": 500, "share": 0.198},
        "output_sqnr_db": {"prob": 8.8},
    }
    text = render_report(bad)
    page = Page(text)
    for step in next_steps(bad):
        assert step.text in page.words and step.command in page.words
    results = text[text.index('id="results"') : text.index('id="overview"')]
    for shown in ("before refining", "71.23 %", "99 of 500", "8.8 dB"):
        assert shown in results
    worst = text[text.index('id="worst"') : text.index('id="overview"')]
    assert worst.index(">conv1<") < worst.index(">conv2<")
    assert 'id="sensitivity"' not in text and "quantize --sensitivity measures" in worst
