"""LevelDB of Datum, through plyvel."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adaption.data.datum import DatumSource
from adaption.errors import DataError, MissingExtraError

__all__ = ["LevelDbSource", "is_leveldb"]


def is_leveldb(path: Path) -> bool:
    """Whether a folder is a LevelDB."""
    return (path / "CURRENT").is_file() and any(path.glob("MANIFEST-*"))


class _Database:
    """An open LevelDB in a temporary folder, closed and removed with the last source that uses it.

    LevelDB writes to its folder when it is opened: it replays its log into a new table and starts
    a new manifest. So a temporary folder of links to the files is opened in its place; the data
    set itself is never touched, and may lie where nothing can be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            plyvel = importlib.import_module("plyvel")
        except ImportError:
            raise MissingExtraError("plyvel", "leveldb", "LevelDB") from None
        self.folder = TemporaryDirectory(prefix="adaption-leveldb-")
        for file in path.iterdir():
            if file.name != "LOCK" and not file.name.startswith("LOG"):
                _link(file.resolve(), Path(self.folder.name) / file.name)
        try:
            self.db: Any = plyvel.DB(self.folder.name, create_if_missing=False)
        except (plyvel.Error, OSError) as error:
            raise DataError(
                f"the LevelDB does not open: {error}",
                "check that the folder was copied whole",
                file=path,
            ) from None

    def __del__(self) -> None:
        if hasattr(self, "db"):
            self.db.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class LevelDbSource(DatumSource):
    """A LevelDB of Datum."""

    kind = "leveldb"

    def __init__(self, path: Path, is_color: bool | None = None) -> None:
        self._database = _Database(path)
        super().__init__(path, is_color)

    def records(self, skip: int = 0, step: int = 1) -> Generator[tuple[bytes, bytes], None, int]:
        with self._database.db.iterator() as items:
            for item in items:
                if skip:
                    skip -= 1
                else:
                    yield item
                    skip = step - 1
        return skip

    def all_keys(self) -> list[bytes]:
        with self._database.db.iterator(include_value=False) as keys:
            return list(keys)

    def value(self, key: bytes) -> bytes:
        return bytes(self._database.db.get(key))


def _link(file: Path, link: Path) -> None:
    # CURRENT and the manifest are small and replaced or appended to; tables are never changed.
    if file.suffix in (".ldb", ".sst"):
        try:
            link.symlink_to(file)
            return
        except OSError:  # a file system or system without links
            pass
    shutil.copyfile(file, link)
