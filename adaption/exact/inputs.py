"""A number format for input data: exact where a short word holds them, else from their peak."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from adaption.errors import DataError
from adaption.numerics import FixedPoint
from adaption.numerics.exact import grid_of

__all__ = ["format_of_data"]


def format_of_data(values: npt.ArrayLike, word_length: int = 16) -> FixedPoint:
    """The shortest signed format that holds all values exactly, if `word_length` bits do; else
    the one of `word_length` bits whose range just holds the greatest magnitude.

    Raises: DataError when there is no value, or one that is not finite.
    """
    x = np.asarray(values, np.float64)
    if not x.size or not np.isfinite(x).all():
        raise DataError(
            "the inputs hold no values, or some that are not finite",
            "give finite samples, or state the format: --input-format BLOB=Qm.f",
        )
    peak = float(np.abs(x).max())
    exact = grid_of(x)
    needed = int(np.ldexp(peak, exact)).bit_length() + 1 if exact < 64 else 99
    if needed <= word_length:
        return FixedPoint(max(needed, 2), exact)
    int_length = 1 + (math.frexp(peak)[1] if peak else 0)
    fmt = FixedPoint(word_length, word_length - int_length)
    return (
        fmt if peak <= fmt.max_value + fmt.lsb / 2 else FixedPoint(word_length, fmt.frac_length - 1)
    )
