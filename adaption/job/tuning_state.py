"""The state of tuning, saved after each pass in a file until the results are written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from adaption.errors import FileFormatError
from adaption.io.atomic import atomic_write
from adaption.io.npy import read_npz
from adaption.solver.tuning import Distance, Tuner

__all__ = ["TuningState", "check_state", "remove_state", "state_path"]

Arrays = dict[str, npt.NDArray[Any]]

_HEAD = {"job": str, "attempt": int, "passes": int}


def state_path(out: str | os.PathLike[str]) -> Path:
    """The file of a job that writes to the folder `out`: inside if the folder exists, else beside
    it, since jobs create their folder at the end."""
    path = Path(os.path.realpath(out))
    return path / "state.tuning" if path.is_dir() else path.parent / f"{path.name[:60]}.tuning"


def check_state(out: str | os.PathLike[str]) -> None:
    """Before any work. Raises: FileFormatError if the file is there and holds no state."""
    if state_path(out).exists():
        _read(state_path(out))


def remove_state(out: str | os.PathLike[str]) -> None:
    """Remove the file, once the results are written."""
    path = Path(os.path.realpath(out))
    for file in (path / "state.tuning", path.parent / f"{path.name[:60]}.tuning"):
        with suppress(FileNotFoundError, NotADirectoryError):
            file.unlink()


@dataclass
class TuningState:
    """The file of one job.

    path: of the file. settings: what the job depends on besides both nets; plain values.
    attempt: number of the pace that the state is of. passes: how many are done at this pace.
    """

    path: Path
    settings: Mapping[str, Any]
    attempt: int = 0
    passes: int = 0
    _job: str = ""
    _found: Arrays = field(default_factory=dict)

    def find(self, tuner: Tuner, before: Distance) -> None:
        """Look for the file. Where it is of the same job, with the same nets on the same samples,
        `attempt` and `passes` say what is done; see `restore`.

        Args:
            tuner: one that has done nothing yet. before: how far its net is from the float net.
        Raises: FileFormatError where the file cannot be read.
        """
        self._job = self._digest(tuner, before)
        if self.path.exists():
            head, found = _read(self.path)
            if head["job"] == self._job:
                self.attempt, self.passes, self._found = head["attempt"], head["passes"], found

    def restore(self, tuner: Tuner) -> None:
        """Go on from the file: weights, optimizer and draws as they were behind the last pass."""
        tuner.take_up({name: torch.from_numpy(x) for name, x in self._found.items()})
        self._found = {}

    def save(self, tuner: Tuner, attempt: int, passes: int) -> None:
        """Keep what is done."""
        head = json.dumps({"job": self._job, "attempt": attempt, "passes": passes})
        arrays = {name: x.detach().cpu().numpy() for name, x in tuner.kept().items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as file:
            np.savez(file, allow_pickle=False, head=np.array(head), **arrays)

    def _digest(self, tuner: Tuner, before: Distance) -> str:
        known = {**self.settings, **before.to_dict()}
        made = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode())
        for layer in tuner.net.spec.layers:
            made.update(layer.message.SerializeToString(deterministic=True))
        teacher = [blob.tensor for node in tuner.teacher.nodes for blob in node.masters]
        for values in (*tuner.start, *teacher, *tuner.zeros.values()):
            made.update(values.detach().cpu().contiguous().numpy().data)
        return made.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """The head of a state, and its arrays. Raises: FileFormatError."""
    try:
        arrays = read_npz(path)
        head = json.loads(str(arrays.pop("head")))
        return {name: kind(head[name]) for name, kind in _HEAD.items()}, arrays
    except FileFormatError as error:
        reason = error.fact
    except (LookupError, TypeError, ValueError) as error:
        reason = str(error)
    raise FileFormatError(
        f"holds no state of tuning: {reason}", "delete it to tune from the start"
    ).at(file=path)
