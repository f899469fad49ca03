"""Memory and threads of verbs that run a net over data."""

from __future__ import annotations

import ctypes
import os

__all__ = ["keep_freed_memory", "sleep_between_layers"]

_SPINS = "10000"

# glibc: malloc.h; values are C ints
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST = 1 << 27  # bytes; a larger block goes back at once: kept, it would leave a large gap


def keep_freed_memory() -> bool:
    """Have the C library keep the memory of freed blobs for blobs to come, where it can.

    By default glibc hands large blocks back to the system, which clears every page before it gives
    it out again; for the top of a ReLU that takes several times as long as the ReLU itself.

    Returns: whether the C library took the settings; others than glibc have none of them.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # Arenas of other threads hold no block of more than 64 MB.
    settings = {_MMAP_THRESHOLD: _LARGEST, _TRIM_THRESHOLD: 2**31 - 1, _ARENA_MAX: 1}
    return all([mallopt(name, value) == 1 for name, value in settings.items()])


def sleep_between_layers() -> None:
    """Have the threads of torch sleep soon after a layer: by default they spin for milliseconds,
    and take the processor from what comes between layers.

    To be called before torch is loaded; what the environment says already counts. GNU's OpenMP,
    which torch brings on Linux, reads it; others do not.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
