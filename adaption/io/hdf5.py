"""HDF5 files opened with care: what they hold stays within the file, fits the memory, and is read
without h5py's many kinds of errors.

An HDF5 file can name other files of this machine (external links, external storage, virtual data
sets) and have them read as its own data. Such parts are refused wherever they are met.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, BinaryIO

from adaption.errors import AdaptionError, FileFormatError, MissingExtraError
from adaption.io.limits import check_size
from adaption.later import np, npt

__all__ = ["H5Array", "array_of", "damage_told", "is_group", "items", "member", "open_hdf5"]

# h5py reports damage through any of these
_H5PY_ERRORS = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    NotImplementedError,
    RecursionError,
)


def open_hdf5(path: str | os.PathLike[str] | BinaryIO, mode: str = "r") -> Any:
    """An open h5py.File.

    Raises: FileFormatError when it does not open; MissingExtraError when h5py is not installed.
    """
    h5py = _h5py()
    try:
        return h5py.File(path, mode)
    except (OSError, RuntimeError, ValueError) as error:
        if mode != "r" and isinstance(error, OSError) and error.errno:
            raise  # the disk's, of a file that is written
        raise _damaged(error).at(
            file=path if isinstance(path, str | os.PathLike) else None
        ) from None


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError:
        raise MissingExtraError("h5py", "hdf5", "HDF5") from None


@contextmanager
def damage_told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what h5py raises on damage within the block into one FileFormatError."""
    try:
        yield
    except AdaptionError as error:
        raise error.at(file=path) from None
    except _H5PY_ERRORS as error:
        raise _damaged(error).at(file=path) from None


def is_group(item: Any) -> bool:
    return isinstance(item, _h5py().Group)


def items(group: Any) -> Iterator[tuple[str, Any]]:
    """Names and members of a group, in its order; those of named data types are left out.

    Raises: FileFormatError for a member that lies in another file.
    """
    h5py = _h5py()
    for name in group:
        item = member(group, name)
        if isinstance(item, h5py.Group | h5py.Dataset):
            yield name, item


def member(group: Any, name: str) -> Any:
    """What a group holds under a name, None when that is nothing.

    Raises: FileFormatError when it lies in another file.
    """
    h5py = _h5py()
    link = group.get(name, getlink=True)
    shown = f"{group.name.rstrip('/')}/{name}"
    if link is not None and not isinstance(link, h5py.HardLink | h5py.SoftLink):
        raise _elsewhere(shown)
    if isinstance(link, h5py.SoftLink) and group.get(name, getclass=True) is None:
        return None  # it leads nowhere
    if name not in group:
        return None
    item = group[name]
    # A soft link may lead through an external one.
    if h5py.h5o.get_info(item.id).fileno != h5py.h5o.get_info(group.file.id).fileno:
        raise _elsewhere(shown)
    return item


def array_of(item: Any, path: str | os.PathLike[str]) -> H5Array:
    """A member as an array of numbers. Raises: FileFormatError when it is none."""
    if not isinstance(item, _h5py().Dataset):
        raise FileFormatError(f"{item.name!r} is no data set", "give an HDF5 file of arrays")
    if item.external or item.is_virtual:
        raise _elsewhere(item.name)
    return H5Array(item, path)


class H5Array:
    """A data set, read where it is sliced; damage and oversize come out as FileFormatError.

    Attributes: shape (() where it holds nothing), dtype.
    """

    def __init__(self, dataset: Any, path: str | os.PathLike[str]) -> None:
        self._dataset = dataset
        self.path = path
        self.name: str = dataset.name
        shape = dataset.shape  # None: a data set without a space
        self.is_empty = shape is None
        self.shape: tuple[int, ...] = tuple(int(n) for n in shape or ())
        self.dtype: np.dtype[Any] = dataset.dtype

    @property
    def size_bytes(self) -> int:
        return 0 if self.is_empty else prod(self.shape) * self.dtype.itemsize

    @property
    def offset(self) -> int | None:
        """Where the values lie in the file in one piece; None where they do not."""
        with damage_told(self.path):
            offset = self._dataset.id.get_offset()
            return None if offset is None else int(offset)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """The rows of a slice, one row of an integer, or all of `()`."""
        rows = 1
        if isinstance(key, slice):
            rows = len(range(*key.indices(len(self))))
        inner = self.shape if key == () else self.shape[1:]
        size = rows * prod(inner) * self.dtype.itemsize
        with damage_told(self.path):
            self._check(size, inner)
            return np.asarray(self._dataset[key])

    def _check(self, size: int, shape: tuple[int, ...]) -> None:
        stored = self._dataset.id.get_storage_size()
        shown = "x".join(map(str, shape)) or "1"
        what = f"data set {self.name!r}: an array of {shown} values"
        check_size(size, what, stored=stored, error=FileFormatError)
        if self._dataset.chunks:  # of a chunk, all is unpacked even where little is asked for
            chunk = prod(self._dataset.chunks) * self.dtype.itemsize
            what = f"data set {self.name!r}: a chunk of {self._dataset.chunks} values"
            check_size(chunk, what, stored=stored, error=FileFormatError)


def _elsewhere(name: str) -> FileFormatError:
    return FileFormatError(
        f"{name!r} points to another file, which is not followed",
        "write the arrays into one file",
    )


def _damaged(error: Exception) -> FileFormatError:
    return FileFormatError(
        f"is damaged or truncated HDF5: {_reason(error)}",
        "the download or copy broke off; fetch the file again",
    )


def _reason(error: Exception) -> str:
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(said).split()) or type(error).__name__
