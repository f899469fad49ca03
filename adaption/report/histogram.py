"""The histogram of a quantization point over powers of two, and what its format does to each bin.

Bin k of a histogram counts the values with 2^e <= |x| < 2^(e+1), e = exponent_low + k; zeros are
counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Bin", "Fate", "Limits", "bins_of", "limits_of"]

Fate = Literal["kept", "flushed", "saturated"]

REACH = 10  # octaves drawn beyond a format's limits; what lies farther out is gathered there


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a format ends, as exponents of two."""

    lsb: int  # the LSB is 2^lsb
    flush: int  # below 2^flush a value becomes zero (stochastic rounding: may become)
    top: int  # the greatest value is 2^top - LSB

    def fate(self, exponent: int) -> Fate:
        """What happens to the values of the bin at `exponent`."""
        if exponent >= self.top:
            return "saturated"
        return "flushed" if exponent < self.flush else "kept"


@dataclass(frozen=True, slots=True)
class Bin:
    """Values of one octave: 2^exponent <= |x| < 2^(exponent + 1)."""

    exponent: int
    negative: int
    positive: int
    open_side: Literal["", "below", "above"] = ""  # gathers everything beyond its octave too

    @property
    def count(self) -> int:
        return self.negative + self.positive


def limits_of(tensor: Mapping[str, Any], rounding: str = "half_away") -> Limits | None:
    """The limits of the point's fixed-point format; None when it has none (a float point).

    Rounding to nearest flushes below half an LSB; stochastic rounding may flush below one LSB.
    """
    word_length, frac_length = tensor.get("word_length"), tensor.get("frac_length")
    if word_length is None or frac_length is None:
        return None
    is_signed = not str(tensor.get("q", "")).startswith("u")
    return Limits(
        lsb=-frac_length,
        flush=-frac_length - (rounding != "stochastic"),
        top=word_length - frac_length - is_signed,
    )


def bins_of(tensor: Mapping[str, Any], limits: Limits | None) -> tuple[list[Bin], int]:
    """The bins between the outermost non-empty ones, and the number of zeros.

    Bins more than `REACH` octaves outside the limits are gathered in one: a softmax reaches down
    to 2^-149, and its plot would show nothing else.
    """
    histogram = tensor.get("histogram") or {}
    low = int(histogram.get("exponent_low") or 0)
    negative = [int(n) for n in histogram.get("negative") or []]
    positive = [int(n) for n in histogram.get("positive") or []]
    length = max(len(negative), len(positive))
    negative += [0] * (length - len(negative))
    positive += [0] * (length - len(positive))
    bins = [
        Bin(low + k, n, p) for k, (n, p) in enumerate(zip(negative, positive, strict=True)) if n + p
    ]
    if limits is not None:
        bins = _gathered(bins, limits.flush - REACH, limits.top + REACH)
    return bins, int(histogram.get("zeros") or 0)


def _gathered(bins: list[Bin], lowest: int, highest: int) -> list[Bin]:
    below = [b for b in bins if b.exponent < lowest]
    above = [b for b in bins if b.exponent > highest]
    inside = {b.exponent: b for b in bins if lowest <= b.exponent <= highest}
    for far, edge, side in ((below, lowest, "below"), (above, highest, "above")):
        if far:
            group = [*far, inside[edge]] if edge in inside else far
            inside[edge] = Bin(
                edge,
                sum(b.negative for b in group),
                sum(b.positive for b in group),
                "below" if side == "below" else "above",
            )
    return [inside[exponent] for exponent in sorted(inside)]
