"""Formats from one set of data, accuracy on another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.errors import DataError, FieldError, UsageError
from adaption.net import Point

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"
NET, WEIGHTS = EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel"


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Calibration samples 64 times as great as those that are scored."""
    folder = tmp_path_factory.mktemp("data")
    with h5py.File(EXAMPLE / "digits_test.h5") as file:
        data, labels = file["data"][:], file["label"][:]
    np.savez(folder / "calibration.npz", data=64 * data[:100], label=labels[:100])
    np.savez(folder / "scored.npz", data=data[100:], label=labels[100:])
    return folder / "calibration.npz", folder / "scored.npz"


def run(data: Path, out: Path, **choices: Any) -> Any:
    return adaption.quantize(
        NET, WEIGHTS, data, out=out, bits=8, every_bottom=True, quiet=True, **choices
    )


def test_ranges_come_from_the_calibration_data_alone(
    halves: tuple[Path, Path], tmp_path: Path
) -> None:
    calibration, scored = halves
    plain = run(scored, tmp_path / "plain")
    made = run(scored, tmp_path / "made", calibration=calibration, calibration_limit=90)
    point = Point("conv1", "activation")
    lost = plain.proposal.plan[point].frac_length - made.proposal.plan[point].frac_length
    assert 5 <= lost <= 6, "ranges 64 times as great"
    weight = Point("conv1", "weight")
    assert made.proposal.plan[weight] == plain.proposal.plan[weight]
    assert made.summary["accuracy"]["samples"] == 260
    assert made.summary["accuracy"]["float"] == plain.summary["accuracy"]["float"]
    assert made.summary["flipped_predictions"]["samples"] == 260
    entry = made.summary["calibration"]
    assert (entry["samples"], entry["source"]) == (90, str(calibration))
    assert entry["is_scored"] is False and plain.summary["calibration"]["is_scored"] is True
    assert made.summary["notes"][0] == (
        f"Calibration: 90 samples of {calibration}; accuracy is of others."
    )
    assert "accuracy is stated on, too" in plain.summary["notes"][0]
    assert made.proposal.samples == 90


def test_a_kept_reference_is_of_its_calibration_data(
    halves: tuple[Path, Path], tmp_path: Path
) -> None:
    calibration, scored = halves
    kept = {"reference": tmp_path / "kept"}
    first = run(scored, tmp_path / "b", calibration=calibration, **kept)
    again = run(scored, tmp_path / "c", calibration=calibration, **kept)
    fresh = run(scored, tmp_path / "d", calibration=calibration)
    assert first.proposal.plan == again.proposal.plan == fresh.proposal.plan
    assert again.summary["accuracy"] == fresh.summary["accuracy"]
    with pytest.raises(UsageError, match="the reference was made with other calibration"):
        run(scored, tmp_path / "e", **kept)


def test_calibration_of_another_size_is_refused(halves: tuple[Path, Path], tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", data=np.zeros((4, 1, 9, 9), np.float32), label=np.zeros(4))
    with pytest.raises(DataError) as caught:
        run(halves[1], tmp_path / "o", calibration=tmp_path / "wide.npz")
    assert "wide.npz" in str(caught.value) and not (tmp_path / "o").exists()


def test_settings_without_calibration_data_are_refused(
    halves: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="calibration_limit is given without calibration data"):
        run(halves[1], tmp_path / "o", calibration_limit=3)
    with pytest.raises(FieldError, match="calibration_limit is 0, allowed: 1 or more"):
        run(halves[1], tmp_path / "o", calibration=halves[0], calibration_limit=0)


def test_the_verb_says_what_was_calibrated_on(
    halves: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["quantize", NET, WEIGHTS, "--data", halves[1], "--bits", "8", "--quiet"]
    words += ["-o", tmp_path / "o", "--calibration", halves[0], "--calibration-limit", "50"]
    assert main([str(word) for word in words]) == 0
    shown = capsys.readouterr().out
    assert "Calibration: 50 samples of " in shown and "accuracy is of others." in shown
    report = (tmp_path / "o/report.html").read_text("utf-8")
    assert "Calibration: 50 samples of " in report
