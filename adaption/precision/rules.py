"""Rules that choose Qm.f for one tensor from its statistics. Each gives its reason in words.

A rule is a function with `@rule("name")`: from the statistics and the settings to the number of
integer bits, sign bit not counted, and the reason. It may be negative: then the greatest value is
below one half, and frac_length exceeds the word length. All are deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from adaption.errors import FieldError
from adaption.numerics import FixedPoint
from adaption.options import RULE_NAMES, Formats

if TYPE_CHECKING:
    from adaption.precision.effects import Effect
    from adaption.precision.statistics import TensorStats

__all__ = ["RULES", "Choice", "Settings", "choose", "judged", "rule"]

_LEAST = -100  # integer bits: all frac_lengths up to 24 bits wide stay within float32's exponents


@dataclass(frozen=True)
class Settings:
    """What a rule is asked for: word length and rounding of the tensor, and the user's choices."""

    bits: int = 16  # word length, sign included
    rounding: str = "half_away"
    formats: Formats = Formats()

    def format(self, integer_bits: int, is_signed: bool = True) -> FixedPoint:
        """The format with so many bits left of the point, the sign bit not counted."""
        frac_length = self.bits - is_signed - integer_bits
        return FixedPoint(self.bits, frac_length, self.rounding, is_signed)

    def is_signed(self, stats: TensorStats) -> bool:
        """Whether the format of a tensor has a sign bit."""
        return not (self.formats.unsigned and stats.is_never_negative)


@dataclass(frozen=True)
class Choice:
    """A format, the reason for it, and what it does to the values measured (if they were)."""

    format: FixedPoint
    reason: str
    effect: Effect | None = None
    range: tuple[float, float] | None = None  # least and greatest value measured


Rule: TypeAlias = "Callable[[TensorStats, Settings], tuple[int, str]]"
_RULES: dict[str, Rule] = {}
RULES: Mapping[str, Rule] = MappingProxyType(_RULES)
"""Rules by name."""


def rule(name: str) -> Callable[[Rule], Rule]:
    """Register a rule under a name that no other has."""

    def register(made: Rule) -> Rule:
        if name in _RULES:
            raise FieldError("rule", name, "a name that is not taken")
        _RULES[name] = made
        if name not in RULE_NAMES:
            RULE_NAMES.append(name)
        return made

    return register


def choose(name: str, stats: TensorStats, settings: Settings) -> Choice:
    """The format that the rule `name` gives a tensor.

    Raises: FieldError on an unknown rule, on values that are not finite, and where the statistics
        lack what the rule looks at.
    """
    found = RULES.get(name)
    if found is None:
        raise FieldError("rule", name, ", ".join(RULES))
    require_finite(stats)
    integer_bits, reason = found(stats, settings)
    is_signed = True
    if stats.is_never_negative and name != "adaption-legacy":
        is_signed = settings.is_signed(stats)
        reason += ", never negative: " + ("the sign bit is unused" if is_signed else "unsigned")
    fmt = settings.format(max(integer_bits, _LEAST), is_signed)
    return judged(stats, fmt, reason)


def judged(stats: TensorStats, fmt: FixedPoint, reason: str) -> Choice:
    """A format chosen otherwise than by a rule, with what it does to the values measured."""
    from adaption.precision.effects import effect_of

    spread = (stats.minimum, stats.maximum) if stats.count else None
    return Choice(fmt, reason, effect_of(stats, fmt), spread)


@rule("adaption")
def adaption(stats: TensorStats, settings: Settings) -> tuple[int, str]:
    """ADaPTION's rule, corrected: max-abs, and a threshold that holds what it promises.

    The least m whose range leaves at most `threshold` of the non-zero values beyond it, m >= 1
    (the sign bit). Source: specification 6.2 of the ADaPTION re-creation.
    """
    # A value between the greatest code and 2^(m-1) loses less than one LSB: it is within.
    threshold = settings.formats.threshold
    if not threshold:
        m = max(1, _exponent_above(stats.max_abs) + 1)
        return m - 1, f"max-abs {stats.max_abs:.6g} needs m = {m}"
    live = max(1, stats.count - stats.zeros)
    m = 1
    while stats.reaching(m - 1) > threshold * live:
        m += 1
    share = stats.reaching(m - 1) / live
    return m - 1, (
        f"max-abs {stats.max_abs:.6g} needs m = {m}, leaving {share:.3%} of the non-zero values"
        " beyond"
    )


