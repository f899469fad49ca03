"""What tuning has done, kept after each pass in a file beside the results until it ends."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tokenize
import zipfile
import zlib
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
from adaption.solver.tuning import Distance, Tuner

__all__ = ["TuningState", "check_state", "remove_state", "state_path"]

Arrays = dict[str, npt.NDArray[Any]]

_HEAD = {"job": str, "attempt": int, "passes": int}
_DAMAGED = (  # what zipfile and numpy raise on bytes that are no such file
    *(OSError, ValueError, EOFError, LookupError, TypeError, RuntimeError, SyntaxError),
    *(ArithmeticError, struct.error, zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def state_path(out: str | os.PathLike[str]) -> Path:
    """The file of a job that writes to the folder `out`: inside it where it is there, else beside
    it, since nothing is written there before the end."""
    path = Path(os.path.realpath(out))
    return path / "state.tuning" if path.is_dir() else path.parent / f"{path.name[:60]}.tuning"


def check_state(out: str | os.PathLike[str]) -> None:
    """Raises: FileFormatError, before any work, where what lies in place of a state is none."""
    if state_path(out).exists():
        _read(state_path(out))


def remove_state(out: str | os.PathLike[str]) -> None:
    """Remove what is kept, once the results are written."""
    path = Path(os.path.realpath(out))
    for file in (path / "state.tuning", path.parent / f"{path.name[:60]}.tuning"):
        with suppress(FileNotFoundError, NotADirectoryError):
            file.unlink()


@dataclass
class TuningState:
    """The file, and of which job it may be.

    path: of the file. settings: what the work depends on besides both nets; plain values.
    attempt: which pace it is of. passes: how many are done at this pace.
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
            head, found = _read(self.path, of_job=self._job)
            if found:
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


def _read(path: Path, of_job: str = "") -> tuple[dict[str, Any], Arrays]:
    """The head of a state; the arrays where it is of this job."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            head = json.loads(str(file["head"]))
            known = {name: kind(head[name]) for name, kind in _HEAD.items()}
            wanted = file.files if known["job"] == of_job else ()
            return known, {name: file[name] for name in wanted if name != "head"}
    except _DAMAGED as error:
        raise FileFormatError(
            f"holds no state of tuning: {error}", "delete it to tune from the start"
        ).at(file=path) from None
