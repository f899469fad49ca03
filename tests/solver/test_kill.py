"""kill -9 at any moment: the last snapshot is whole, and resuming ends where no kill had been."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from adaption.io.caffemodel import read_weights
from tests.golden_cases import CHECKOUT
from tests.solver.runs import write_run

KILLS = 20
LAST = 1500  # iterations


def trainer(folder: Path, snapshot: Path | None) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from adaption.solver import train;"
        " train('solver.prototxt', snapshot=sys.argv[1] if len(sys.argv) > 1 else None)"
    )
    command = [sys.executable, "-c", code, *([snapshot.name] if snapshot else [])]
    return subprocess.Popen(command, cwd=folder, env={"PYTHONPATH": str(CHECKOUT)})


def newest(folder: Path) -> Path | None:
    states = folder.glob("run_iter_*.solverstate")
    return max(states, key=lambda p: int(re.findall(r"\d+", p.name)[0]), default=None)


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    """With dropout, shuffled data and stochastic rounding, bit for bit."""
    settings = f"max_iter: {LAST} snapshot: 10 test_interval: 200 display: 500"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        write_run(folder, rounding="STOCHASTIC", solver=settings)
    process, began = trainer(whole, None), time.monotonic()
    while not (whole / "run_iter_10.solverstate").exists():  # python and torch take their time
        assert process.poll() is None
        time.sleep(0.05)
    start, trains = time.monotonic() - began, time.monotonic()
    assert process.wait() == 0
    length = time.monotonic() - trains
    rng = random.Random(0)
    for kill in range(KILLS):
        process = trainer(killed, newest(killed))
        try:
            # Twenty of these add up to less than the whole run.
            process.wait(timeout=start + rng.uniform(0, length / KILLS))
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.wait() == -signal.SIGKILL, f"over after {kill} kills"
    assert newest(killed), "no run came as far as its first snapshot"
    assert trainer(killed, newest(killed)).wait() == 0
    ends = [read_weights(folder / f"run_iter_{LAST}.caffemodel") for folder in (whole, killed)]
    for ours, theirs in zip(*ends, strict=True):
        for a, b in zip(ours.blobs, theirs.blobs, strict=True):
            np.testing.assert_array_equal(a.array(), b.array(), err_msg=ours.name)
