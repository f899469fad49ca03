"""Image resampling as scikit-image and SciPy do it, axis by axis, as one matrix per axis.

Source: skimage.transform.resize (mode "reflect", anti-aliasing when it shrinks) and
scipy.ndimage.zoom; both interpolate with B-splines, and mirror the image about its border pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaption.pycaffe.errors import FieldError

__all__ = ["resize_aligned", "resize_smooth"]

Array = NDArray[Any]

MAX_ORDER = 5


def resize_smooth(image: Array, height: int, width: int, order: int) -> Array:
    """Resize a float (H, W, K) image; pixels are areas, and shrinking smooths first.

    Source: skimage.transform.resize. Results stay within the range of the image.
    """
    rows = _smoothed(_areas(image.shape[0], height, order), height)
    columns = _smoothed(_areas(image.shape[1], width, order), width)
    made = _apply(image, rows, columns)
    return np.clip(made, image.min(), image.max()) if order > 1 else made


def resize_aligned(image: Array, height: int, width: int, order: int) -> Array:
    """Resize a float (H, W, K) image; its corner pixels stay where they are, nothing is smoothed.

    Source: scipy.ndimage.zoom.
    """
    sizes = ((image.shape[0], height), (image.shape[1], width))
    rows, columns = (
        _resampling(np.linspace(0, old - 1 if new > 1 else 0, new), old, order)
        for old, new in sizes
    )
    return _apply(image, rows, columns)


def _apply(image: Array, rows: Array, columns: Array) -> Array:
    tall = np.tensordot(rows.astype(image.dtype), image, axes=(1, 0))
    made: Array = np.tensordot(columns.astype(image.dtype), tall, axes=(1, 1))
    return made.transpose(1, 0, 2)


def _areas(old: int, new: int, order: int) -> Array:
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    return _resampling(centres, old, order)


def _resampling(at: Array, size: int, order: int) -> Array:
    """(len(at), size) matrix that evaluates the interpolating spline at the coordinates `at`."""
    if not 0 <= order <= MAX_ORDER:
        raise FieldError("interp_order", order, f"0..{MAX_ORDER}")
    weights = _basis(at, size, order)
    if order < 2 or size == 1:
        return weights
    # From order 2 on, a spline through the pixels has other coefficients than the pixels.
    knots = _basis(np.arange(size, dtype=np.float64), size, order)
    made: Array = np.linalg.solve(knots.T, weights.T).T
    return made


def _basis(at: Array, size: int, order: int) -> Array:
    """(len(at), size) matrix of B-spline weights; what falls outside is mirrored."""
    first = np.floor(at + 0.5 if order % 2 == 0 else at).astype(np.int64) - order // 2
    taps = first[:, None] + np.arange(order + 1)
    values = _b_spline(at[:, None] - taps, order)
    made = np.zeros((len(at), size))
    np.add.at(made, (np.arange(len(at))[:, None], _mirrored(taps, size)), values)
    return made


def _b_spline(x: Array, order: int) -> Array:
    """The centred B-spline of an order at x, by de Boor's recursion."""
    if order == 0:
        return np.where((x >= -0.5) & (x < 0.5), 1.0, 0.0)
    half = (order + 1) / 2
    left, right = _b_spline(x + 0.5, order - 1), _b_spline(x - 0.5, order - 1)
    made: Array = ((half + x) * left + (half - x) * right) / order
    return made


def _smoothed(resampling: Array, new: int) -> Array:
    """The matrix with the Gaussian that goes before shrinking worked in."""
    old = resampling.shape[1]
    sigma = max(0.0, (old / new - 1) / 2)
    radius = int(4 * sigma + 0.5)  # scipy.ndimage.gaussian_filter cuts at 4 sigma
    if not radius:
        return resampling
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    wide = np.zeros((len(resampling), old + 2 * radius))
    for start, weight in enumerate(kernel / kernel.sum()):
        wide[:, start : start + old] += weight * resampling
    made = np.zeros_like(resampling)
    for column, where in enumerate(_mirrored(np.arange(-radius, old + radius), old)):
        made[:, where] += wide[:, column]
    return made


def _mirrored(index: Array, size: int) -> Array:
    """Indices reflected into 0..size-1; the border pixels are not repeated."""
    if size == 1:
        return np.zeros_like(index)
    turn = np.abs(index) % (2 * size - 2)
    made: Array = np.minimum(turn, 2 * size - 2 - turn)
    return made
