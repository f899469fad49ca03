"""What a format would do to a tensor, told from its histogram alone.

Values are taken to be spread evenly within each bin (1/8 octave); the least and the greatest are
known. On smooth distributions the SQNR found so agrees with the rounded tensor within 0.2 dB, and
within 2 dB where the noise comes from a handful of saturating values (a test holds it there); for
tensors that already lie on a grid it is too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from adaption.later import np, npt
from adaption.numerics import FixedPoint
from adaption.numerics.measures import stated_db
from adaption.precision.statistics import STEPS, TensorStats, bin_edges

__all__ = ["Effect", "effect_of"]

Values: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True)
class Effect:
    """Shares of all values, 0..1, and the signal-to-quantization-noise ratio in dB."""

    saturated: float  # outside the format's range
    flushed: float  # non-zero values that become zero
    sqnr_db: float  # inf when nothing is lost

    def to_dict(self) -> dict[str, Any]:
        """Plain values; SQNR None means exact."""
        stated = stated_db(self.sqnr_db)
        return {
            "saturated": round(self.saturated, 9),
            "flushed": round(self.flushed, 9),
            "sqnr_db": None if stated is None else round(stated, 3),
        }


def effect_of(stats: TensorStats, fmt: FixedPoint) -> Effect:
    """What rounding to `fmt` does to the tensor that `stats` describes."""
    saturated = flushed = noise = 0.0
    is_on_grid = stats.grid is not None and fmt.frac_length >= -stats.grid  # nothing is rounded
    sides = ((0, fmt.max_value, stats.maximum), (1, -fmt.min_value, -stats.minimum))
    for sign, limit, furthest in sides:
        counts = stats.bins[sign, :-STEPS].astype(np.float64)
        if sign == 0:
            counts[0] = max(0.0, counts[0] - stats.zeros)
        used = np.flatnonzero(counts)
        if not len(used):
            continue
        nearest = stats.minimum if sign == 0 else -stats.maximum
        edges = bin_edges()
        low = np.maximum(edges[used], max(0.0, nearest))
        high = np.maximum(np.minimum(edges[used + 1], furthest), low)
        # The outermost value is known, so it counts as a bin of its own.
        low, high = np.append(low, furthest), np.append(high, furthest)
        counts = np.append(counts[used], 1.0)
        counts[-2] -= 1
        saturated += float((counts * _share(low, high, limit, math.inf)).sum())
        # Stochastic rounding keeps some below and flushes as many above half a step.
        flush = fmt.lsb / 2 if limit > 0 else math.inf
        flushed += float((counts * _share(low, high, 0.0, flush)).sum())
        if is_on_grid:
            noise += float((counts * _mean_beyond(low, high, limit)).sum())
        else:
            noise += float((counts * _mean_error(low, high, fmt, limit)).sum())
    count = max(1, stats.count)
    return Effect(saturated / count, flushed / count, _decibel(stats.squares, noise))


def _share(low: Values, high: Values, start: float, end: float) -> Values:
    """Share of [low, high] that lies in [start, end); a single value counts whole or not."""
    width = high - low
    inside = np.clip(np.minimum(high, end) - np.maximum(low, start), 0, None)
    alone = ((low > start) | (start == 0)) & (low < end)
    share: Values = np.where(width > 0, inside / np.where(width > 0, width, 1), alone)
    return share


def _mean_error(low: Values, high: Values, fmt: FixedPoint, limit: float) -> Values:
    """Mean squared error of values spread evenly over [low, high]."""
    width = high - low
    spread = (_integral(high, fmt, limit) - _integral(low, fmt, limit)) / np.where(
        width > 0, width, 1
    )
    mean: Values = np.maximum(np.where(width > 0, spread, _error(low, fmt, limit)), 0)
    return mean


def _mean_beyond(low: Values, high: Values, limit: float) -> Values:
    """Mean squared distance to `limit` of what lies beyond it, values spread over [low, high]."""
    width = high - low
    near, far = np.maximum(low - limit, 0), np.maximum(high - limit, 0)
    spread = (far**3 - near**3) / (3 * np.where(width > 0, width, 1))
    mean: Values = np.where(width > 0, spread, far**2)
    return mean


def _error(x: Values, fmt: FixedPoint, limit: float) -> Values:
    rest = x - np.minimum(np.floor(x / fmt.lsb + 0.5) * fmt.lsb, limit)
    return rest**2


def _integral(x: Values, fmt: FixedPoint, limit: float) -> Values:
    """Integral of the squared error from 0 to x >= 0, x rounded to the grid and cut at `limit`.

    To nearest, every step of the grid contributes lsb^3 / 12; stochastic rounding, whose expected
    error at a fraction r is r (1 - r) lsb^2, twice as much.
    """
    lsb = fmt.lsb
    inside = np.minimum(x, limit)
    if fmt.rounding == "stochastic":
        step = np.floor(inside / lsb)
        r = inside / lsb - step
        kept = lsb**3 * (step / 6 + r**2 / 2 - r**3 / 3)
    else:
        step = np.floor(inside / lsb + 0.5)
        kept = step * lsb**3 / 12 + (inside - step * lsb) ** 3 / 3
    total: Values = kept + (x - inside) ** 3 / 3
    return total


def _decibel(signal: float, noise: float) -> float:
    if noise <= 0:
        return math.inf
    ratio = signal / noise  # 0 where it is too small for a float, too
    return 10 * math.log10(ratio) if ratio > 0 else -math.inf
