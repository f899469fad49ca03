"""Measured with one preprocessing, deployed with another: reported by quantize and rewrite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import adaption
from adaption.data import Transform
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.job import measure
from adaption.precision.preprocessing import net_preprocessing, preprocessing_notes
from adaption.precision.propose import propose
from adaption.precision.rewrite_files import rewrite_files

ROOT = Path(__file__).resolve().parents[2] / "models/lenet_digits"
FILES = (ROOT / "train_val.prototxt", ROOT / "lenet_digits.caffemodel")
SENTENCE = (
    '{} with another preprocessing than data layer "digits" does: scale 1.0, the layer has'
    " 0.0625. The formats do not fit its values: use the same, or `adaption rescale`."
)


def net_of(fields: str) -> Any:
    text = f'layer {{ name: "d" type: "Data" top: "data" top: "label" {fields} }}'
    return from_document(prototxt.parse(text))


@pytest.mark.parametrize(
    ("fields", "known", "differs"),
    [
        ("transform_param { scale: 0.5 }", {"scale": 0.5}, ""),
        ("", {"scale": 1.0, "mean_value": None, "mean_file": None}, ""),
        ("transform_param { scale: 0.5 }", {"scale": 1.0}, "scale 1.0, the layer has 0.5"),
        (
            "transform_param { mean_value: 104 mean_value: 117 mean_value: 123 }",
            {"scale": 1.0},
            "mean_value none, the layer has [104.0, 117.0, 123.0]",
        ),
        ('transform_param { mean_file: "a/m.npy" }', {"scale": 1.0, "mean_file": "b/m.npy"}, ""),
        ("transform_param { scale: 0.5 }", {}, ""),
        ("transform_param { scale: 0.5 }", None, ""),
    ],
)
def test_comparison(fields: str, known: Any, differs: str) -> None:
    notes = preprocessing_notes(known, net_of(fields))
    assert len(notes) == bool(differs)
    assert all(f'data layer "d" does: {differs}.' in note for note in notes)


def test_quantize_and_rewrite_report_it(tmp_path: Path) -> None:
    name = next(iter(net_preprocessing(adaption.read_net(FILES[0]))))
    data = ROOT / "digits_test_lmdb"

    def notes(scale: float) -> list[str]:
        made = adaption.quantize(
            *FILES, data, out=tmp_path / "o", bits=8, transform=Transform(scale=scale), limit=8,
            quiet=True,
        )  # fmt: skip
        found: list[str] = made.summary["notes"]
        return found

    assert SENTENCE.replace("digits", name).format("Ranges were measured") in notes(1.0)
    assert not any("another preprocessing" in note for note in notes(1 / 16))
    for scale, count in ((1.0, 1), (1 / 16, 0)):
        measured = measure(*FILES, data, transform=Transform(scale=scale), limit=8, quiet=True)
        plan = tmp_path / "plan.json"
        propose(FILES[0], measured, bits=8).save(plan)
        made = rewrite_files(FILES[0], tmp_path / "lp.prototxt", plan=plan)
        assert sum("another preprocessing" in note for note in made.notes) == count
