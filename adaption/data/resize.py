"""cv::resize with INTER_LINEAR, bit for bit. OpenCV: modules/imgproc/src/resize.cpp.

Caffe resizes with it. It looks at the two nearest pixels on each axis and does not smooth when it
shrinks, so Pillow's and torch's antialiased results differ by many grey levels.
"""

from __future__ import annotations

from adaption.data.base import Array
from adaption.errors import DataError
from adaption.io.limits import check_size
from adaption.later import np

__all__ = ["resize"]

_COEF_BITS = 11  # INTER_RESIZE_COEF_BITS


def resize(image: Array, height: int, width: int) -> Array:
    """Resize a (C, H, W) image to (C, height, width).

    uint8 goes through OpenCV's fixed-point path and equals cv::resize exactly; any other type is
    computed in float32. Raises: DataError when that takes too much memory.
    """
    rows, columns = image.shape[1:]
    if (rows, columns) == (height, width):
        return image
    # The widened rows are int32 or float32, twice.
    check_size(8 * image.shape[0] * height * width, f"an image resized to {height}x{width}",
               error=DataError)  # fmt: skip
    if image.dtype == np.uint8 and (rows, columns) == (2 * height, 2 * width):
        return _halve(image)  # cv::resize takes INTER_AREA for an exact half
    y0, y1, b = _taps(rows, height, clamp=False)
    x0, x1, a = _taps(columns, width, clamp=True)
    needed, where = np.unique(np.concatenate([y0, y1]), return_inverse=True)
    source = image[:, needed]
    top, bottom = where[:height], where[height:]
    if image.dtype != np.uint8:
        source = source.astype(np.float32)
        one = np.float32(1)
        wide = source[:, :, x0] * (one - a) + source[:, :, x1] * a
        mixed = wide[:, top] * (one - b)[:, None] + wide[:, bottom] * b[:, None]
        return np.asarray(mixed, dtype=np.float32)
    source = source.astype(np.int32)
    a0, a1 = _fixed(a)
    b0, b1 = _fixed(b)
    # HResizeLinear, then VResizeLinear<uchar, int, short>: the shifts by 4, 16 and 2 are OpenCV's.
    wide = (source[:, :, x0] * a0 + source[:, :, x1] * a1) >> 4
    upper = (wide[:, top] * b0[:, None]) >> 16
    lower = (wide[:, bottom] * b1[:, None]) >> 16
    mixed_fixed: Array = (upper + lower + 2) >> 2
    return mixed_fixed.astype(np.uint8)


def _taps(size: int, wanted: int, *, clamp: bool) -> tuple[Array, Array, Array]:
    """Index of the two neighbours of each target pixel and the weight of the second, float32.

    `clamp`: columns outside get weight 0; rows outside keep theirs and repeat the border row.
    """
    scale = 1.0 / (wanted / size)
    centre = ((np.arange(wanted) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(centre).astype(np.int64)
    weight = (centre - first.astype(np.float32)).astype(np.float32)
    if clamp:
        weight[(first < 0) | (first >= size - 1)] = 0
    return np.clip(first, 0, size - 1), np.clip(first + 1, 0, size - 1), weight


def _fixed(weight: Array) -> tuple[Array, Array]:
    one, unit = np.float32(1), np.float32(1 << _COEF_BITS)
    return (
        np.rint((one - weight) * unit).astype(np.int32),
        np.rint(weight * unit).astype(np.int32),
    )


def _halve(image: Array) -> Array:
    x = image.astype(np.int32)
    total = x[:, 0::2, 0::2] + x[:, 0::2, 1::2] + x[:, 1::2, 0::2] + x[:, 1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)
