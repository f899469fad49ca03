"""LMDB of Datum."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from adaption.data.datum import DatumSource
from adaption.data.lmdb_pages import LmdbPages, is_lmdb_file
from adaption.errors import DataError, system_error

__all__ = ["LmdbSource", "is_lmdb"]


def is_lmdb(path: Path) -> bool:
    """Whether a path is an LMDB: the folder, or the data file itself.

    Raises: ResourceError when the system does not let it be read.
    """
    try:
        file = _data_file(path)
        return file.is_file() and is_lmdb_file(file)
    except OSError as error:
        raise system_error(error, "cannot be read", file=path) from None


def _data_file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


class LmdbSource(DatumSource):
    """An LMDB of Datum, read-only; the lock file beside it is neither read nor made."""

    kind = "lmdb"

    def __init__(self, path: Path, is_color: bool | None = None) -> None:
        self._pages = LmdbPages(_data_file(path))
        super().__init__(path, is_color)

    def __len__(self) -> int:
        return len(self._pages)

    def records(self, skip: int = 0, step: int = 1) -> Generator[tuple[bytes, bytes], None, int]:
        left = skip
        for item in self._pages.items(skip, step):
            if item is None:
                left -= 1
                continue
            yield item
            left = step - 1
        return left

    def all_keys(self) -> list[bytes]:
        return list(self._pages.keys())

    def value(self, key: bytes) -> bytes:
        try:
            return self._pages.get(key)
        except KeyError:
            raise DataError(f"has no record {key!r} any more", file=self.path) from None
