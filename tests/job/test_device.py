"""The jobs on a device with a memory of its own: the figures of the CPU, but for float sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import adaption
from adaption.cli.main import main
from adaption.data import Transform
from adaption.options import BEST, INT8
from adaption.precision.evaluate import run_net
from tests.pretended_cuda import pretended_cuda

MODEL = Path(__file__).resolve().parents[2] / "models/lenet_digits"
NET, WEIGHTS = MODEL / "deploy.prototxt", MODEL / "lenet_digits.caffemodel"
DATA = MODEL / "digits_test_lmdb"
SETTINGS: dict[str, Any] = {"limit": 20, "quiet": True, "transform": Transform(scale=0.0625)}


def measured(device: str, folder: Path) -> Any:
    rows = adaption.measure(NET, WEIGHTS, DATA, device=device, **SETTINGS).rows()
    return [(r["layer"], r["kind"], r["zeros"], r["max"], r["mean"]) for r in rows]


def scored(device: str, folder: Path) -> Any:
    return adaption.score(NET, WEIGHTS, DATA, device=device, **SETTINGS).accuracy


def quantized(device: str, folder: Path) -> Any:
    with mock.patch("adaption.job.nearest.run_net", side_effect=run_net) as before_refining:
        made = adaption.quantize(
            NET, WEIGHTS, data=DATA, device=device, out=folder / device[:3], **SETTINGS,
            **{**INT8, **BEST, "bits": 4},
        )  # fmt: skip
    assert [str(call.args[0].device) for call in before_refining.mock_calls] == [device]
    assert all(check["ok"] for check in made.summary["verification"])
    rows = [(e["name"], e["weight"]) for e in made.summary["layers"] if e["weight"]]
    return [(name, weight["q"], weight["sqnr_db"]) for name, weight in rows]


def tuned(device: str, folder: Path) -> Any:
    said = adaption.quantize(
        NET, WEIGHTS, data=DATA, device=device, out=folder / device[:3], **SETTINGS,
        **{**INT8, **BEST, "bits": 3, "tune": 2},
    ).summary["tuning"]  # fmt: skip
    return [(side, said[side]["divergence"], said[side]["flipped"]) for side in ("before", "after")]


def searched(device: str, folder: Path) -> Any:
    made = adaption.search(
        NET, WEIGHTS, DATA, calibration=MODEL / "digits_train_lmdb", calibration_limit=8,
        device=device, out=folder / device[:3], max_drop=50.0, least_bits=3, curve=1, **SETTINGS,
        **{**INT8, "bits": 4, "refine": True},
    ).report  # fmt: skip
    layers = [(layer["name"], layer["bits"], layer["remaining"]) for layer in made["layers"]]
    return [*layers, *((str(one["position"]), one["drop"]) for one in made["curve"])]


def ranked(device: str, folder: Path) -> Any:
    made = adaption.sensitivity(NET, WEIGHTS, DATA, device=device, bits=5, **SETTINGS)
    return [(point["layer"], point["kind"], point["flipped_predictions"]) for point in made.points]


@pytest.mark.parametrize("job", [measured, scored, quantized, tuned, searched, ranked])
def test_on_a_device(job: Any, tmp_path: Path) -> None:
    want = job("cpu", tmp_path)
    with pretended_cuda():
        found = job("cuda:0", tmp_path)
    if isinstance(want, dict):
        assert found == want
        return
    assert len(found) == len(want)
    for one, other in zip(found, want, strict=True):
        assert [x for x in one if isinstance(x, str)] == [x for x in other if isinstance(x, str)]
        figures = [[x for x in row if isinstance(x, int | float)] for row in (one, other)]
        assert figures[0] == pytest.approx(figures[1], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("verb", ["measure", "quantize", "search", "sensitivity", "test"])
def test_without_a_gpu(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    out = {"measure": ["-o", "m.json"], "quantize": ["-o", "out"], "search": ["--max-size=9k"]}
    monkeypatch.chdir(tmp_path)
    call = [verb, str(NET), str(WEIGHTS), f"--data={DATA}", "--gpu=0", *out.get(verb, ())]
    assert main([*call, *(["-o", "s"] if verb == "search" else [])]) == 2
    assert "leave out --gpu to compute on the CPU" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
