"""Batch norm's running statistics at the end of a run: computed anew, or told where they lag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adaption.errors import FieldError
from adaption.net import Net
from adaption.solver import Listener, Solver, train
from tests.solver.runs import write_run


class Notices(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> list[str]:
    monkeypatch.chdir(folder)
    heard = Notices()
    train("solver.prototxt", listeners=[heard], **settings)
    return [text for text in heard.texts if "batch norm" in text]


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights to start from, whose statistics hold 1,000 passes' worth."""
    solver = write_run(tmp_path, rounding="DETERMINISTIC")
    monkeypatch.chdir(tmp_path)
    net = Solver(solver.name).net
    mean, variance, factor = (blob.tensor for blob in net.params["bn"])
    factor.fill_(1000)
    mean.fill_(5 * 1000)
    variance.fill_(9 * 1000)
    net.save("begun.caffemodel")
    return tmp_path


def statistics(folder: Path, name: str = "run_iter_20.caffemodel") -> list[torch.Tensor]:
    net = Net(folder / "net.prototxt", folder / name, "TRAIN")
    mean, variance, factor = (blob.tensor.clone() for blob in net.params["bn"])
    return [mean / factor, variance / factor, factor]


def test_a_short_run_is_warned_of(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = run(begun, monkeypatch, weights="begun.caffemodel")
    assert text.startswith(
        "statistics of batch norm lag: 98% of those of bn are from before these 20 passes"
    )
    assert "--reestimate-batch-norm 50" in text
    mean, _, _ = statistics(begun)
    assert (mean > 4.5).all()


def test_no_word_from_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    assert run(tmp_path, monkeypatch) == []


def test_new_statistics_are_plain_means_over_the_batches(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (text,) = run(begun, monkeypatch, weights="begun.caffemodel", reestimate_batch_norm=100)
    assert text == "statistics of batch norm are computed anew from 100 batches: 1 layers"
    mean, variance, factor = statistics(begun)
    assert float(factor) == 100
    trained = Net("net.prototxt", "run_iter_20.caffemodel", "TRAIN", seed=0)
    means, variances = [], []
    for _ in range(100):
        with torch.no_grad():
            trained.forward()
        x = trained.blobs["conv"].tensor
        means.append(x.mean((0, 2, 3)))
        variances.append(x.var((0, 2, 3)))
    torch.testing.assert_close(mean, torch.stack(means).mean(0), rtol=0.1, atol=0.1)
    torch.testing.assert_close(variance, torch.stack(variances).mean(0), rtol=0.3, atol=0.05)
    before = statistics(begun, "run_iter_15.caffemodel")
    assert float(before[2]) > 900, "snapshots on the way keep what Caffe keeps"
    weights = [blob.tensor for blob in trained.params["conv"]]
    run(begun, monkeypatch, weights="begun.caffemodel")
    plain = Net("net.prototxt", "run_iter_20.caffemodel", "TRAIN")
    for mine, theirs in zip(weights, plain.params["conv"], strict=True):
        assert torch.equal(mine, theirs.tensor), "nothing else changes"


def test_bad_count(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FieldError, match="reestimate_batch_norm is -1, allowed: 0 or more"):
        run(begun, monkeypatch, reestimate_batch_norm=-1)
