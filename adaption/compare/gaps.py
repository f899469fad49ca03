"""How far two arrays are apart, value by value."""

from __future__ import annotations

import numpy as np

from adaption.export.onnx.graph import Array

__all__ = ["are_equal", "count_differing", "gap_between"]


def gap_between(a: Array, b: Array) -> Array:
    """Absolute differences in float64; 0 for equal infinities and two NaN, inf where only one
    is NaN or the shapes differ."""
    if a.shape != b.shape:
        return np.full(b.shape, np.inf)
    with np.errstate(invalid="ignore"):
        gap = np.asarray(np.abs(np.subtract(a, b, dtype=np.float64)))
    if np.isfinite(gap.max(initial=0.0)):  # so nothing is infinite or NaN: equal is 0 already
        return gap
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def are_equal(a: Array, b: Array) -> bool:
    """Whether `gap_between` is zero everywhere, as most often; False, too, where two NaN meet."""
    return np.array_equal(a, b)


def count_differing(a: Array, b: Array) -> int:
    """Values that differ; two NaN do not."""
    return 0 if are_equal(a, b) else int(np.count_nonzero(gap_between(a, b)))
