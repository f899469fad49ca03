"""plan.json: what it says of the choices is the Formats value, and files of before are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adaption.errors import FieldError
from adaption.net import Point
from adaption.numerics import FixedPoint
from adaption.options import INT8, Formats
from adaption.precision.proposal import Proposal
from adaption.precision.rules import Choice

# As `propose` wrote them before choices were a value.
HEAD = {
    "format": "adaption.plan/1",
    "convention": "Qm.f: m counts the sign bit, f the fractional bits; uQm.f has no sign",
    "net": "n",
    "bits": 8,
    "lengths": "8",
    "rule": "adaption",
    "threshold": 0.0,
    "percentile": None,
    "rounding": "half_away",
    "lpact": "before-relu",
    "same_format": None,
    "samples": 0,
    "preprocessing": None,
    "left_float": {},
}
ROW = {"layer": "conv", "kind": "weight", "q": "Q1.7", "reason": "by hand"}


def written(folder: Path, **head: Any) -> Path:
    path = folder / "old.json"
    path.write_text(json.dumps({**HEAD, **head, "points": [ROW]}))
    return path


@pytest.mark.parametrize(
    "formats",
    [
        Formats(bits=8),
        Formats(**INT8),
        Formats(bits=[8, "conv*=6"], rule="percentile", percentile=99, unsigned=True),
        Formats(rule="adaption-legacy", original_semantics=True, round_bias=True),
    ],
)
def test_choices_are_saved_with_the_formats(formats: Formats, tmp_path: Path) -> None:
    made = Proposal("n", formats, {Point("conv", "weight"): Choice(FixedPoint(8, 7), "by hand")})
    made.save(tmp_path / "plan.json")
    assert Proposal.load(tmp_path / "plan.json") == made
    said = json.loads((tmp_path / "plan.json").read_text())
    assert {**HEAD, **formats.to_dict(), "points": said["points"]} == said
    assert list(Proposal("n", Formats(bits=8)).head()) == list(HEAD)


def test_a_file_of_before_is_read(tmp_path: Path) -> None:
    assert Proposal.load(written(tmp_path)).head() == HEAD
    found = Proposal.load(written(tmp_path, rounding="stochastic", rule="sqnr"))
    assert found.formats == Formats(bits=8, rule="sqnr", rounding="stochastic")
    assert found.plan[Point("conv", "weight")] == FixedPoint(8, 7, "stochastic")


@pytest.mark.parametrize("rule", ["given", "uniform"])
def test_formats_that_no_rule_chose(rule: str, tmp_path: Path) -> None:
    """Such plans say any word length, and need no rule to be read."""
    found = Proposal.load(written(tmp_path, rule=rule, bits=32, rounding="stochastic"))
    assert found.formats is None
    assert found.plan[Point("conv", "weight")] == FixedPoint(8, 7, "stochastic")
    found.save(tmp_path / "new.json")
    assert Proposal.load(tmp_path / "new.json") == found
    assert found.head() == {**HEAD, "rule": "given"}


def test_given_formats_that_are_to_be_trained(tmp_path: Path) -> None:
    asked = {"mask_saturated": True, "backward_weights": True}
    found = Proposal.load(written(tmp_path, rule="given", **asked))
    assert found.backward_weights == "QUANTIZED"
    assert all(form.mask_saturated for form in found.stated.values())
    found.save(tmp_path / "new.json")
    assert Proposal.load(tmp_path / "new.json") == found
    plain = Proposal.load(written(tmp_path, rule="given"))
    assert plain.backward_weights is None and plain.stated == plain.plan


def test_a_rule_of_another_program(tmp_path: Path) -> None:
    found = Proposal.load(written(tmp_path, rule="mine"))
    assert found.head() == {**HEAD, "rule": "mine"}


def test_a_choice_spoilt_by_hand_is_named_with_its_file(tmp_path: Path) -> None:
    path = written(tmp_path, rounding="down")
    with pytest.raises(FieldError) as caught:
        Proposal.load(path)
    assert str(caught.value).startswith(f"{path}: rounding is 'down', allowed: half_away, ")
