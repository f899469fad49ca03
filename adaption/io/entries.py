"""The entries of a JSON object that somebody may have edited: each is checked where it is taken.

A value of another type is then an error that names the entry, what stands there and what is
allowed, and never an exception somewhere behind.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from adaption.errors import FieldError

__all__ = ["Entries"]

_LONGEST = 60  # characters of a value shown in a message


class Entries:
    """A JSON object; `place` says where it stands, as in `points[3].`.

    Every method raises KeyError when the entry is missing and no `default` is given, and FieldError
    when its value is not of the kind asked for. A default is returned as it is.
    """

    def __init__(self, values: object, place: str = "") -> None:
        if not isinstance(values, Mapping):
            raise _misfit(place.rstrip(".") or "the file", values, "an object { ... }")
        self.values: Mapping[str, Any] = values
        self.place = place

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, *default: Any, allowed: Collection[str] | None = None) -> Any:
        """A string; one of `allowed`."""
        value = self._value(name, *default)
        if default and name not in self.values:
            return value
        if not isinstance(value, str) or (allowed is not None and value not in allowed):
            raise self.misfit(name, "text" if allowed is None else ", ".join(allowed))
        return value

    def whole(self, name: str, low: int, high: int, *default: Any) -> Any:
        """An integer from `low` to `high`."""
        value = self._value(name, *default)
        if default and name not in self.values:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.misfit(name, f"a whole number from {low} to {high}")
        return value

    def number(
        self, name: str, *default: Any, low: float = -math.inf, high: float = math.inf
    ) -> Any:
        """A number as float, within `low` and `high`; finite when both are."""
        value = self._value(name, *default)
        if default and name not in self.values:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.misfit(name, "a number")
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        bounded = math.isfinite(low) or math.isfinite(high)
        if bounded and not low <= found <= high:
            raise self.misfit(name, f"a number from {low:g} to {high:g}")
        return found

    def flag(self, name: str, *default: Any) -> Any:
        """true or false."""
        value = self._value(name, *default)
        if default and name not in self.values:
            return value
        if not isinstance(value, bool):
            raise self.misfit(name, "true or false")
        return value

    def optional(self, name: str) -> bool:
        """Whether the entry is there and not null."""
        return self.values.get(name) is not None

    def object(self, name: str) -> Entries:
        """An object within."""
        return Entries(self._value(name), f"{self.place}{name}.")

    def texts(self, name: str) -> dict[str, str]:
        """An object of strings."""
        inner = self.object(name)
        return {key: inner.text(key) for key in inner.values}

    def rows(self, name: str) -> Iterator[Entries]:
        """A list of objects."""
        for i, value in enumerate(self.items(name)):
            yield Entries(value, f"{self.place}{name}[{i}].")

    def items(self, name: str) -> list[Any]:
        """A list of anything."""
        value = self._value(name)
        if not isinstance(value, list):
            raise self.misfit(name, "a list [ ... ]")
        return value

    def wholes(self, name: str, low: int, high: int) -> list[int]:
        """A list of integers from `low` to `high`."""
        for i, value in enumerate(self.items(name)):
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                allowed = f"a whole number from {low} to {high}"
                raise _misfit(f"{self.place}{name}[{i}]", value, allowed)
        return self.items(name)

    def text_list(self, name: str, *, or_null: bool = False) -> tuple[Any, ...]:
        """A list of strings, or of strings and null."""
        for i, value in enumerate(self.items(name)):
            if not isinstance(value, str) and not (or_null and value is None):
                raise _misfit(f"{self.place}{name}[{i}]", value, "text")
        return tuple(self.items(name))

    def plain(self, name: str) -> dict[str, Any]:
        """An object of strings, numbers, true, false, null, and lists of them."""
        return self.object(name).plain_values()

    def plain_values(self) -> dict[str, Any]:
        """All of this object: strings, numbers, true, false, null, and lists of them."""
        for key, value in self.values.items():
            for one in value if isinstance(value, list) else [value]:
                if not (one is None or isinstance(one, str | int | float)):
                    raise self.misfit(key, "text, a number, or a list of them")
        return dict(self.values)

    def misfit(self, name: str, allowed: str) -> FieldError:
        """The error for an entry's value."""
        return _misfit(f"{self.place}{name}", self.values.get(name), allowed)

    def _value(self, name: str, *default: Any) -> Any:
        if name in self.values:
            return self.values[name]
        if default:
            return default[0]
        raise KeyError(f"{self.place}{name}")


def _misfit(name: str, value: object, allowed: str) -> FieldError:
    shown = "null" if value is None else repr(value)
    if len(shown) > _LONGEST:
        shown = shown[: _LONGEST - 3] + "..."
    return FieldError(name, _Shown(shown), allowed)


class _Shown:
    """Text that FieldError shows as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text