@rule("adaption-legacy")
def adaption_legacy(stats: TensorStats, settings: Settings) -> tuple[int, str]:
    """The original's get_qmf (python/caffe/quantization/qmf_check.py), bit for bit.

    It looks at the greatest value, not the greatest magnitude, and with a threshold it goes on
    until more than the threshold is cut. m of the original excludes the sign bit.
    """
    m = 0
    while m < settings.bits and stats.maximum > 2.0**m:
        m += 1
    cut = 0.0
    while cut < settings.formats.threshold:
        if stats.above is None:
            raise FieldError(
                "rule",
                "adaption-legacy",
                "with a threshold, a measurement made for it (legacy_rule=True, --legacy)",
            )
        cut = stats.above[m] / max(1, stats.count)
        if m < 2:
            break
        m -= 1
    return m, f"max {stats.maximum:.6g} (of signed values) gives m = {m} without the sign"


@rule("max")
def greatest(stats: TensorStats, settings: Settings) -> tuple[int, str]:
    """The least power of two that is not below max-abs; a small tensor gets more bits of fraction.

    The greatest value itself may saturate by one LSB, when it is a power of two. Source: the
    power-of-two formats of CMSIS-NN's published nets (int_bits = ceil(log2(max-abs))).
    """
    integer_bits = _exponent_not_below(stats.max_abs)
    reason = f"max-abs {stats.max_abs:.6g} <= 2^{integer_bits}"
    is_signed = settings.is_signed(stats)
    fmt = settings.format(max(integer_bits, _LEAST), is_signed)
    if stats.maximum > fmt.max_value or stats.minimum < fmt.min_value:
        reason += f", which saturates it to {fmt.max_value:.6g}"
    return integer_bits, reason


@rule("percentile")
def percentile(stats: TensorStats, settings: Settings) -> tuple[int, str]:
    """As `max`, for the given percentile of the non-zero magnitudes; what is greater saturates."""
    percent = settings.formats.percentile
    value = stats.percentile(percent)
    integer_bits = _exponent_not_below(value)
    return integer_bits, (
        f"{percent:g} % of the non-zero magnitudes are up to {value:.6g} <= 2^{integer_bits}"
    )


@rule("sqnr")
def best_sqnr(stats: TensorStats, settings: Settings) -> tuple[int, str]:
    """The frac_length with the greatest SQNR, as the histogram tells it; the wider range on a tie.

    It weighs what saturates against what is too fine for the step.
    """
    from adaption.precision.effects import effect_of

    top = _exponent_not_below(stats.max_abs)
    is_signed = settings.is_signed(stats)

    def format_of(integer_bits: int) -> FixedPoint:
        return settings.format(max(integer_bits, _LEAST), is_signed)

    def sqnr_db(integer_bits: int) -> float:
        return effect_of(stats, format_of(integer_bits)).sqnr_db

    # Of formats up to 2^top a max-abs of 2^top is one step too far: the one above is tried, too.
    # 16 octaves below, nothing but the smallest values would be left of any tensor.
    best = max((top, top + 1, *range(top - 1, top - 16, -1)), key=sqnr_db)
    gain = sqnr_db(best) - sqnr_db(top)
    reason = f"2^{best} has the best SQNR"
    if best < top:
        return best, f"{reason}, {gain:.1f} dB more than up to max-abs {stats.max_abs:.6g}"
    return best, f"{reason}{_reach(stats, format_of(best))}"


def _reach(stats: TensorStats, fmt: FixedPoint) -> str:
    """Whether the outermost values are within a format, in words."""
    if stats.maximum > fmt.max_value or stats.minimum < fmt.min_value:
        return f" and saturates max-abs {stats.max_abs:.6g} to {fmt.max_value:.6g}"
    return f" and covers max-abs {stats.max_abs:.6g}"


@rule("error")
def least_error(stats: TensorStats, settings: Settings) -> tuple[int, str]:
    """The least error against the float net, which depends on more than one tensor: statistics
    alone give what sqnr gives. precision.refining goes on from there."""
    return best_sqnr(stats, settings)


def _exponent_above(value: float) -> int:
    """The least e with value < 2^e; 0 for 0."""
    return math.frexp(value)[1] if value else 0


def _exponent_not_below(value: float) -> int:
    """The least e with value <= 2^e; 0 for 0."""
    if not value:
        return 0
    mantissa, exponent = math.frexp(value)
    return exponent - (mantissa == 0.5)


def require_finite(stats: TensorStats) -> None:
    if not stats.is_finite or math.isnan(stats.total):
        raise FieldError(
            "values",
            "NaN or infinite",
            "finite numbers",
            "check the weights and the preprocessing: the float net itself overflows",
        )
