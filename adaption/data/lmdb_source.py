"""LMDB of Datum."""

from __future__ import annotations

import importlib
import os
import weakref
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from adaption.data.datum import DatumSource
from adaption.errors import DataError, MissingExtraError

__all__ = ["LmdbSource", "is_lmdb"]

_MAGIC = b"\xde\xc0\xef\xbe"  # MDB_MAGIC, in the meta page after the 16-byte page header


def is_lmdb(path: Path) -> bool:
    """Whether a path is an LMDB: the folder, or the data file itself."""
    file = _data_file(path)
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(20)[16:] == _MAGIC


def _data_file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


@dataclass
class _Opened:
    """An LMDB open in this process, and how many handles there are on it."""

    env: Any = None
    handles: int = 0


_opened: dict[Path, _Opened] = {}
# Handles end where the last source that holds them does, in any thread and within any call.
_lock = RLock()


class _Handle:
    """A share in an open LMDB: a process may open each one only once."""

    def __init__(self, path: Path) -> None:
        key = _data_file(path).resolve()
        with _lock:
            shared = _opened.setdefault(key, _Opened())
            shared.handles += 1  # first, so that no handle that ends meanwhile closes it
            weakref.finalize(self, _release, key)
            if shared.env is None:
                shared.env = _open(path)
            self.env = shared.env


def _release(key: Path) -> None:
    with _lock:
        shared = _opened[key]
        shared.handles -= 1
        if not shared.handles:
            del _opened[key]
            if shared.env is not None:
                shared.env.close()


def _open(path: Path) -> Any:
    try:
        lmdb = importlib.import_module("lmdb")
    except ImportError:
        raise MissingExtraError("lmdb", "lmdb", "LMDB") from None
    try:
        # Without the lock file a folder that cannot be written to can be read.
        return lmdb.open(
            os.fsencode(_data_file(path)), readonly=True, lock=False, subdir=False, max_spare_txns=4
        )
    except (lmdb.Error, OSError) as error:
        raise DataError(
            f"the LMDB does not open: {error}",
            "check that data.mdb was copied whole, from a machine of the same byte order, and"
            " that no other code in this process has it open",
            file=path,
        ) from None


class LmdbSource(DatumSource):
    """An LMDB of Datum, opened read-only."""

    kind = "lmdb"

    def __init__(self, path: Path, is_color: bool | None = None) -> None:
        self._handle = _Handle(path)
        super().__init__(path, is_color)

    def __len__(self) -> int:
        return int(self._handle.env.stat()["entries"])

    def records(self, skip: int = 0, step: int = 1) -> Generator[tuple[bytes, bytes], None, int]:
        with self._handle.env.begin() as transaction, transaction.cursor() as cursor:
            is_there = cursor.first()
            while is_there:
                if skip:  # the value of a record that is passed over is not touched
                    skip -= 1
                else:
                    yield cursor.item()
                    skip = step - 1
                is_there = cursor.next()
        return skip

    def all_keys(self) -> list[bytes]:
        with self._handle.env.begin() as transaction, transaction.cursor() as cursor:
            return list(cursor.iternext(keys=True, values=False))

    def value(self, key: bytes) -> bytes:
        with self._handle.env.begin() as transaction:
            return bytes(transaction.get(key))
