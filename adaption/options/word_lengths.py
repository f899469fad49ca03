"""Word lengths: one for all points, one per kind of point, or one per layer or pattern of names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from adaption.errors import FieldError

__all__ = ["Bits", "WordLengths"]

Bits = int | str | Sequence[int | str]

DEFAULT = 16  # ADaPTION's word length
_KINDS = ("weight", "bias", "activation")


class Place(Protocol):
    """What is given a word length: a net.Point."""

    @property
    def layer(self) -> str: ...
    @property
    def kind(self) -> str: ...


@dataclass(frozen=True)
class Override:
    """A word length for the points of one kind (None: of all) in the layers that match."""

    pattern: str
    kind: str | None
    bits: int

    def fits(self, point: Place) -> bool:
        is_kind = self.kind is None or self.kind == point.kind
        return is_kind and fnmatchcase(point.layer, self.pattern)

    def __str__(self) -> str:
        if self.kind is None:
            return f"{self.pattern}={self.bits}"
        where = "" if self.pattern == "*" else f"{self.pattern}:"
        return f"{where}{self.kind}={self.bits}"


@dataclass(frozen=True)
class WordLengths:
    """Word lengths by point; of several overrides that fit, the last one counts."""

    bits: int = DEFAULT
    overrides: tuple[Override, ...] = ()

    @classmethod
    def parse(cls, given: Bits) -> WordLengths:
        """The word lengths that `given` describes.

        Args:
            given: 8, or several of "8" (all points), "activation=16" (a kind), "conv1*=12" (all
                points of the layers whose name matches) and "conv1*:weight=6".
        Raises: FieldError.
        """
        if isinstance(given, str) or not isinstance(given, Iterable):
            given = [given]
        bits, overrides = DEFAULT, []
        for item in given:
            name, sign, length = str(item).rpartition("=")
            if not sign:
                bits = _checked(_number(item, item))
                continue
            pattern, _, kind = name.rpartition(":")
            if not pattern and name in _KINDS:
                pattern, kind = "*", name
            elif kind not in _KINDS:
                pattern, kind = name, ""
            if not pattern:
                raise _wrong(item)
            overrides.append(Override(pattern, kind or None, _checked(_number(length, item))))
        return cls(bits, tuple(overrides))

    def of(self, point: Place) -> int:
        """Word length of a point."""
        for override in reversed(self.overrides):
            if override.fits(point):
                return override.bits
        return self.bits

    @property
    def given(self) -> Bits:
        """What `parse` makes these of, in its shortest form."""
        return (self.bits, *map(str, self.overrides)) if self.overrides else self.bits

    @property
    def rounds_biases(self) -> bool:
        """True when biases are given a word length of their own."""
        return any(o.kind == "bias" for o in self.overrides)

    def check_used(self, points: Iterable[Place]) -> None:
        """Raise FieldError when an override fits none of the points: a misspelt layer."""
        known = list(points)
        for override in self.overrides:
            if not any(override.fits(p) for p in known):
                names = list(dict.fromkeys(p.layer for p in known))
                near = difflib.get_close_matches(override.pattern, names, 1)
                raise FieldError(
                    "bits",
                    str(override),
                    f"patterns of the layers {', '.join(names)}",
                    f"did you mean {near[0]!r}?" if near else "",
                )

    def __str__(self) -> str:
        return ", ".join([str(self.bits), *map(str, self.overrides)])


def _checked(bits: int) -> int:
    """`bits`, when it is a word length that can be proposed. Raises: FieldError."""
    if not 2 <= bits <= 24:
        raise FieldError(
            "bits",
            bits,
            "2..24 (float32 holds every code up to 24 bits)",
            "16 is ADaPTION's word length; 8 is what int8 hardware takes",
        )
    return bits


def _number(text: object, item: object) -> int:
    try:
        return int(str(text))
    except ValueError:
        raise _wrong(item) from None


def _wrong(item: object) -> FieldError:
    return FieldError(
        "bits",
        item,
        "a word length, KIND=LENGTH, PATTERN=LENGTH or PATTERN:KIND=LENGTH",
        "write 8, activation=16, conv1*=12 or conv1*:weight=6 (kinds: weight, bias, activation)",
    )
