"""The samples of tuning: which train, which judge, how they are cropped and mirrored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from adaption.data import Transform
from adaption.job.feed import feed_from_data
from adaption.job.tuning_samples import TuningSamples
from adaption.options import RunOptions
from adaption.precision.propose import as_spec

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
NET, CALIBRATION = EXAMPLE / "deploy.prototxt", EXAMPLE / "digits_train_lmdb"


def test_samples_that_judge_do_not_train(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", data=np.arange(75 * 64, dtype=np.float32).reshape(75, 1, 8, 8))
    spec = as_spec(NET)
    feed = feed_from_data(spec, tmp_path / "x.npz", None, RunOptions(batch_size=7))

    def first(samples: Any) -> list[int]:
        return [int(v) // 64 for v in samples["data"][:, 0, 0, 0]]

    for most in (0, 40, 1000):  # the fewest that are held together, some, and all
        held = TuningSamples(feed, False, RunOptions(), 5)
        held.most = most
        judging = [first(piece) for piece in held.judging()]
        assert judging == [[7, 15, 23, 31, 39], [47, 55, 63, 71]]
        judges = [n for piece in judging for n in piece]
        passes = []
        for number in (0, 1, 0):
            batches = list(held.batches(number))
            assert [len(first(p)) for p in batches[0]] == [5] * 6
            passes.append([n for batch in batches for piece in batch for n in first(piece)])
            assert len(set(passes[-1])) == len(passes[-1]) == 60 == 30 * held.steps
            assert not set(passes[-1]) & set(judges)
        assert passes[0] == passes[2] != passes[1]


def test_crops_move_and_half_of_the_samples_are_mirrored() -> None:
    transform = Transform(resize=10, crop_size=8)
    feed = feed_from_data(as_spec(NET), CALIBRATION, transform, RunOptions(limit=73))
    windows: dict[bytes, tuple[int, int, int, bool]] = {}  # sample, row, column, mirrored
    for n, sample in zip(range(73), feed.batches.source, strict=False):
        large = Transform(resize=10).apply(sample.image)[0]
        for i in range(3):
            for j in range(3):
                one = large[i : i + 8, j : j + 8]
                windows[one.tobytes()] = n, i, j, False
                windows[one[:, ::-1].tobytes()] = n, i, j, True

    def found(number: int, mirrors: bool) -> list[tuple[int, int, int, bool]]:
        held = TuningSamples(feed, mirrors, RunOptions(), 32)
        parts = [p["data"][:, 0] for batch in held.batches(number) for p in batch]
        return [windows[one.contiguous().numpy().tobytes()] for one in torch.cat(parts)]

    plain, other, mirrored = found(0, False), found(1, False), found(0, True)
    assert len(plain) == 64 and len({place[1:3] for place in plain}) == 9
    assert sorted(plain) != sorted(other), "other places in each pass"
    assert not any(turned for *_, turned in plain)
    assert 16 < sum(turned for *_, turned in mirrored) < 48
    judging = torch.cat(
        [p["data"][:, 0] for p in TuningSamples(feed, True, RunOptions(), 32).judging()]
    )
    places = [windows[one.contiguous().numpy().tobytes()] for one in judging]
    assert places == [(n, 1, 1, False) for n in range(7, 73, 8)], "as they are scored"


def test_what_does_not_fill_a_batch_is_left_out_of_judging(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", data=np.zeros((64, 1, 8, 8), np.float32))
    feed = feed_from_data(as_spec(NET), tmp_path / "x.npz", None, RunOptions(batch_size=5))
    for size, want in ((3, [3, 3]), (5, [5]), (20, [8]), (None, [6, 2])):
        held = TuningSamples(feed, False, RunOptions(batch_size=size), 6)
        assert [len(piece["data"]) for piece in held.judging()] == want
        assert held.judges == sum(want)
