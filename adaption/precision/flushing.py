"""What short weights lose to zero under a rule, and which rules leave more of them.

At few bits a rule that keeps the greatest value in range takes steps so wide that most weights
round to zero; rules that let a few values saturate keep more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from adaption.graph import NetSpec
from adaption.net import Point
from adaption.numerics.measures import stated_db
from adaption.options import Formats
from adaption.precision.measure import Measurement
from adaption.precision.proposal import Proposal
from adaption.precision.propose import PathLike, as_spec, propose

__all__ = ["FEW_BITS", "Flushing", "flushing"]

FEW_BITS = 4  # from here on down, flushed weights are what a rule is judged by
RULES = ("sqnr", "percentile", "max", "adaption")  # tried beside the rule that was taken


@dataclass(frozen=True)
class Flushed:
    """What a rule does to the short weights of a net.

    share: of their non-zero values, 0..1, those that become zero. sqnr_db: mean over the layers;
    None where nothing is lost.
    """

    rule: str
    share: float
    sqnr_db: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"rule": self.rule, "flushed": self.share, "sqnr_db": self.sqnr_db}


@dataclass(frozen=True)
class Flushing:
    """Flushed shares of the weights of FEW_BITS bits or fewer.

    layers: whose weights are so short. better: of other rules, those that flush fewer weights at a
    greater SQNR, the best SQNR first.
    """

    layers: tuple[str, ...]
    chosen: Flushed
    better: tuple[Flushed, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "bits": FEW_BITS,
            "layers": list(self.layers),
            **self.chosen.to_dict(),
            "better": [{"flag": f"--rule {one.rule}", **one.to_dict()} for one in self.better],
        }


def flushing(
    net: NetSpec | PathLike, measurement: Measurement | PathLike, made: Proposal
) -> Flushing | None:
    """Judge a proposal's short weights, and try other rules on the same measurement.

    Args:
        net, measurement: as of `propose`.
        made: what it returned for them.
    Returns: None where no weight has FEW_BITS bits or fewer.
    """
    assert made.formats is not None, "a plan by hand has no rule"
    points = [
        point
        for point, choice in made.choices.items()
        if point.kind == "weight" and choice.format.word_length <= FEW_BITS
    ]
    if not points:
        return None
    if not isinstance(measurement, Measurement):
        measurement = Measurement.load(measurement)
    spec, formats = as_spec(net), made.formats
    chosen = _flushed(formats.rule, made, measurement, points)
    others = [
        _flushed(rule, propose(spec, measurement, formats=other), measurement, points)
        for rule, other in ((rule, _with_rule(formats, rule)) for rule in RULES)
        if rule != formats.rule
    ]
    better = [
        one for one in others if one.share < chosen.share and _db(one.sqnr_db) > _db(chosen.sqnr_db)
    ]
    better.sort(key=lambda one: _db(one.sqnr_db), reverse=True)
    return Flushing(tuple(point.layer for point in points), chosen, tuple(better))


def _with_rule(formats: Formats, rule: str) -> Formats:
    return replace(formats, rule=rule, original_semantics=False)


def _flushed(
    rule: str, made: Proposal, measurement: Measurement, points: Sequence[Point]
) -> Flushed:
    flushed = values = 0.0
    sqnr = []
    for point in points:
        stats, effect = measurement[point], made.choices[point].effect
        assert effect is not None, "a rule states what its formats do"
        flushed += effect.flushed * stats.count
        values += stats.count - stats.zeros
        sqnr.append(effect.sqnr_db)
    finite = [db for db in sqnr if not math.isinf(db)]
    mean = sum(finite) / len(finite) if finite else math.inf
    return Flushed(rule, min(1.0, flushed / values) if values else 0.0, stated_db(mean))


def _db(stated: float | None) -> float:
    return math.inf if stated is None else stated
