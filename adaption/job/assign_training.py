"""Training runs of `assign`: each goes on from its last snapshot, and leaves one caffemodel."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaption.io.atomic import atomic_write
from adaption.proto import caffe_pb2
from adaption.report.training_progress import TrainingProgress
from adaption.solver import Listener, train
from adaption.solver.settings import SolverFile

__all__ = ["Trainer", "forget"]

SNAPSHOTS = 20  # in a run: what is lost by a stop is at most a twentieth of it,
LEAST = 25  # or so many iterations


@dataclass(frozen=True)
class Trainer:
    """How runs are started.

    seed: of all runs, so that they differ in their formats alone.
    """

    seed: int
    device: str
    net_options: dict[str, Any]
    quiet: bool

    def run(self, definition: SolverFile, stem: Path) -> Path:
        """Train to max_iter, from the last snapshot if there is one; returns the solver state.

        Args:
            stem: of the snapshots, PREFIX in PREFIX_iter_N.solverstate.
        Raises: KeyboardInterrupt when a signal has stopped it, behind a snapshot.
        """
        message = caffe_pb2.SolverParameter()
        message.CopyFrom(definition.message)
        message.snapshot_prefix = os.fspath(stem)
        message.snapshot = max(LEAST, -(-message.max_iter // SNAPSHOTS))
        message.snapshot_format = caffe_pb2.SolverParameter.BINARYPROTO
        message.ClearField("snapshot_after_train")
        # Tests on the way change nothing, and nobody would see them.
        message.ClearField("test_iter")
        message.ClearField("test_interval")
        message.ClearField("test_state")
        last = _last_state(stem)
        if last is not None and _iteration(last) == message.max_iter:
            return last
        listeners: list[Listener] = [_Tidy(stem)]
        if not self.quiet:
            listeners.append(TrainingProgress())
        result = train(
            SolverFile(message, definition.file),
            snapshot=last,
            seed=self.seed,
            devices=[self.device],
            net_options=dict(self.net_options),
            listeners=listeners,
        )
        if result.stopped:
            raise KeyboardInterrupt
        state = _last_state(stem)
        assert state is not None, "written behind the last iteration"
        return state

    def weights(self, state: Path, out: Path) -> None:
        """Copy the caffemodel that belongs to a solver state."""
        model = state.with_suffix(".caffemodel")
        with model.open("rb") as source, atomic_write(out, "wb") as target:
            shutil.copyfileobj(source, target)


def forget(stem: Path) -> None:
    """Remove all snapshots of a run."""
    for file in _files(stem):
        file.unlink()


def _files(stem: Path) -> list[Path]:
    return [p for p in stem.parent.glob(f"{stem.name}_iter_*") if p.is_file()]


def _iteration(path: Path) -> int:
    found = re.search(r"_iter_(\d+)\.", path.name)
    return int(found[1]) if found else -1


def _last_state(stem: Path) -> Path | None:
    """The newest whole snapshot: the state is written behind all that belongs to it."""
    states = [p for p in _files(stem) if p.name.endswith(".solverstate")]
    return max(states, key=_iteration, default=None)


class _Tidy(Listener):
    """Keeps the last two snapshots: the one before the newest is whole in any case."""

    def __init__(self, stem: Path) -> None:
        self.stem = stem

    def snapshotting(self, path: str, what: str, file_format: str) -> None:
        last = _last_state(self.stem)
        if what != "weights" or last is None:
            return
        for file in _files(self.stem):
            if _iteration(file) < _iteration(last):
                file.unlink()
