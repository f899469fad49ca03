"""What tuning has done, kept after each pass in a file beside the results until it ends."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from adaption.errors import FileFormatError
from adaption.io.atomic import atomic_write
from adaption.solver.tuning import Distance, Tuner

__all__ = ["TuningState", "state_path"]


def state_path(out: str | os.PathLike[str]) -> Path:
    """The file of a job that writes to `out`."""
    path = Path(os.path.realpath(out))
    return path.parent / f"{path.name}.tuning"


@dataclass
class TuningState:
    """The file, and of which job it may be.

    path: of the file. settings: what the work depends on besides the net; plain values.
    attempt: which pace it is of. passes: how many are done at this pace.
    """

    path: Path
    settings: Mapping[str, Any]
    attempt: int = 0
    passes: int = 0
    _job: str = ""

    def find(self, tuner: Tuner, before: Distance) -> None:
        """Look for the file. Where it is of the same job, with the same net on the same samples,
        `attempt` and `passes` say what is done; see `restore`.

        Args:
            tuner: one that has done nothing yet. before: how far its net is from the float net.
        Raises: FileFormatError where the file cannot be read.
        """
        self._job = self._digest(tuner, before)
        if not self.path.exists():
            return
        head = self._read(("head",))["head"]
        known = json.loads(str(head))
        if known["job"] == self._job:
            self.attempt, self.passes = known["attempt"], known["passes"]

    def restore(self, tuner: Tuner) -> None:
        """Go on from the file: weights, optimizer and draws as they were behind the last pass."""
        found = self._read()
        tuner.take_up({name: torch.from_numpy(x) for name, x in found.items() if name != "head"})

    def save(self, tuner: Tuner, attempt: int, passes: int) -> None:
        """Keep what is done."""
        head = json.dumps({"job": self._job, "attempt": attempt, "passes": passes})
        arrays = {name: x.detach().cpu().numpy() for name, x in tuner.kept().items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as file:
            np.savez(file, allow_pickle=False, head=np.array(head), **arrays)

    def remove(self) -> None:
        """At the end of the work."""
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _digest(self, tuner: Tuner, before: Distance) -> str:
        known = {**self.settings, **before.to_dict()}
        made = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode())
        for values in tuner.start:
            made.update(values.cpu().contiguous().numpy().data)
        return made.hexdigest()

    def _read(self, names: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:
        """These arrays, or all."""
        try:
            with zipfile.ZipFile(self.path), np.load(self.path, allow_pickle=False) as file:
                return {name: file[name] for name in names or file}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise FileFormatError(
                f"holds no state of tuning: {error}", "delete it to tune from the start"
            ).at(file=self.path) from None
