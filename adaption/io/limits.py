"""How much memory the numbers of a file may ask for, checked before it is taken.

A few bytes can ask for gigabytes: a compressed picture, an array's header, num_output of a layer.
What one image, array or blob takes is refused above a limit: 4 GiB, or a quarter of the machine's
memory where that is more. What lies compressed in a file, or is only claimed there, may take 256
MiB, and beyond that a hundred times the bytes it is stored in. A limit that the user gives replaces
both. A net as a whole has to fit the machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from adaption.errors import AdaptionError, ResourceError

__all__ = [
    "ENVIRONMENT",
    "Size",
    "bytes_of",
    "check_machine",
    "check_size",
    "given_limit",
    "machine_memory",
    "memory_limit",
    "size_text",
    "within_limit",
]

P = ParamSpec("P")
R = TypeVar("R")

Size = int | str
ENVIRONMENT = "ADAPTION_MEMORY_LIMIT"
DEFAULT = 4 << 30
UNFOLDED = 256 << 20
RATIO = 100
_ABSURD = 1 << 50  # bytes that no machine has
_given: list[int] = []  # limits of the user, the innermost last


def bytes_of(size: Size) -> int:
    """Bytes of 1073741824, "1G", "512M" or "1.5 GiB". Raises: FieldError."""
    from adaption.options.checks import Bytes  # asked for rarely

    return Bytes()("memory_limit", size)


@contextmanager
def memory_limit(size: Size | None) -> Iterator[None]:
    """Let `size` be the limit while the block runs, in all threads; None changes nothing.

    Raises: FieldError when it is no size.
    """
    if size is None:
        yield
        return
    _given.append(limit := bytes_of(size))
    before = os.environ.get(ENVIRONMENT)
    os.environ[ENVIRONMENT] = str(limit)  # for the processes of a training run on several devices
    try:
        yield
    finally:
        _given.pop()
        if before is None:
            os.environ.pop(ENVIRONMENT, None)
        else:
            os.environ[ENVIRONMENT] = before


def within_limit(call: Callable[P, R]) -> Callable[P, R]:
    """Let a function's keyword `memory_limit` be the limit while the function runs."""

    @wraps(call)
    def limited(*args: P.args, **keywords: P.kwargs) -> R:
        with memory_limit(keywords.get("memory_limit")):  # type: ignore[arg-type]
            return call(*args, **keywords)

    return limited


def given_limit() -> int | None:
    """The limit that the user gave, as an argument or in the environment; None without."""
    if _given:
        return _given[-1]
    text = os.environ.get(ENVIRONMENT)
    return None if not text else bytes_of(text)


def check_size(
    size: int, what: str, *, stored: int | None = None, error: type[AdaptionError] = ResourceError
) -> None:
    """Refuse what would take more memory than allowed.

    Args:
        size: bytes it would take.
        what: as in "an image of 20000x20000 pixels".
        stored: bytes it is stored in, where a file could claim much that it does not hold.
        error: what is raised.
    """
    given = given_limit()
    limit = _default() if given is None else given
    reason = ""
    if given is None and stored is not None:
        unfolded = max(UNFOLDED, RATIO * stored)
        if unfolded < limit:
            limit = unfolded
            reason = f" for what is stored in {size_text(stored)}"
    if size <= limit:
        return
    raise error(
        f"{what} takes {size_text(size)} of memory, the limit{reason} is {size_text(limit)}",
        _raise_fix(size),
    )


def check_machine(size: int, what: str) -> None:
    """Refuse what this machine's memory cannot hold, unless the user has set a limit above it.

    Raises: ResourceError.
    """
    machine = machine_memory()
    if machine is None or size <= max(machine, given_limit() or 0):
        return
    raise ResourceError(
        f"{what} takes {size_text(size)} of memory, this machine has {size_text(machine)}",
        f"take smaller batches or shapes; {_raise_fix(size)}",
    )


def _raise_fix(size: int) -> str:
    if size >= _ABSURD:
        return "correct the sizes that it follows from"
    least = -(-size >> 30)
    return (
        f"if it is as it should be, raise the limit: --memory-limit {least}G,"
        f' memory_limit="{least}G"'
    )


def _default() -> int:
    return max(DEFAULT, (machine_memory() or 0) // 4)


@cache
def machine_memory() -> int | None:
    """Bytes of memory that this process may use in all; None where nothing tells."""
    known = []
    with suppress(AttributeError, ValueError, OSError):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        known += [soft] if soft != resource.RLIM_INFINITY else []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            known.append(int(Path(path).read_text("ascii")))  # "max" where there is none
    known = [size for size in known if 0 < size < sys.maxsize]
    return min(known, default=None)


def size_text(size: int) -> str:
    """`1.5 GiB`."""
    value, units = float(min(size, 1 << 100)), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.1f} {units[0]}"
