"""The format of a result: the one whose rounded values come closest to those of the float net."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from adaption.numerics import FixedPoint
from adaption.precision.effects import effect_of
from adaption.precision.refining.columns import spread_over
from adaption.precision.statistics import TensorStats

__all__ = [
    "ResultErrors",
    "best_range",
    "errors_of",
    "estimated",
    "exponent",
    "of_range",
    "ranges",
]

MOST_VALUES = 1 << 18  # that a result is judged by
OCTAVES = 6  # ranges that are tried, from max-abs on


@dataclass(frozen=True)
class ResultErrors:
    """Mean squared error by range (bits left of the point, sign not counted); number of values."""

    by_range: Mapping[int, float]
    values: float


def exponent(peak: float) -> int:
    """The least e with peak <= 2^e; 0 for 0."""
    mantissa, found = math.frexp(peak) if peak else (0.0, 0)
    return found - (mantissa == 0.5)


def ranges(peak: float) -> range:
    """Ranges to try for values up to `peak`, the widest first."""
    return range(exponent(peak), exponent(peak) - OCTAVES, -1)


def of_range(like: FixedPoint, bits: int) -> FixedPoint:
    """The format like `like` with so many bits left of the point."""
    return replace(like, frac_length=like.word_length - like.is_signed - bits)


def errors_of(
    low: Sequence[Tensor],
    full: Sequence[Tensor],
    like: FixedPoint,
    tried: Sequence[int],
    seed: int = 0,
) -> ResultErrors:
    """What each range would make of a result of the rounded net, against the float net's.

    Args:
        low, full: the result in both nets, in pieces.
        like: word length, rounding and sign.
        tried: ranges.
    """
    counts = [x.numel() for x in low]
    picks = spread_over(counts, MOST_VALUES, seed)
    parts = [
        (x.reshape(-1)[own], y.reshape(-1)[own]) for x, y, own in zip(low, full, picks, strict=True)
    ]
    x, y = (torch.cat(side) for side in zip(*parts, strict=True))
    found = {}
    for bits in tried:
        error = of_range(like, bits).quantize(x).sub_(y)
        found[bits] = float(error.double().square_().mean()) if len(error) else 0.0
    return ResultErrors(found, float(sum(counts)))


def estimated(
    stats: TensorStats, like: FixedPoint, tried: Sequence[int], values: float
) -> ResultErrors:
    """The same for a result that comes later, from the statistics of the float net."""
    mean_square = stats.squares / max(1, stats.count)
    found = {
        bits: mean_square * 10 ** (-effect_of(stats, of_range(like, bits)).sqnr_db / 10)
        for bits in tried
    }
    return ResultErrors(found, values)


def best_range(found: Sequence[ResultErrors], tried: Sequence[int]) -> int:
    """The range with the least error of all results together; the wider one on a tie."""

    def error(bits: int) -> float:
        return sum(one.by_range[bits] * one.values for one in found)

    return min(sorted(tried, reverse=True), key=error)
