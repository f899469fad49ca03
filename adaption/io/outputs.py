"""What a verb writes: never over what it reads, and folders all at once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adaption.errors import AdaptionError, UsageError, system_error
from adaption.io.atomic import apart, locked, sweep, temporary_beside, undisturbed

__all__ = ["keep_inputs", "staged_folder"]

PathLike = str | os.PathLike[str]

_OLD = ".old"  # ends the name of a folder that another one is taking the place of
_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h
_AT_FDCWD = -100


def keep_inputs(outputs: Iterable[PathLike | None], inputs: Iterable[PathLike | None]) -> None:
    """Refuse to write over what is read, under whatever name. Absent ones (None) do not count.

    Raises: UsageError.
    """
    read = [state for path in inputs if (state := _state(path)) is not None]
    for path in outputs:
        state = _state(path)
        if state is not None and any(os.path.samestat(state, one) for one in read):
            assert path is not None
            raise UsageError(f"output {os.fspath(path)!r} is an input", "name another file")


def _state(path: PathLike | None) -> os.stat_result | None:
    if path is None:
        return None
    with suppress(OSError, ValueError):
        return Path(path).stat()
    return None


@contextmanager
def staged_folder(folder: PathLike, own: Collection[str], marker: str) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` when the block ends without an error.

    Until then, and after an error, `folder` is as it was. What else is in it stays; what it holds
    under the names in `own` goes, whether or not there is a new one, so that results of two runs
    never lie side by side. The two change places in one step where the system can do that. Where
    the folder itself cannot be replaced (it is the working directory, a mount point, or its own
    folder cannot be written to) the files are moved into it one by one: `marker` goes first and
    comes last, so a folder without it is not whole.

    Args:
        own: names of files and folders that a run may write.
        marker: one of them.
    Raises: UsageError when `folder` is a file; ResourceError when the system refuses.
    """
    target = Path(os.path.realpath(folder))
    try:
        if target.exists() and not target.is_dir():
            raise UsageError("is a file, a folder is to be written", "name another folder").at(
                file=folder
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        _recover(target)
        stage, swaps = _begin(target)
        with locked(stage), _named_as(folder, stage), apart():
            try:
                yield stage
                if swaps:
                    _carry_over(target, stage, own)
                with undisturbed():
                    if not swaps:
                        _move_in(stage, target, own, marker)
                    elif target.exists():
                        _exchange(stage, target)
                    else:
                        stage.rename(target)
                    _sync(target)
            finally:  # the stage, or the folder that was there before
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise system_error(error, "cannot be written", file=folder) from None


@contextmanager
def _named_as(folder: PathLike, stage: Path) -> Iterator[None]:
    """Let errors name files where they would lie, not where they are staged."""
    try:
        yield
    except AdaptionError as error:
        if error.file is not None and stage in (file := Path(error.file)).parents:
            error.file = Path(folder) / file.relative_to(stage)
        raise


def _begin(target: Path) -> tuple[Path, bool]:
    """A new folder, and whether it can change places with the target."""
    if target.is_dir():
        here = Path.cwd()
        if target == here or target in here.parents or os.path.ismount(target):
            return _made_in(target), False
    try:
        sweep(target.parent)
        stage = temporary_beside(target, is_folder=True)
        stage.mkdir(mode=0o777)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not target.is_dir():
            raise
        return _made_in(target), False
    if target.is_dir():
        with suppress(OSError):
            stage.chmod(target.stat().st_mode & 0o7777)
    return stage, True


def _made_in(target: Path) -> Path:
    sweep(target)
    stage = temporary_beside(target / target.name, is_folder=True)
    stage.mkdir()
    return stage


def _carry_over(target: Path, stage: Path, own: Collection[str]) -> None:
    """Give the stage what the target holds beside results, by further names of the same files."""
    if not target.is_dir():
        return
    for entry in target.iterdir():
        if entry.name not in own and not (stage / entry.name).exists():
            _link(entry, stage / entry.name)


def _link(source: Path, goal: Path) -> None:
    if source.is_symlink():
        goal.symlink_to(source.readlink())
    elif source.is_dir():
        goal.mkdir()
        for entry in source.iterdir():
            _link(entry, goal / entry.name)
        shutil.copystat(source, goal)
    else:
        try:
            os.link(source, goal)
        except OSError:  # a file system without, or files of other users
            shutil.copy2(source, goal)


def _exchange(stage: Path, target: Path) -> None:
    """Let two folders change names; in one step on Linux, else with a moment without a target."""
    if _renamed_in_one_step(stage, target):
        return
    old = stage.with_name(stage.name.removesuffix(".tmp") + _OLD)
    target.rename(old)
    stage.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _renamed_in_one_step(stage: Path, target: Path) -> bool:
    import ctypes  # only whole folders change places

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    names = os.fsencode(stage), os.fsencode(target)
    done: int = rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)
    return done == 0


def _recover(target: Path) -> None:
    """Undo a change of names that a kill has left half done."""
    start = temporary_beside(target, is_folder=True).name.rpartition("-")[0] + "-"
    for entry in target.parent.glob("." + "*" + _OLD):
        if not entry.name.startswith(start):
            continue
        if target.exists():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.rename(target)


def _move_in(stage: Path, target: Path, own: Collection[str], marker: str) -> None:
    _remove(target / marker)
    _sync(target)
    for name in own:
        if not (stage / name).exists():
            _remove(target / name)
    for entry in sorted(stage.iterdir(), key=lambda path: path.name == marker):
        goal = target / entry.name
        if entry.is_dir():  # no folder is renamed over one that holds files
            _remove(goal)
        entry.replace(goal)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    for each in (folder, folder.parent):
        with suppress(OSError):
            descriptor = os.open(each, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
