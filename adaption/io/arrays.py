"""Arrays by name from npz and npy files: inputs and recorded blobs of a net."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

from adaption.errors import DataError, FileFormatError
from adaption.io.kinds import kind_of
from adaption.io.npy import read_npy, read_npz

__all__ = ["read_arrays", "read_recorded"]


def read_arrays(path: str | os.PathLike[str], only: str = "") -> dict[str, NDArray[Any]]:
    """The arrays of an npz by name, or the one of an npy under the name `only`.

    Raises: DataError when the file is missing or something else. Never unpickles.
    """
    try:
        if kind_of(path) != "zip":
            return {only: read_npy(path)}
        return {name: a for name, a in read_npz(path).items() if a.dtype.kind in "fiu"}
    except FileFormatError as error:
        raise DataError(
            f"is no npz or npy file of numbers: {error.fact}", error.fix, file=path
        ) from None


def read_recorded(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Recorded blobs by name; a file of them writes `/` in a name as `|`. Raises: DataError."""
    return {name.replace("|", "/"): array for name, array in read_arrays(path).items()}
