"""What a net's blobs take, checked before any of it is allocated; freed memory that goes back."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from math import prod

from adaption.io.limits import check_machine, check_size

__all__ = ["FAILURES", "Footprint", "give_back"]

VALUE = 4  # bytes; blobs are float32

FAILURES = (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What numpy, torch and Python raise when a layer cannot compute with the fields it has."""


class Footprint:
    """Adds up the blobs of one net, by name: layers in place share theirs."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def add(self, name: str, shape: Sequence[int], what: str) -> None:
        """Count a blob in.

        Args:
            what: it is, as in 'top "conv1"'.
        Raises: ResourceError when it is too large on its own, or with those counted before.
        """
        size = VALUE * prod(max(int(d), 0) for d in shape)
        check_size(size, f"{what} of shape {tuple(shape)}")
        self._sizes[name] = size
        check_machine(sum(self._sizes.values()), f"the net, up to {what},")


def give_back() -> None:
    """Have the C library give freed memory back to the system, between two parts of a job that hold
    large weights: what lies between blocks in use it keeps otherwise. Only glibc can."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
