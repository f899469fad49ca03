"""What a field of an option value may hold. Each check returns the value as it is kept.

Text is read as the shell gives it, so that a wrong value is the same error there and in Python.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adaption.errors import FieldError

__all__ = ["Bytes", "Check", "Names", "Number", "OneOf", "OrNone", "Switch", "Text", "Whole"]

_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


class Check(Protocol):
    """Called with the name of a field and the value given. Raises: FieldError."""

    def __call__(self, name: str, value: Any, /) -> Any: ...


@dataclass(frozen=True)
class OneOf:
    """One of these names; a list may grow later."""

    names: Sequence[str]

    def __call__(self, name: str, value: Any, /) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise FieldError(name, value, ", ".join(self.names))
        return value


@dataclass(frozen=True)
class Switch:
    """True or False."""

    def __call__(self, name: str, value: Any, /) -> bool:
        if isinstance(value, Iterable) or value not in (True, False):
            raise FieldError(name, value, "True, False")
        return bool(value)


@dataclass(frozen=True)
class Whole:
    """A whole number, `least` to `greatest`."""

    allowed: str = "a whole number"
    least: int = -(2**63)
    greatest: int = 2**63 - 1

    def __call__(self, name: str, value: Any, /) -> int:
        value = _as_number(value)
        try:
            found = operator.index(value)
        except TypeError:
            raise FieldError(name, value, self.allowed) from None
        if isinstance(value, bool) or not self.least <= found <= self.greatest:
            raise FieldError(name, value, self.allowed)
        return found


@dataclass(frozen=True)
class Number:
    """A number for which `holds` is true."""

    allowed: str
    holds: Callable[[float], bool]

    def __call__(self, name: str, value: Any, /) -> float:
        value = _as_number(value)
        try:
            found = float(value)
        except (ValueError, TypeError, OverflowError):
            raise FieldError(name, value, self.allowed) from None
        if isinstance(value, bool) or not self.holds(found):
            raise FieldError(name, value, self.allowed)
        return found


@dataclass(frozen=True)
class Bytes:
    """A number of bytes: 1073741824, "1G", "512M" or "1.5 GiB"."""

    allowed: str = "a number of bytes, as in 512M or 8G"

    def __call__(self, name: str, value: Any, /) -> int:
        text = str(value).strip().lower()
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?", text, re.ASCII)
        size = float(found[1]) * (1 << _UNITS[found[2]]) if found else 0.0
        if not 1 <= size < 1 << 60:
            raise FieldError(name, value, self.allowed)
        return int(size)


def _as_number(value: Any) -> Any:
    """What a text spells, if that is a number, so that it is shown as in Python."""
    for kind in (int, float) if isinstance(value, str) else ():
        try:
            return kind(value)
        except ValueError:
            continue
    return value


@dataclass(frozen=True)
class Text:
    """Any text."""

    allowed: str = "a name"

    def __call__(self, name: str, value: Any, /) -> str:
        if not isinstance(value, str):
            raise FieldError(name, value, self.allowed)
        return value


@dataclass(frozen=True)
class Names:
    """Several names: a sequence, or one text with commas between."""

    allowed: str = "names in a sequence, or in one text with commas between"

    def __call__(self, name: str, value: Any, /) -> tuple[str, ...]:
        if isinstance(value, str):
            return tuple(part for part in value.split(",") if part)
        if not isinstance(value, Iterable):
            raise FieldError(name, value, self.allowed)
        found = tuple(value)
        if not all(isinstance(one, str) for one in found):
            raise FieldError(name, found, self.allowed)
        return found


@dataclass(frozen=True)
class OrNone:
    """What `check` allows, or None."""

    check: Check

    def __call__(self, name: str, value: Any, /) -> Any:
        return None if value is None else self.check(name, value)
