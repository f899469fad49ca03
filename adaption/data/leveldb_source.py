"""LevelDB of Datum, through plyvel in a process of its own."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adaption.data import leveldb_worker
from adaption.data.datum import DatumSource
from adaption.errors import DataError, MissingExtraError, system_error
from adaption.io.kinds import is_plain_file

__all__ = ["LevelDbSource", "is_leveldb"]

_FIX = "check that the folder was copied whole, and that nothing changes it"


def is_leveldb(path: Path) -> bool:
    """Whether a folder is a LevelDB."""
    return is_plain_file(path / "CURRENT") and any(path.glob("MANIFEST-*"))


class _Database:
    """An open LevelDB in a temporary folder, closed and removed with the last source that uses it.

    LevelDB writes to its folder when it is opened: it replays its log into a new table and starts
    a new manifest. So a temporary folder of links to the files is opened in its place; the data
    set itself is never touched, and may lie where nothing can be written. It is opened in a process
    of its own, which a table that is cut short may end.
    """

    def __init__(self, path: Path) -> None:
        if sys.modules.get("plyvel", "") is None or importlib.util.find_spec("plyvel") is None:
            raise MissingExtraError("plyvel", "leveldb", "LevelDB")
        self.path = path
        self._lock = threading.Lock()
        self._ended: deque[int] = deque()
        try:
            folder = TemporaryDirectory(prefix="adaption-leveldb-")
            for file in path.iterdir():
                if file.name != "LOCK" and not file.name.startswith("LOG"):
                    _link(file.resolve(), Path(folder.name) / file.name)
            # It takes over this process's path: looking for packages anew takes half of its start.
            worker = str(Path(leveldb_worker.__file__).resolve())
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", worker, folder.name, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise system_error(error, "cannot be read", file=path) from None
        weakref.finalize(self, _close, self._process, folder)
        self._answer("the LevelDB does not open")

    def ask(self, *question: Any) -> list[bytes]:
        """The parts of an answer. Raises: DataError."""
        with self._lock:
            while self._ended:
                self._asked("end", self._ended.popleft())
            return self._asked(*question)

    def forget(self, number: int) -> None:
        """Let a pass end, with the next question: this may run within another one."""
        self._ended.append(number)

    def _asked(self, *question: Any) -> list[bytes]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._gone() from None
        return self._answer("the LevelDB cannot be read")

    def _answer(self, failing: str) -> list[bytes]:
        assert self._process.stdout is not None
        try:
            parts, is_error = leveldb_worker.receive(self._process.stdout)
        except (EOFError, OSError, ValueError, MemoryError):
            raise self._gone() from None
        if is_error:
            said = parts[0].decode("utf-8", "replace")
            raise DataError(f"{failing}: {said}", _FIX, file=self.path)
        return parts

    def _gone(self) -> DataError:
        return DataError(
            "the LevelDB cannot be read: it is damaged, or was changed meanwhile", _FIX,
            file=self.path,
        )  # fmt: skip


def _close(process: subprocess.Popen[bytes], folder: TemporaryDirectory[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            if pipe is not None:
                pipe.close()
    process.kill()
    process.wait()
    folder.cleanup()


class LevelDbSource(DatumSource):
    """A LevelDB of Datum."""

    kind = "leveldb"

    def __init__(self, path: Path, is_color: bool | None = None) -> None:
        self._database = _Database(path)
        self._passes = itertools.count()
        super().__init__(path, is_color)

    def records(self, skip: int = 0, step: int = 1) -> Generator[tuple[bytes, bytes], None, int]:
        number = next(self._passes)
        self._database.ask("begin", number)
        try:
            while True:
                left, *parts = self._database.ask("next", number, skip, step)
                skip = int(left)
                if not parts:
                    return skip
                yield from zip(parts[::2], parts[1::2], strict=True)
        finally:
            self._database.forget(number)

    def all_keys(self) -> list[bytes]:
        return self._database.ask("keys")

    def value(self, key: bytes) -> bytes:
        found = self._database.ask("get", key.hex())
        if not found:
            raise DataError(f"has no record {key!r} any more", file=self.path)
        return found[0]


def _link(file: Path, link: Path) -> None:
    # CURRENT and the manifest are small and replaced or appended to; tables are never changed.
    if file.suffix in (".ldb", ".sst"):
        try:
            link.symlink_to(file)
            return
        except OSError:  # a file system or system without links
            pass
    shutil.copyfile(file, link)
