"""numpy's .npy and .npz files: numbers only, and no more memory than the file can mean.

numpy.load would take memory for whatever a header asks for, and raises many kinds of errors.
Format: numpy.lib.format. Pickled objects are never read.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, TypeAlias

from adaption.errors import FileFormatError, system_error
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.limits import check_size
from adaption.later import np, npt

__all__ = ["is_npz", "read_npy", "read_npz"]

Array: TypeAlias = "npt.NDArray[Any]"

_KINDS = "biufcSU"
_PIECE = 1 << 24
_SUFFIX = ".npy"
# zipfile, its decompressors and numpy's header reader report damage through any of these
_DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
try:
    import lzma

    _DAMAGE = (*_DAMAGE, lzma.LZMAError)
except ImportError:  # a Python built without it
    pass
_UNREADABLE: tuple[type[Exception], ...] = (OSError, *_DAMAGE)


def is_npz(path: str | os.PathLike[str]) -> bool:
    """Whether a zip archive holds numpy arrays and nothing else."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _UNREADABLE:
        return Path(path).suffix.lower() == ".npz"
    return all(name.endswith(_SUFFIX) for name in names)


def read_npy(path: str | os.PathLike[str]) -> Array:
    """The array in a .npy file. Raises: FileFormatError."""
    told = _told(
        path, "is not a readable .npy array", "write it again with numpy.save, numbers only"
    )
    with told, _opened(path, "a .npy array") as stream:
        left = os.fstat(stream.fileno()).st_size
        return _array(stream, "the array", lambda size: _stored(size, left - stream.tell()))


def read_npz(path: str | os.PathLike[str], fix: str = "") -> dict[str, Array]:
    """The arrays in a .npz file by name. Raises: FileFormatError, which `fix` mends."""
    arrays: dict[str, Array] = {}
    with (
        _told(path, "is not a readable .npz file", fix or "write it again with numpy.savez"),
        _opened(path, "a .npz file") as stream,
        zipfile.ZipFile(stream) as archive,
    ):
        taken = packed = 0
        for entry in archive.infolist():
            if not entry.filename.endswith(_SUFFIX):
                continue
            name = entry.filename.removesuffix(_SUFFIX)
            packed += entry.compress_size
            room = partial(_check_room, entry, name, packed, taken)
            with archive.open(entry) as unpacked:
                arrays[name] = _array(unpacked, f"array {name!r}", room)
            taken += arrays[name].nbytes
    return arrays


def _check_room(entry: zipfile.ZipInfo, name: str, packed: int, taken: int, size: int) -> None:
    """Refuse an array of `size` bytes behind others that take `taken` bytes; all of them come from
    `packed` bytes."""
    if size > entry.file_size:
        raise ValueError(f"array {name!r} asks for {size} bytes, {entry.file_size} are stored")
    stored = None if entry.compress_type == zipfile.ZIP_STORED else packed
    what = f"what it holds up to array {name!r}"
    check_size(taken + size, what, stored=stored, error=FileFormatError)


def _stored(size: int, left: int) -> None:
    if size > left:
        raise ValueError(f"its header asks for {size} bytes, {left} follow")
    check_size(size, "the array", error=FileFormatError)


def _array(stream: IO[bytes], name: str, room: Callable[[int], None]) -> Array:
    """The array that follows; `room` refuses its size in bytes before memory is taken."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):  # later ones differ in the width of a length, and in names of columns
        read = np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.kind not in _KINDS:
        raise ValueError(f"{name} holds {dtype} values, numbers are expected")
    if not all(isinstance(n, int) and 0 <= n < 1 << 62 for n in shape):
        raise ValueError(f"{name} has the shape {shape}")
    room(prod(shape) * dtype.itemsize)
    values = np.empty(prod(shape), dtype)
    out = values.view(np.uint8).data if values.nbytes else memoryview(b"")
    done = 0
    while done < len(out):
        piece = stream.read(min(_PIECE, len(out) - done))
        if not piece:
            raise ValueError(f"{name} is truncated")
        out[done : done + len(piece)] = piece
        done += len(piece)
    return values.reshape(shape[::-1]).transpose() if fortran else values.reshape(shape)


@contextmanager
def _opened(path: str | os.PathLike[str], what: str) -> Iterator[IO[bytes]]:
    kind = kind_of(path)
    if kind in ("missing", "directory", "special", "unreadable"):
        raise wrong_kind(path, kind, what)
    with Path(path).open("rb") as stream:
        yield stream


@contextmanager
def _told(path: str | os.PathLike[str], what: str, fix: str) -> Iterator[None]:
    try:
        yield
    except FileFormatError as error:
        raise error.at(file=path) from None
    except OSError as error:
        if error.errno:
            raise system_error(error, "cannot be read", file=path) from None
        raise FileFormatError(f"{what}: {error}", fix, file=path) from None
    except _DAMAGE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FileFormatError(f"{what}: {reason}", fix, file=path) from None
