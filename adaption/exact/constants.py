"""Real constants as integers: multipliers, addends and weights, and whether they are exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.errors import FieldError
from adaption.numerics import BinaryWeight, FixedPoint, Format
from adaption.numerics.exact import as_codes, grid_of, short_codes

__all__ = ["Constant", "WeightCodes", "bounds_of", "multiplier", "weight_codes"]

Codes = npt.NDArray[np.int64]
MOST_WEIGHT_BITS = 24  # of a weight whose grid is found from its values


@dataclass(frozen=True)
class Constant:
    """`codes` · 2^-frac_length, equal to the real constant where `is_exact`."""

    codes: Codes
    frac_length: int
    is_exact: bool


def multiplier(values: Any, bits: int) -> Constant:
    """Integers of at most `bits` bits (sign aside) for real factors: exact where they fit, else
    the nearest on the finest grid that holds the greatest."""
    real = np.asarray(values, np.float64)
    peak = float(np.abs(real).max(initial=0.0))
    exact = grid_of(real)
    if peak == 0 or np.ldexp(peak, exact) < 2.0**bits:
        return Constant(as_codes(real, exact), exact, True)
    frac_length = bits - int(np.frexp(peak)[1])
    return Constant(half_away(np.ldexp(real, frac_length)), frac_length, False)


def half_away(x: npt.NDArray[np.float64]) -> Codes:
    """The nearest integers, ties away from zero."""
    whole = np.trunc(x)
    return np.asarray(whole + np.sign(x) * (np.abs(x - whole) >= 0.5), np.int64)


def bounds_of(low: int, high: int, factors: Codes, addends: Codes) -> tuple[int, int]:
    """Least and greatest x · factor + addend for low <= x <= high, in unlimited integers."""
    a, b = np.broadcast_arrays(factors.astype(object), addends.astype(object))
    ends = np.stack([a * low + b, a * high + b])
    return int(ends.min()), int(ends.max())


@dataclass(frozen=True)
class WeightCodes:
    """A weight as codes: each stands for code · 2^-frac_length / divisor, or for code · `scale`,
    float32, one or one per filter, where that is no such number.

    codes: in a short integer type, see numerics.exact.short_codes.
    """

    codes: npt.NDArray[Any]
    frac_length: int
    divisor: int = 1
    scale: npt.NDArray[np.float32] | None = None


def weight_codes(values: npt.NDArray[np.float32], fmt: Format | None) -> WeightCodes:
    """The codes of a rounded weight.

    Raises: FieldError when they lie on no grid that 24 bits hold: a float or non-linear format.
    """
    if isinstance(fmt, BinaryWeight):
        rows = values.reshape(len(values), -1) if fmt.per_filter else values.reshape(1, -1)
        scale = np.abs(rows).max(1) if fmt.per_filter else np.abs(rows).max(initial=0).reshape(())
        signs = np.where(np.signbit(values), -1, 1).astype(np.int16)
        return WeightCodes(signs, 0, scale=scale.astype(np.float32))
    if isinstance(fmt, FixedPoint) and fmt.is_binary:
        return WeightCodes(short_codes(values, 1, fmt.frac_length), fmt.frac_length)
    if isinstance(fmt, FixedPoint):
        # float32 holds i / n rounded once, and n times that is next to i.
        codes = short_codes(values, fmt.divisor, fmt.frac_length)
        return WeightCodes(codes, fmt.frac_length, fmt.divisor)
    frac_length = grid_of(values.astype(np.float64))
    peak = float(np.abs(values).max(initial=0.0))
    if not np.isfinite(peak) or np.ldexp(peak, frac_length) >= 2.0 ** (MOST_WEIGHT_BITS - 1):
        raise FieldError(
            "weight format",
            "float" if fmt is None else str(fmt),
            "fixed point, or values on a grid that 24 bits hold",
            "quantize the net first (adaption quantize), or give the layer an lpfp_param",
        )
    return WeightCodes(short_codes(values, 1, frac_length), frac_length)
