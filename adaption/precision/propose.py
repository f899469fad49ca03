"""Propose Qm.f per layer from a measurement."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from adaption.errors import AdaptionError, FieldError, FileFormatError
from adaption.graph import NetSpec
from adaption.net import Point
from adaption.numerics import FixedPoint
from adaption.precision.measure import Measurement
from adaption.precision.rules import RULES, Choice
from adaption.precision.sidecar import save_rows
from adaption.precision.sites import quantization_sites

__all__ = ["Proposal", "check_bits", "propose"]

FORMAT = "adaption.plan/1"


@dataclass
class Proposal:
    """Formats by Point, with the reason for each.

    `activation` points carry the name of the weight layer; `places` maps it to the layer whose
    top is rounded (itself, or the batch norm, scale or bias behind it).
    """

    net: str
    bits: int
    rule: str
    threshold: float
    rounding: str
    choices: dict[Point, Choice] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    left_float: dict[str, str] = field(default_factory=dict)  # layer -> why its result is float

    @property
    def plan(self) -> Mapping[Point, FixedPoint]:
        """The formats alone."""
        return {point: choice.format for point, choice in self.choices.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write plan.json: one line per point, to be edited by hand if wanted."""
        head = {
            "format": FORMAT,
            "convention": "Qm.f: m counts the sign bit, f the fractional bits",
            "net": self.net,
            "bits": self.bits,
            "rule": self.rule,
            "threshold": self.threshold,
            "rounding": self.rounding,
            "left_float": self.left_float,
        }
        rows = []
        for point, choice in self.choices.items():
            row: dict[str, Any] = {"layer": point.layer, "kind": point.kind}
            if point.kind == "activation":
                row["place"] = self.places[point.layer]
            row |= {"q": str(choice.format), "reason": choice.reason}
            rows.append(row)
        save_rows(path, head, "points", rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote. Raises: FileFormatError or FieldError naming the file."""
        try:
            values = json.loads(Path(path).read_text("utf-8"))
            if values["format"] != FORMAT:
                raise FileFormatError(f"has format {values['format']!r}, allowed: {FORMAT!r}")
            made = cls(
                values["net"],
                values["bits"],
                values["rule"],
                values["threshold"],
                values["rounding"],
                left_float=values["left_float"],
            )
            for row in values["points"]:
                chosen = FixedPoint.q(row["q"], made.rounding)
                made.choices[Point(row["layer"], row["kind"])] = Choice(chosen, row["reason"])
                if "place" in row:
                    made.places[row["layer"]] = row["place"]
            return made
        except AdaptionError as error:
            raise error.at(file=path) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileFormatError(f"is no plan: {error}", "write it with `adaption propose`").at(
                file=path
            ) from None


def check_bits(bits: int) -> int:
    """`bits`, when it is a word length that can be proposed. Raises: FieldError."""
    if not 2 <= bits <= 24:
        raise FieldError(
            "bits",
            bits,
            "2..24 (float32 holds every code up to 24 bits)",
            "16 is ADaPTION's word length; 8 is what int8 hardware takes",
        )
    return bits


def propose(
    spec: NetSpec,
    measurement: Measurement,
    *,
    bits: int = 16,
    rule: str = "adaption",
    threshold: float = 0.0,
    rounding: str = "half_away",
    round_bias: bool = False,
) -> Proposal:
    """Choose a format for every weight layer's weight and result.

    Args:
        spec: the float net that was measured.
        bits: word length of weights and activations, 2..24.
        rule: "adaption" (corrected) or "adaption-legacy" (as the original computes it).
        threshold: share of the non-zero values that may lie beyond the range, 0..1.
        rounding: "half_away" (deterministic) or "stochastic".
        round_bias: also round biases, with the weights' format as ADaPTION does.
    Raises: FieldError on bits, rule or threshold out of range, and on a tensor that the rule
        cannot treat, naming layer and point.
    """
    check_bits(bits)
    if rule not in RULES:
        raise FieldError("rule", rule, ", ".join(RULES))
    if not 0 <= threshold < 1:
        raise FieldError("threshold", threshold, "0 or more, below 1")
    made = Proposal(spec.name, bits, rule, threshold, rounding)

    def choose(point: Point, measured: Point) -> None:
        try:
            choice = RULES[rule](measurement[measured], bits, threshold)
        except AdaptionError as error:
            raise error.at(file=spec.file, layer=f"{measured.layer}:{measured.kind}") from None
        made.choices[point] = choice.with_rounding(rounding)

    for site in quantization_sites(spec):
        name = site.weight.name
        weight = Point(name, "weight")
        choose(weight, weight)
        if round_bias and Point(name, "bias") in measurement.points:
            shared = made.choices[weight]
            made.choices[Point(name, "bias")] = Choice(
                shared.format, "the weights' format, as ADaPTION rounds biases"
            )
        if site.result is None:
            made.left_float[name] = site.why
            continue
        choose(Point(name, "activation"), Point(site.result.name, "activation"))
        made.places[name] = site.result.name
    if not made.choices:
        raise FieldError(
            "net", spec.name, "a net with Convolution, InnerProduct or Deconvolution layers"
        ).at(file=spec.file)
    return made
