"""Files appear whole or not at all: write beside the target, flush to disk, rename over it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TextIO, overload

from adaption.errors import UsageError
from adaption.io.text import SHOWN

__all__ = ["atomic_write"]


@overload
def atomic_write(
    path: str | os.PathLike[str], mode: Literal["wb", "w+b"] = "wb"
) -> contextlib.AbstractContextManager[BinaryIO]: ...
@overload
def atomic_write(
    path: str | os.PathLike[str], mode: Literal["w"]
) -> contextlib.AbstractContextManager[TextIO]: ...
def atomic_write(
    path: str | os.PathLike[str], mode: Literal["wb", "w+b", "w"] = "wb"
) -> contextlib.AbstractContextManager[Any]:
    """Open `path` for writing; the old content stays until the block ends without an error.

    Args:
        path: file to write; its folder must exist. A symbolic link is followed.
        mode: `wb`, `w+b`, or `w` (UTF-8, line ends as given).
    Yields: a file object on a temporary file in the same folder.
    Raises: UsageError when the folder is missing or the path is a folder.
    """
    return _atomic_write(Path(path), mode)


@contextlib.contextmanager
def _atomic_write(path: Path, mode: Literal["wb", "w+b", "w"]) -> Iterator[IO[Any]]:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError("is a folder, a file is to be written", "add a file name", file=path)
    if not target.parent.is_dir():
        raise UsageError(
            f"the folder {os.fspath(target.parent)!r} does not exist",
            f"mkdir -p {target.parent}",
            file=path,
        )
    if target.exists() and not target.is_file():  # /dev/stdout, a pipe: nothing to rename over
        with _opened(os.open(target, os.O_WRONLY), mode) as out:
            yield out
        return
    temporary, descriptor = _create_beside(target)
    try:
        with _opened(descriptor, mode) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
    except BaseException:  # KeyboardInterrupt too
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _create_beside(target: Path) -> tuple[Path, int]:
    """A new file with the rights the target has, or would get from a plain open()."""
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    binary = getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | binary, 0o666)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", "choose another folder", file=target
        ) from None
    with contextlib.suppress(OSError):
        temporary.chmod(target.stat().st_mode & 0o777)
    return temporary, descriptor


def _opened(descriptor: int, mode: Literal["wb", "w+b", "w"]) -> IO[Any]:
    if mode == "w":
        return os.fdopen(descriptor, mode, encoding="utf-8", errors=SHOWN, newline="")
    return os.fdopen(descriptor, mode)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut; systems that cannot, skip it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
