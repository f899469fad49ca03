"""Proposal: formats by Point with the reason for each; plan.json is its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from adaption.errors import FieldError
from adaption.io.entries import Entries
from adaption.net import Point
from adaption.net.plan import KINDS
from adaption.numerics import FixedPoint
from adaption.numerics.formats import RANGES
from adaption.numerics.rounding import ROUNDINGS
from adaption.precision.effects import Effect
from adaption.precision.rules import Choice
from adaption.precision.sidecar import load_rows, save_rows

__all__ = ["Proposal"]

FORMAT = "adaption.plan/1"
MOST = 1 << 62


@dataclass
class Proposal:
    """Formats by Point, with the reason for each.

    `activation` points carry the name of the weight layer; `places` maps it to the layer whose
    top is rounded (itself, or the batch norm, scale, bias, activation function or pooling behind
    it).
    """

    net: str
    bits: int
    rule: str
    threshold: float
    rounding: str
    choices: dict[Point, Choice] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    left_float: dict[str, str] = field(default_factory=dict)  # layer -> why its result is float
    lengths: str = ""  # all word lengths in words, when there are several
    percentile: float | None = None
    lpact: str = "before-relu"
    same_format: str | None = None  # what all bottoms of a Concat have, on request
    preprocessing: Mapping[str, Any] | None = None  # of the measurement; None: not known
    samples: int = 0  # that were measured

    @property
    def plan(self) -> Mapping[Point, FixedPoint]:
        """The formats alone."""
        return {point: choice.format for point, choice in self.choices.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write plan.json: one line per point, to be edited by hand if wanted."""
        save_rows(path, self.head(), "points", self.rows())

    def head(self) -> dict[str, Any]:
        """What the file says before its points."""
        return {
            "format": FORMAT,
            "convention": "Qm.f: m counts the sign bit, f the fractional bits; uQm.f has no sign",
            "net": self.net,
            "bits": self.bits,
            "lengths": self.lengths or str(self.bits),
            "rule": self.rule,
            "threshold": self.threshold,
            "percentile": self.percentile,
            "rounding": self.rounding,
            "lpact": self.lpact,
            "same_format": self.same_format,
            "samples": self.samples,
            "preprocessing": None if self.preprocessing is None else dict(self.preprocessing),
            "left_float": self.left_float,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One entry per point: layer, kind, q, reason, and what was measured of it."""
        rows = []
        for point, choice in self.choices.items():
            row: dict[str, Any] = {"layer": point.layer, "kind": point.kind}
            if point.kind == "activation":
                row["place"] = self.places[point.layer]
            row["q"] = str(choice.format)
            for name in ("rounding", "range"):
                if getattr(choice.format, name) != _DEFAULTS.get(name, self.rounding):
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
        has = values.optional
        made = cls(
            values.text("net"),
            values.whole("bits", 1, 64),
            values.text("rule"),
            values.number("threshold", low=0, high=1),
            values.text("rounding", allowed=ROUNDINGS),
            left_float=values.texts("left_float"),
            lengths=values.text("lengths", ""),
            percentile=values.number("percentile", low=0, high=100) if has("percentile") else None,
            lpact=values.text("lpact", cls.lpact),
            same_format=values.text("same_format") if has("same_format") else None,
            preprocessing=values.plain("preprocessing") if has("preprocessing") else None,
            samples=values.whole("samples", 0, MOST, 0),
        )
        for row in values.rows("points"):
            point = Point(row.text("layer"), row.text("kind", allowed=KINDS))
            made.choices[point] = _choice(row, made.rounding)
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
        saturated, flushed = (row.number(name, low=0, high=1) for name in ("saturated", "flushed"))
        sqnr = row.number("sqnr_db") if row.optional("sqnr_db") else float("inf")
        effect = Effect(saturated, flushed, sqnr)
    spread = None
    if row.optional("min") and row.optional("max"):
        spread = (row.number("min"), row.number("max"))
    return Choice(fmt, row.text("reason", "by hand"), effect, spread)
