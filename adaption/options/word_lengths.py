"""Word lengths: one for all points, one per kind of point, or one per layer or pattern of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from adaption.errors import FieldError
from adaption.nearest import nearest_name

__all__ = ["Bits", "WordLengths"]

Bits = int | str | Sequence[int | str]

DEFAULT = 16  # ADaPTION's word length
FLOAT = "float"  # in place of a length: not rounded
_KINDS = ("weight", "bias", "activation")


class Place(Protocol):
    """What is given a word length: a net.Point."""

    @property
    def layer(self) -> str: ...
    @property
    def kind(self) -> str: ...


@dataclass(frozen=True)
class Override:
    """A word length for the points of one kind (None: of all) in the layers that match.

    bits: None leaves them in float.
    """

    pattern: str
    kind: str | None
    bits: int | None

    def fits(self, point: Place) -> bool:
        is_kind = self.kind is None or self.kind == point.kind
        return is_kind and fnmatchcase(point.layer, self.pattern)

    def __str__(self) -> str:
        length = FLOAT if self.bits is None else self.bits
        if self.kind is None:
            return f"{self.pattern}={length}"
        where = "" if self.pattern == "*" else f"{self.pattern}:"
        return f"{where}{self.kind}={length}"


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
                points of the layers whose name matches) and "conv1*:weight=6"; "float" in place
                of a length leaves points in float.
        Raises: FieldError.
        """
        if isinstance(given, str) or not isinstance(given, Iterable):
            given = [given]
        bits, overrides = DEFAULT, []
        for item in given:
            name, sign, length = str(item).rpartition("=")
            if not sign:
                if item == FLOAT:
                    raise _wrong(item)
                bits = _checked(_number(item, item))
                continue
            pattern, _, kind = name.rpartition(":")
            if not pattern and name in _KINDS:
                pattern, kind = "*", name
            elif kind not in _KINDS:
                pattern, kind = name, ""
            if not pattern:
                raise _wrong(item)
            own = None if length == FLOAT else _checked(_number(length, item))
            overrides.append(Override(pattern, kind or None, own))
        return cls(bits, tuple(overrides))

    def of(self, point: Place) -> int | None:
        """Word length of a point; None where it stays float."""
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
        return any(o.kind == "bias" and o.bits is not None for o in self.overrides)

    @property
    def leaves_float(self) -> bool:
        """True when points are to stay in float."""
        return any(o.bits is None for o in self.overrides)

    def check_used(self, points: Iterable[Place], why_float: Mapping[str, str] = {}) -> None:
        """Raise FieldError when an override fits none of the points: a misspelt layer.

        Args:
            points: those that are rounded, and those that are left in float on request.
            why_float: by layer, why its result is left in float all the same.
        """
        known = list(points)
        for override in self.overrides:
            if not any(override.fits(p) for p in known):
                layer = next((n for n in why_float if fnmatchcase(n, override.pattern)), None)
                if layer is not None:
                    raise FieldError(
                        "bits",
                        str(override),
                        f'points that are rounded: of layer "{layer}" {why_float[layer]}',
                        "leave it out",
                    )
                names = tuple(dict.fromkeys(p.layer for p in known))
                near = nearest_name(override.pattern, names)
                raise FieldError(
                    "bits",
                    str(override),
                    f"patterns of the layers {', '.join(names)}",
                    f"did you mean {near!r}?" if near else "",
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
        "write 8, activation=16, conv1*=12, conv1*:weight=6 or conv1=float (kinds: weight, bias,"
        " activation)",
    )
