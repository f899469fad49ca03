"""The known name that a mistyped one may stand for: one rule for all messages."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["nearest_name", "nearest_names"]

LIKE = 0.65  # of difflib's ratio, from 0 for nothing in common to 1 for equal


@lru_cache(1024)  # a file may hold one unknown name many times
def nearest_names(name: str, names: tuple[str, ...], most: int = 3) -> tuple[str, ...]:
    """The known names like this one, the nearest first; case does not count."""
    import difflib  # only mistakes need it

    folded = {known.casefold(): known for known in reversed(names)}
    return tuple(
        folded[near] for near in difflib.get_close_matches(name.casefold(), folded, most, LIKE)
    )


def nearest_name(name: str, names: tuple[str, ...]) -> str | None:
    """The known name most like this one, if one is like it."""
    return next(iter(nearest_names(name, names, 1)), None)
