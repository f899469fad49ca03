"""Tuning that was stopped: the same call goes on, and ends at the same bits."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption
from adaption.errors import FileFormatError, UsageError
from adaption.job import tune
from adaption.job.tuning_state import check_state, state_path
from adaption.solver.tuning import Tuner
from tests.job.test_tune import SOFTMAX, conv, inner, small

quantize_module = importlib.import_module("adaption.job.quantize")
CHOICES: dict[str, Any] = {
    **{"bits": 3, "rounding": "stochastic", "tune": 4, "tune_mirror": True, "quiet": True}
}


class Stopped(Exception):
    pass


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    return small(tmp_path, conv("c", "data") + inner("ip", "c") + SOFTMAX)


def stop_behind(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let the work end by an exception behind so many steps, of one batch each: a pass has one."""
    own, done = Tuner.step, [0]

    def step(self: Tuner, pieces: Any) -> float:
        if done[0] == steps:
            raise Stopped
        done[0] += 1
        return own(self, pieces)

    monkeypatch.setattr(Tuner, "step", step)


def steps_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the steps that are done from here on."""
    own, done = Tuner.step, [0]

    def step(self: Tuner, pieces: Any) -> float:
        done[0] += 1
        return own(self, pieces)

    monkeypatch.setattr(Tuner, "step", step)
    return done


@pytest.mark.parametrize(
    ("paces", "stopped"),
    [pytest.param((1.0, 0.25), 2, id="first pace"), pytest.param((1e6, 1.0), 7, id="second pace")],
)
def test_it_goes_on(
    files: tuple[Path, Path, Path],
    paces: tuple[float, float],
    stopped: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tune, "PACES", paces)
    with monkeypatch.context() as patch:
        needed = steps_of(patch)
        whole = adaption.quantize(*files, out=tmp_path / "whole", **CHOICES)
    assert needed[0] >= stopped
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_behind(patch, stopped)
        with pytest.raises(Stopped):
            adaption.quantize(*files, out=out, **CHOICES)
    assert state_path(out).exists() and not out.exists()
    done = steps_of(monkeypatch)
    again = adaption.quantize(*files, out=out, **CHOICES)
    assert done == [needed[0] - stopped]
    assert not state_path(out).exists()
    for name in ("net_lp.caffemodel", "net_lp.prototxt", "plan.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    kept = ("passes", "batches", "before", "after", "is_taken", "pace")
    assert {k: again.summary["tuning"][k] for k in kept} == {
        k: whole.summary["tuning"][k] for k in kept
    }


@pytest.mark.parametrize(
    "other",
    [
        *({"tune": 5}, {"seed": 1}, {"bits": 4}, {"tune_mirror": False}),
        {"backward_weights": True, "mask_saturated": True},  # gradients alone differ
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_call_begins_anew(
    files: tuple[Path, Path, Path],
    other: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_behind(patch, 3)
        with pytest.raises(Stopped):
            adaption.quantize(*files, out=out, **CHOICES)
    done = steps_of(monkeypatch)
    found = adaption.quantize(*files, out=out, **{**CHOICES, **other})
    attempts = 1 if found.summary["tuning"]["pace"] == 1 else 2
    assert done == [attempts * {**CHOICES, **other}["tune"]]


def test_nothing_is_lost_before_the_results_are_written(
    files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise Stopped

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(quantize_module, "prove", fails)
        with pytest.raises(Stopped):
            adaption.quantize(*files, out=out, **CHOICES)
    assert state_path(out).exists()
    done = steps_of(monkeypatch)
    adaption.quantize(*files, out=out, **CHOICES)
    assert done == [0] and sorted(tmp_path.glob("*.tuning")) == []


def test_in_a_folder_that_is_there(
    files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose own folder may be closed to us, as where a volume is mounted."""
    out = tmp_path / ("n" * 250)
    out.mkdir()
    with monkeypatch.context() as patch:
        stop_behind(patch, 1)
        with pytest.raises(Stopped):
            adaption.quantize(*files, out=out, **CHOICES)
    assert [path.name for path in out.iterdir()] == ["state.tuning"]
    adaption.quantize(*files, out=out, **CHOICES)
    assert not (out / "state.tuning").exists() and (out / "summary.json").exists()


def saved(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def an_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"what is this", id="text"),
        pytest.param(an_array(), id="array"),
        pytest.param(saved(weights=np.zeros(3)), id="arrays"),
        *(pytest.param(saved(head=np.array(x)), id=x) for x in ("3", "abc", "[]", "{}")),
        pytest.param(saved(head=np.array("3"))[:100], id="truncated"),
    ],
)
def test_a_file_that_is_no_state(
    content: bytes,
    files: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quantize_module, "float_pass", None)  # it is said before any work
    path = state_path(tmp_path / "out")
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="holds no state of tuning") as caught:
        adaption.quantize(*files, out=tmp_path / "out", **CHOICES)
    assert "delete it to tune from the start" in str(caught.value)
    assert not (tmp_path / "out").exists() and path.read_bytes() == content


def test_bytes_that_changed(
    files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_behind(patch, 1)
        with pytest.raises(Stopped):
            adaption.quantize(*files, out=tmp_path / "out", **CHOICES)
    whole, random = state_path(tmp_path / "out").read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        content = bytearray(whole)
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        state_path(tmp_path / "out").write_bytes(content)
        try:
            check_state(tmp_path / "out")
        except FileFormatError:
            refused += 1
    assert refused > 5, "the others hit arrays, which are not read yet"


def test_an_input_is_not_taken_for_a_state(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    plan = adaption.quantize(*files, out=tmp_path / "first", bits=3, quiet=True).folder
    path = state_path(tmp_path / "out")
    (plan / "plan.json").rename(path)
    choices = {"tune": 2, "quiet": True, "plan": path}
    with pytest.raises(UsageError, match=r"out\.tuning' is an input"):
        adaption.quantize(*files, out=tmp_path / "out", **choices)


def test_a_folder_that_is_not_there_yet(
    files: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a" / "b" / "out"
    stop_behind(monkeypatch, 1)
    with pytest.raises(Stopped):
        adaption.quantize(*files, out=out, **CHOICES)
    assert out.with_name("out.tuning").exists()
