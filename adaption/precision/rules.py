"""Rules that choose Qm.f for one tensor from its statistics. Each gives its reason in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType

from adaption.errors import FieldError
from adaption.numerics import FixedPoint
from adaption.precision.statistics import TensorStats

__all__ = ["RULES", "Choice"]


@dataclass(frozen=True)
class Choice:
    """A format and the reason for it."""

    format: FixedPoint
    reason: str

    def with_rounding(self, rounding: str) -> Choice:
        return replace(self, format=replace(self.format, rounding=rounding))


Rule = Callable[[TensorStats, int, float], Choice]


def adaption(stats: TensorStats, bits: int, threshold: float) -> Choice:
    """ADaPTION's rule, corrected: max-abs, and a threshold that holds what it promises.

    The least m whose range leaves at most `threshold` of the non-zero values beyond it, m >= 1
    (the sign bit); f = bits - m. f comes out negative for values beyond 2^(bits - 1).
    Source: specs 6.2 of the ADaPTION re-creation.
    """
    _require_finite(stats)
    live = max(1, stats.count - stats.zeros)
    m = 1
    # A value between the greatest code and 2^(m-1) loses less than one LSB: it is within.
    while stats.reaching(m - 1) > threshold * live:
        m += 1
    beyond = stats.reaching(m - 1)
    reason = f"max-abs {stats.max_abs:.6g} needs m = {m}"
    if threshold:
        reason += f", leaving {beyond / live:.3%} of the non-zero values beyond"
    return Choice(FixedPoint(bits, bits - m), reason)


def adaption_legacy(stats: TensorStats, bits: int, threshold: float) -> Choice:
    """The original's get_qmf (python/caffe/quantization/qmf_check.py), bit for bit.

    It looks at the greatest value, not the greatest magnitude, and with a threshold it goes on
    until more than the threshold is cut. m of the original excludes the sign bit.
    """
    _require_finite(stats)
    if stats.above is None:
        raise FieldError("rule", "adaption-legacy", "a measurement made for it (legacy_rule=True)")
    m = 0
    while m < bits and stats.maximum > 2.0**m:
        m += 1
    cut = 0.0
    while cut < threshold:
        cut = stats.above[m] / max(1, stats.count)
        if m < 2:
            break
        m -= 1
    reason = f"max {stats.maximum:.6g} (of signed values) gives m = {m} without the sign"
    return Choice(FixedPoint(bits, bits - m - 1), reason)


def _require_finite(stats: TensorStats) -> None:
    if not stats.is_finite or math.isnan(stats.total):
        raise FieldError(
            "values",
            "NaN or infinite",
            "finite numbers",
            "check the weights and the preprocessing: the float net itself overflows",
        )


RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {"adaption": adaption, "adaption-legacy": adaption_legacy}
)
"""Rules by name: (statistics, word length in bits, threshold as a share 0..1) -> Choice."""
