"""Seeds: what torch's and numpy's generators both take."""

from __future__ import annotations

from adaption.errors import FieldError

__all__ = ["checked_seed"]


def checked_seed(seed: int) -> int:
    """The seed. Raises: FieldError when a generator would not take it."""
    if not isinstance(seed, int) or not -(1 << 63) <= seed < 1 << 64:
        raise FieldError("seed", seed, "a whole number of 64 bits")
    return seed
