"""Proposal: formats by Point with the reason for each; plan.json is its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from adaption.errors import FieldError
from adaption.io.entries import Entries
from adaption.net import Point
from adaption.net.plan import KINDS
from adaption.numerics import FixedPoint
from adaption.numerics.formats.base import RANGES
from adaption.numerics.rounding import ROUNDINGS
from adaption.precision.row_files import load_rows, save_rows
from adaption.precision.rules import Choice

if TYPE_CHECKING:
    from adaption.options import Formats

__all__ = ["Proposal"]

FORMAT = "adaption.plan/1"
GIVEN = "given"  # the rule of formats that no rule chose
ONCE_GIVEN = ("uniform",)  # what it was called before
FOR_TRAINING = ("mask_saturated", "backward_weights")  # fields of Formats for training only
MOST = 1 << 62


@dataclass
class Proposal:
    """Formats by Point, with the reason for each.

    `activation` points carry the name of the weight layer; `places` maps it to the layer whose
    top is rounded (itself, or the batch norm, scale, bias, activation function or pooling behind
    it).
    """

    net: str
    formats: Formats | None = None  # what the formats were chosen by; None: they were given
    choices: dict[Point, Choice] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    left_float: dict[str, str] = field(default_factory=dict)  # layer -> why its result is float
    preprocessing: Mapping[str, Any] | None = None  # of the measurement; None: not known
    samples: int = 0  # that were measured
    for_training: frozenset[str] = frozenset()  # of given formats: which of FOR_TRAINING are on

    @property
    def plan(self) -> Mapping[Point, FixedPoint]:
        """The formats alone."""
        return {point: choice.format for point, choice in self.choices.items()}

    def masked(self) -> Self:
        """The proposal with formats that hand no gradient to what saturates."""
        choices = {
            point: replace(choice, format=replace(choice.format, mask_saturated=True))
            for point, choice in self.choices.items()
        }
        return replace(self, choices=choices)

    @property
    def stated(self) -> Mapping[Point, FixedPoint]:
        """The formats as a prototxt is to state them, masked where the choices ask for it."""
        return self.masked().plan if self._asks("mask_saturated") else self.plan

    @property
    def backward_weights(self) -> str | None:
        """What a prototxt is to state as backward_weights: "QUANTIZED", or None for nothing."""
        return "QUANTIZED" if self._asks("backward_weights") else None

    def _asks(self, name: str) -> bool:
        """Whether one of FOR_TRAINING is on."""
        if self.formats is None:
            return name in self.for_training
        return bool(getattr(self.formats, name))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write plan.json: one line per point, to be edited by hand if wanted."""
        save_rows(path, self.head(), "points", self.rows())

    def head(self) -> dict[str, Any]:
        """What the file says before its points."""
        return {
            "format": FORMAT,
            "convention": "Qm.f: m counts the sign bit, f the fractional bits; uQm.f has no sign",
            "net": self.net,
            **self._recorded(),
            "samples": self.samples,
            "preprocessing": None if self.preprocessing is None else dict(self.preprocessing),
            "left_float": self.left_float,
        }

    def _recorded(self) -> dict[str, Any]:
        """What the file says of the choices behind the formats."""
        from adaption.options import Formats

        if self.formats is not None:
            return self.formats.to_dict()
        longest = max((fmt.word_length for fmt in self.plan.values()), default=0)
        recorded = {**Formats().to_dict(), "bits": longest, "lengths": str(longest), "rule": GIVEN}
        return recorded | dict.fromkeys(sorted(self.for_training), True)

    def rows(self) -> list[dict[str, Any]]:
        """One entry per point: layer, kind, q, reason, and what was measured of it."""
        rows = []
        rounding = self._recorded()["rounding"]
        for point, choice in self.choices.items():
            row: dict[str, Any] = {"layer": point.layer, "kind": point.kind}
            if point.kind == "activation":
                row["place"] = self.places[point.layer]
            row["q"] = str(choice.format)
            for name in ("rounding", "range"):
                if getattr(choice.format, name) != _DEFAULTS.get(name, rounding):
                    row[name] = getattr(choice.format, name)
            row["reason"] = choice.reason
            if choice.range is not None:
                row["min"], row["max"] = choice.range
            if choice.effect is not None:
                row |= choice.effect.to_dict()
            rows.append(row)
        return rows

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, or a file with as much of it as a plan needs.

        A row needs layer, kind and q, and of an activation the place; `reason` and what was
        measured may be left out. Raises: FileFormatError or FieldError naming the file.
        """
        return load_rows(path, (FORMAT,), "plan", "propose", cls._from_values)

    @classmethod
    def _from_values(cls, values: Entries) -> Self:
        from adaption.options import Formats

        has = values.optional
        were_given = values.text("rule") in (GIVEN, *ONCE_GIVEN)
        made = cls(
            values.text("net"),
            None if were_given else Formats.from_dict(values.values),
            left_float=values.texts("left_float"),
            preprocessing=values.plain("preprocessing") if has("preprocessing") else None,
            samples=values.whole("samples", 0, MOST, 0),
            for_training=frozenset(
                name for name in FOR_TRAINING if were_given and values.flag(name, False)
            ),
        )
        rounding = values.text("rounding", allowed=ROUNDINGS)
        for row in values.rows("points"):
            point = Point(row.text("layer"), row.text("kind", allowed=KINDS))
            made.choices[point] = _choice(row, rounding)
            if point.kind == "activation":
                made.places[point.layer] = row.text("place")
        return made


_Q = "Qm.f of 1 to 64 bits in all, such as Q2.14; f from -126 to 126"
_DEFAULTS = {"range": "symmetric"}


def _choice(row: Entries, rounding: str) -> Choice:
    own = row.text("rounding", rounding, allowed=ROUNDINGS)
    try:
        fmt = FixedPoint.q(row.text("q"), own, row.text("range", "symmetric", allowed=RANGES))
    except FieldError as error:
        raise error if error.field.startswith(row.place) else row.misfit("q", _Q) from None
    effect = None
    if "saturated" in row:
        from adaption.precision.effects import Effect

        saturated, flushed = (row.number(name, low=0, high=1) for name in ("saturated", "flushed"))
        sqnr = row.number("sqnr_db") if row.optional("sqnr_db") else float("inf")
        effect = Effect(saturated, flushed, sqnr)
    spread = None
    if row.optional("min") and row.optional("max"):
        spread = (row.number("min"), row.number("max"))
    return Choice(fmt, row.text("reason", "by hand"), effect, spread)
