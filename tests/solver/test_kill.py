"""kill -9 at any moment: the last snapshot is whole, and resuming ends where no kill had been."""

from __future__ import annotations

import os
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
EVERY = 5  # iterations from snapshot to snapshot
LAST = 400  # iterations


def trainer(folder: Path, snapshot: Path | None) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from pathlib import Path; from adaption.solver import train;"
        " Path('started').touch();"
        " train('solver.prototxt', snapshot=sys.argv[1] if len(sys.argv) > 1 else None)"
    )
    command = [sys.executable, "-c", code, *([snapshot.name] if snapshot else [])]
    return subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)})


def count(state: Path | None) -> int:
    """Iterations done in a state; 0 without one."""
    return 0 if state is None else int(re.findall(r"\d+", state.name)[0])


def newest(folder: Path) -> Path | None:
    states = folder.glob("run_iter_*.solverstate")
    return max(states, key=count, default=None)


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    """With dropout, shuffled data and stochastic rounding, bit for bit."""
    settings = f"max_iter: {LAST} snapshot: {EVERY} test_interval: 100 display: 500"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        write_run(folder, rounding="STOCHASTIC", solver=settings)
    assert trainer(whole, None).wait() == 0
    rng = random.Random(0)
    for kill in range(KILLS):
        # Up to four of eighty snapshots further, and a moment at random within an iteration.
        goal = count(newest(killed)) + EVERY * rng.randrange(4)
        process = trainer(killed, newest(killed))
        while count(newest(killed)) < goal or not (killed / "started").exists():
            assert process.poll() is None, f"over after {kill} kills"
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        assert process.wait() == -signal.SIGKILL, f"over after {kill} kills"
        (killed / "started").unlink()
    assert newest(killed), "no run came as far as its first snapshot"
    assert trainer(killed, newest(killed)).wait() == 0
    ends = [read_weights(folder / f"run_iter_{LAST}.caffemodel") for folder in (whole, killed)]
    for ours, theirs in zip(*ends, strict=True):
        for a, b in zip(ours.blobs, theirs.blobs, strict=True):
            np.testing.assert_array_equal(a.array(), b.array(), err_msg=ours.name)
