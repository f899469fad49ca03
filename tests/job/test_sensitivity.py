"""What rounding one point alone does, against nets in which only that point has a format."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import adaption
from adaption.cli.format_flags import format_words
from adaption.cli.main import main, verb_parsers
from adaption.io.netfile import read_net
from adaption.job import Sensitivity, measure, sensitivity
from adaption.net import Net, Point
from adaption.precision.propose import Proposal, propose
from adaption.precision.rewrite import rewrite

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
FILES = (EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel")
DATA = EXAMPLE / "digits_test.h5"
COUNT = 40


@pytest.fixture(scope="module")
def found() -> Sensitivity:
    return sensitivity(*FILES, DATA, bits=4, limit=COUNT, quiet=True)


@pytest.fixture(scope="module")
def plan() -> Proposal:
    return propose(FILES[0], measure(*FILES, DATA, limit=COUNT, quiet=True), bits=4)


def output(net: Net) -> np.ndarray:
    import h5py

    with h5py.File(DATA) as file:
        images = file["data"][:COUNT]
    made: np.ndarray = net.forward({"data": images})["prob"].numpy().copy()
    return made


def test_one_entry_per_point_worst_first(found: Sensitivity, plan: Proposal) -> None:
    assert {(e["layer"], e["kind"]) for e in found.points} == {
        (point.layer, point.kind) for point in plan.choices
    }
    assert {e["q"] for e in found.points} == {str(c.format) for c in plan.choices.values()}
    sqnr = [e["sqnr_db"] for e in found.points]
    assert sqnr == sorted(sqnr)
    assert found.together["sqnr_db"] < sqnr[0]
    assert found.samples == COUNT
    assert found.accuracy is not None


@pytest.mark.parametrize("point", [Point("conv2", "weight"), Point("ip1", "activation")])
def test_only_that_point_is_rounded(point: Point, found: Sensitivity, plan: Proposal) -> None:
    alone = Proposal(plan.net, plan.formats, {point: plan.choices[point]}, plan.places)
    if point.kind == "weight":  # what a net in a file cannot leave out
        low = Net(rewrite(read_net(FILES[0]), plan), FILES[1])
        low.set_plan({p: None for p in low.plan if p != point})
    else:
        low = Net(rewrite(read_net(FILES[0]), alone), FILES[1])
    full, rounded = output(Net(*FILES)), output(low)
    want = 10 * np.log10((full**2).sum(dtype=float) / ((full - rounded) ** 2).sum(dtype=float))
    (entry,) = (e for e in found.points if (e["layer"], e["kind"]) == (point.layer, point.kind))
    assert entry["sqnr_db"] == pytest.approx(want, abs=1e-3)
    flipped = int((full.argmax(1) != rounded.argmax(1)).sum())
    assert entry["flipped_predictions"]["count"] == flipped


def test_formats_of_a_net_are_taken_off(tmp_path: Path, found: Sensitivity, plan: Proposal) -> None:
    adaption.write_net(rewrite(read_net(FILES[0]), plan), tmp_path / "low.prototxt")
    again = sensitivity(tmp_path / "low.prototxt", FILES[1], DATA, bits=4, limit=COUNT, quiet=True)
    assert again.points == found.points
    assert again.notes[0] == "The net has formats already: they are taken off."


def test_what_was_folded_is_said() -> None:
    said = sensitivity(*FILES, DATA, bits=4, limit=COUNT, fold=True, quiet=True).notes
    assert said[0] == "Folded: nothing."


def test_verb(tmp_path: Path, found: Sensitivity, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "s.json", tmp_path / "s.svg"
    flags = ["--data", str(DATA), "--bits", "4", "--limit", str(COUNT), "-o", str(out)]
    assert main(["sensitivity", *map(str, FILES), *flags, "--plot", str(plot)]) == 0
    assert json.loads(out.read_text()) == found.to_dict()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"LeNetDigits: 4 bits, rule adaption, {COUNT} samples"
    worst = found.points[0]
    assert shown[2].split()[:3] == [worst["layer"], worst["type"], worst["kind"]]
    assert shown[-1].startswith("next: adaption quantize ")
    assert f"--exclude {worst['layer']} " in shown[-1]
    texts = [e.text or "" for e in ElementTree.parse(plot).iter() if e.tag.endswith("}text")]
    rows = [t for t in texts if t.split(" ")[0] in {e["layer"] for e in found.points}]
    assert rows == [f"{e['layer']} {e['kind']}" for e in found.points]


def test_a_plot_is_an_svg_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sensitivity", *map(str, FILES), "--data", str(DATA), "--plot", "s.png"]) == 2
    assert "--plot s.png is no .svg file" in capsys.readouterr().err


def test_the_score_and_the_end_are_those_that_are_asked_for(
    found: Sensitivity, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["--seed", "3", "--end", "prob", "--score", "prob"]
    flags = ["--data", str(DATA), "--bits", "4", "--limit", str(COUNT), *said]
    assert main(["sensitivity", *map(str, FILES), *flags]) == 0
    (command,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("next: "))
    words = command.split()
    assert words[words.index("--seed") :][: len(said)] == said
    assert "--limit" not in words  # what makes sensitivity quick makes quantize no better
    again = sensitivity(*FILES, DATA, bits=4, limit=COUNT, quiet=True, end="prob", score="prob")
    assert again.points == found.points


def test_the_command_to_type_next_keeps_the_formats() -> None:
    said = ["--int8", "--bits", "4", "--unsigned", "--exclude", "d e", "--exclude", "f"]
    args = verb_parsers()["sensitivity"].parse_args(["a", "b", "--data", "c", *said])
    assert format_words(args) == said
