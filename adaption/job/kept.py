"""What the stages of a long job leave behind, so that it can go on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from adaption.errors import FileFormatError, UsageError
from adaption.io.atomic import atomic_write

__all__ = ["Kept", "digest"]

SETTINGS = "adaption_job.json"  # says that a folder is a job's, so that it may be emptied


def digest(data: bytes) -> str:
    """A short name for the content of a file."""
    return hashlib.sha256(data).hexdigest()[:16]


class Kept:
    """Results by stage, as JSON files in a folder.

    Args:
        folder: theirs alone; emptied when the job does not resume. One that holds files of
            others is refused.
        settings: what the results depend on; a job resumes with the same only.
        resume: go on from what is there.
        called: the flag that asks for that, in messages. fresh: how to start anew. placed: the
            flag that names the folder.
    Raises: UsageError when the folder is of a job with other settings, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        resume: bool,
        called: str = "--resume",
        fresh: str = "leave out --resume to start anew",
        placed: str = "-o",
    ) -> None:
        self.folder = folder
        self.called, self.fresh = called, fresh
        self.is_new = False  # whether nothing is kept yet
        path = folder / SETTINGS
        wanted = json.loads(json.dumps(settings))  # as they come back from a file
        if resume and path.exists():
            self._check(self._read(path), wanted)
            return
        try:
            if folder.exists():
                if not path.exists() and any(folder.iterdir()):
                    raise UsageError(
                        f"{os.fspath(folder)!r} holds files that are of no job, and would be"
                        " emptied",
                        f"name another folder with {placed}",
                    )
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
        except OSError as error:
            raise UsageError(
                f"cannot write to {os.fspath(folder)!r}: {error.strerror or error}",
                f"name a folder that can be written with {placed}",
            ) from None
        self._write(path, wanted)
        self.is_new = True

    def stage(self, name: str, make: Callable[[], Any]) -> Any:
        """The result of a stage, made now or kept from before; plain values either way."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            self._write(path, make())
        return self._read(path)

    def load(self, name: str, default: Any) -> Any:
        """What `save` kept last under this name."""
        path = self.folder / f"{name}.json"
        return self._read(path) if path.exists() else default

    def save(self, name: str, value: Any) -> None:
        """Keep what a stage has so far."""
        self._write(self.folder / f"{name}.json", value)

    def _check(self, have: Any, wanted: dict[str, Any]) -> None:
        have = have if isinstance(have, dict) else {}
        for name in dict.fromkeys((*wanted, *have)):
            if have.get(name) != wanted.get(name):
                raise UsageError(
                    f"{self.called} with another {name.replace('_', ' ')} than when the job was"
                    f" stopped: {wanted.get(name)!r} instead of {have.get(name)!r}",
                    f"give what was given then, or {self.fresh}",
                    file=self.folder,
                )

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileFormatError(f"cannot be read: {error}", self.fresh, file=path) from None

    def _write(self, path: Path, value: Any) -> None:
        with atomic_write(path, "w") as out:
            json.dump(value, out, indent=1, allow_nan=False)
            out.write("\n")
