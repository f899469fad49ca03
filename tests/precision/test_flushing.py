"""What short weights lose to zero under a rule, against rounding them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from adaption.cli.main import main
from adaption.io.caffemodel import read_weights
from adaption.job import measure
from adaption.precision.flushing import flushing
from adaption.precision.measure import Measurement
from adaption.precision.propose import propose

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
NET, WEIGHTS = EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel"
DATA = EXAMPLE / "digits_test.h5"


@pytest.fixture(scope="module")
def measured() -> Measurement:
    return measure(NET, WEIGHTS, DATA, limit=40, quiet=True)


def flushed_share(measured: Measurement, **choices: Any) -> float:
    """By rounding the weights of the caffemodel."""
    made = propose(NET, measured, **choices)
    flushed = values = 0
    for point, choice in made.choices.items():
        if point.kind == "weight" and choice.format.word_length <= 4:
            layer = read_weights(WEIGHTS).get(point.layer)
            assert layer is not None
            held = torch.from_numpy(layer.blobs[0].array().copy())
            flushed += int(((choice.format.quantize(held) == 0) & (held != 0)).sum())
            values += int((held != 0).sum())
    return flushed / values


@pytest.mark.parametrize("bits", [3, 4, [8, "conv2:weight=2"]])
def test_shares_are_those_of_rounding(bits: object, measured: Measurement) -> None:
    found = flushing(NET, measured, propose(NET, measured, bits=bits))
    assert found is not None
    # Told from histograms of 1/8 octave.
    assert found.chosen.share == pytest.approx(flushed_share(measured, bits=bits), abs=0.02)
    assert found.better
    for one in found.better:
        assert one.rule != "adaption"
        want = flushed_share(measured, bits=bits, rule=one.rule)
        assert one.share == pytest.approx(want, abs=0.02) and one.share < found.chosen.share
        assert one.sqnr_db is not None and found.chosen.sqnr_db is not None
        assert one.sqnr_db > found.chosen.sqnr_db
    assert found.better[0].rule == "sqnr"


def test_nothing_is_better_than_the_best(measured: Measurement) -> None:
    found = flushing(NET, measured, propose(NET, measured, bits=2, rule="sqnr"))
    assert found is not None and found.better == ()


def test_only_short_weights_count(measured: Measurement) -> None:
    made = propose(NET, measured, bits=[8, "ip2:weight=4", "activation=2"])
    found = flushing(NET, measured, made)
    assert found is not None and found.layers == ("ip2",)
    assert flushing(NET, measured, propose(NET, measured, bits=5)) is None


def test_verb(tmp_path: Path, measured: Measurement, capsys: pytest.CaptureFixture[str]) -> None:
    measured.save(tmp_path / "m.json")
    call = ["propose", str(NET), str(tmp_path / "m.json"), "-o", str(tmp_path / "p.json")]
    assert main([*call, "--bits", "3", "--quiet"]) == 0
    *_, first, second, last = capsys.readouterr().out.splitlines()
    assert " of the non-zero weights round to 0 (4 layers with 4 bits or fewer, rule adap" in first
    assert second.startswith("fewer with --rule sqnr (")
    assert last.startswith("adaption quantize --best ")
    assert main([*call, "--bits", "3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["flushed_weights"]
    assert said["better"][0]["flag"] == "--rule sqnr" and 0 < said["flushed"] < 1
    assert main([*call, "--bits", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flushed_weights"] is None
