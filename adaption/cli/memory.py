"""Memory of blobs, kept for the next blob."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

# glibc: malloc.h; values are C ints
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 1 << 30  # bytes; what is larger still goes back at once


def keep_freed_memory() -> bool:
    """Have the C library keep the memory of freed blobs for blobs to come, where it can.

    By default glibc hands blocks of 32 MB and more back to the system, which clears every page
    before it gives it out again; for a ReLU that takes ten times as long as the ReLU itself. What
    is kept was in use before, so the most that a process takes at once stays what it was.

    Returns: whether the C library took the settings; others than glibc have none of them.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = {_MMAP_THRESHOLD: _LARGEST, _TRIM_THRESHOLD: 2**31 - 1}
    return all([mallopt(name, value) == 1 for name, value in settings.items()])
