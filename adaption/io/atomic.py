"""Files appear whole or not at all: write beside the target, flush to disk, rename over it.

What is not finished has a name of its own, `.NAME.123456789abc.tmp`, and is locked while its writer
lives. So what a killed process has left behind is told from what is being written, and the next
write into the folder removes it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TextIO, overload

from adaption.errors import UsageError, system_error
from adaption.io.text import SHOWN

try:
    import fcntl
except ImportError:  # no POSIX: nothing is locked, so nothing of others is removed
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "apart",
    "atomic_write",
    "locked",
    "sweep",
    "temporary_beside",
    "together",
    "undisturbed",
]

_LEFT = re.compile(r"\..*[.-][0-9a-f]{12}\.tmp", re.DOTALL)
_LONGEST = 200  # bytes of the target's name in a temporary one; file systems allow 255 in all


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
    Raises: UsageError when the folder is missing or the path is a folder; ResourceError when the
        system refuses (a full disk, a permission, a name too long).
    """
    return _atomic_write(Path(path), mode)


@contextlib.contextmanager
def _atomic_write(path: Path, mode: Literal["wb", "w+b", "w"]) -> Iterator[IO[Any]]:
    try:
        target = _checked(path)
        if target.exists() and not target.is_file():  # /dev/stdout, a pipe: nothing to rename over
            with _opened(os.open(target, os.O_WRONLY), mode) as out:
                yield out
            return
        sweep(target.parent)
        temporary, descriptor = _create_beside(target)
        lock = os.dup(descriptor)  # keeps the lock until the file has its name
        try:
            with _opened(descriptor, mode) as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            if _pending.depth:
                _pending.files.append((temporary, target, lock))
                lock = -1
            else:
                temporary.replace(target)
                _sync_folder(target.parent)
        except BaseException:  # KeyboardInterrupt too
            temporary.unlink(missing_ok=True)
            raise
        finally:
            if lock >= 0:
                os.close(lock)
    except OSError as error:
        if error.filename is not None and not _is_about(error, path):
            raise system_error(error) from None  # of a file that is read meanwhile
        raise system_error(error, "cannot be written", file=path) from None
    except ValueError as error:
        if "null byte" in str(error) or "null character" in str(error):
            raise UsageError("is no name of a file", "leave out the NUL", file=path) from None
        raise


def _checked(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError("is a folder, a file is to be written", "add a file name", file=path)
    if not target.parent.is_dir():
        raise UsageError(
            f"the folder {os.fspath(target.parent)!r} does not exist",
            f"mkdir -p {target.parent}",
            file=path,
        )
    return target


def _is_about(error: OSError, path: Path) -> bool:
    named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return named.startswith((os.fspath(path), os.path.realpath(path))) or bool(
        _LEFT.fullmatch(Path(named).name)
    )


class _Pending(threading.local):
    """Files of this thread that wait for `together` to end."""

    def __init__(self) -> None:
        self.depth = 0
        self.files: list[tuple[Path, Path, int]] = []  # as it is called now, and will be; lock


_pending = _Pending()


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Let the files that `atomic_write` writes in this block appear when it ends, or none of them.

    They are renamed one right after the other; only a kill or a failing disk within that moment
    could separate them.
    """
    _pending.depth += 1
    try:
        yield
        if _pending.depth == 1:
            with undisturbed():
                for temporary, target, _ in _pending.files:
                    try:
                        temporary.replace(target)
                    except OSError as error:
                        raise system_error(error, "cannot be written", file=target) from None
                for folder in {target.parent for _, target, _ in _pending.files}:
                    _sync_folder(folder)
    finally:
        _pending.depth -= 1
        if not _pending.depth:
            for temporary, _, lock in _pending.files:
                temporary.unlink(missing_ok=True)
                os.close(lock)
            _pending.files.clear()


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Let files appear one by one in this block, even within `together`: a staged folder's."""
    depth, _pending.depth = _pending.depth, 0
    try:
        yield
    finally:
        _pending.depth = depth


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back the signals that would end this process until the block is done."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def temporary_beside(target: Path, *, is_folder: bool = False) -> Path:
    """A name for what is not finished yet, in the folder of `target`."""
    short = os.fsencode(target.name)[:_LONGEST].decode("utf-8", "ignore")
    mark = "-" if is_folder else "."
    return target.with_name(f".{short}{mark}{os.urandom(6).hex()}.tmp")


def _create_beside(target: Path) -> tuple[Path, int]:
    """A new file, locked, with the rights the target has, or would get from a plain open()."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = temporary_beside(target)
        try:
            descriptor = os.open(temporary, flags, 0o666)
        except OSError as error:
            raise system_error(error, "cannot be written", file=target) from None
        _lock(descriptor, wait=True)
        if _is_at(descriptor, temporary):  # another process may have taken it for left over
            break
        os.close(descriptor)
    with suppress(OSError):
        temporary.chmod(target.stat().st_mode & 0o777)
    return temporary, descriptor


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Mark a temporary folder as one that is being filled."""
    descriptor = -1
    with suppress(OSError):  # a system that opens no folders has no locks to respect either
        descriptor = os.open(folder, os.O_RDONLY)
        _lock(descriptor, wait=True)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose writers have been killed."""
    with suppress(OSError):
        left = [path for path in folder.iterdir() if _LEFT.fullmatch(path.name)]
        for path in left:
            with suppress(OSError):
                _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        if not _lock(descriptor, wait=False) or not _is_at(descriptor, path):
            return
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Whether the lock of an open file or folder could be had."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # held by a process that lives, or a file system without locks
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether `path` is still a name of the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except OSError:
        return False


def _opened(descriptor: int, mode: Literal["wb", "w+b", "w"]) -> IO[Any]:
    if mode == "w":
        return os.fdopen(descriptor, mode, encoding="utf-8", errors=SHOWN, newline="")
    return os.fdopen(descriptor, mode)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut; systems that cannot, skip it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
