"""NullHop's compressed feature maps: sparsity map (SM) words, each followed by its non-zero values.

A stream is cut into groups of 16 values. A group is sent as one 16-bit SM word, whose bit j (least
significant first) says that value j is not zero, and then its non-zero values. In a feature map the
stream runs over channels first, then columns, then rows, and no group crosses an image row.
Source: NullHop (arXiv 1706.01406) and its driver, specification section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from adaption.errors import FieldError, FileFormatError, ShapeError

__all__ = [
    "GROUP",
    "compressed_words",
    "decode",
    "decode_stream",
    "dense_words",
    "encode",
    "encode_stream",
]

GROUP = 16  # values that one sparsity map word stands for
_BITS = (1 << np.arange(GROUP)).astype(np.int64)

Words = npt.NDArray[np.uint16]
Codes = npt.NDArray[np.int16]


def encode(codes: npt.ArrayLike) -> Words:
    """The words of a feature map of integer codes, shape (C, H, W), or (C,) for a vector.

    Raises: FieldError on a code that 16 bits cannot hold; ShapeError on another number of axes.
    """
    return _encode_rows(_rows(_checked(codes)))


def decode(words: npt.ArrayLike, shape: Sequence[int]) -> Codes:
    """The codes, shape (C, H, W) or (C,), of which `encode` made these words.

    Raises: FileFormatError when the words end too early, go on too long, or mark a value behind the
        end of a row.
    """
    channels, height, width = _sizes(shape)
    found, used = _decode_rows(np.asarray(words, np.uint16), height, width * channels)
    if used != np.size(words):
        raise FileFormatError(f"{np.size(words) - used} words are left over behind the last row")
    map_ = found.reshape(height, width, channels).transpose(2, 0, 1)
    return np.ascontiguousarray(map_).reshape(tuple(shape))


def encode_stream(codes: npt.ArrayLike) -> Words:
    """The words of one stream of codes whose groups cross everything, as NullHop's output does."""
    return _encode_rows(_checked(codes).reshape(1, -1))


def decode_stream(words: npt.ArrayLike, count: int) -> Codes:
    """The `count` codes of which `encode_stream` made these words. Raises: FileFormatError."""
    found, used = _decode_rows(np.asarray(words, np.uint16), 1, count)
    if used != np.size(words):
        raise FileFormatError(f"{np.size(words) - used} words are left over behind the last value")
    return found.reshape(-1)


def compressed_words(shape: Sequence[int], nonzero: int) -> int:
    """16-bit words of a map, shape (C, H, W) or (C,), with so many non-zero values.

    ceil(n / 16) per image row of n values, and one per non-zero value.
    """
    channels, height, width = _sizes(shape)
    return height * -(-width * channels // GROUP) + nonzero


def _sizes(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) == 1:
        return shape[0], 1, 1
    if len(shape) != 3:
        raise ShapeError(f"a feature map has shape {tuple(shape)}, allowed: (C, H, W) or (C,)")
    return shape[0], shape[1], shape[2]


def _checked(codes: npt.ArrayLike) -> npt.NDArray[np.int64]:
    values = np.asarray(codes)
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        raise FieldError("codes", "fractions", "integers, such as FixedPoint.codes gives")
    if whole.size and not -(1 << 15) <= whole.min() <= whole.max() < 1 << 15:
        found = f"{whole.min()}..{whole.max()}"
        raise FieldError("codes", found, "-32768..32767 (NullHop's words have 16 bits)")
    return whole


def _rows(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    channels, height, width = _sizes(codes.shape)
    return codes.reshape(channels, height, width).transpose(1, 2, 0).reshape(height, -1)


def _encode_rows(rows: npt.NDArray[np.int64]) -> Words:
    groups = -(-rows.shape[1] // GROUP)
    padded = np.zeros((len(rows), groups * GROUP), np.int64)
    padded[:, : rows.shape[1]] = rows
    values = padded.reshape(-1, GROUP)
    live = values != 0
    words = np.concatenate([(live @ _BITS)[:, None], values & 0xFFFF], axis=1)
    is_sent = np.concatenate([np.ones((len(values), 1), bool), live], axis=1)
    sent: Words = words[is_sent].astype(np.uint16)
    return sent


def _decode_rows(words: Words, rows: int, length: int) -> tuple[Codes, int]:
    """Codes of shape (rows, length), and how many words they took."""
    found = np.zeros((rows, length), np.int16)
    values = words.view(np.int16)
    place = 0
    for row in found:
        for start in range(0, length, GROUP):
            if place >= len(words):
                raise FileFormatError(f"ends after {len(words)} words, in the middle of a map")
            live = np.flatnonzero(int(words[place]) & _BITS)
            place += 1
            if len(live) and start + live[-1] >= length:
                raise FileFormatError(
                    f"word {place - 1} marks value {start + live[-1]} of a row of {length}"
                )
            if place + len(live) > len(words):
                raise FileFormatError(f"ends after {len(words)} words, in the middle of a map")
            row[start + live] = values[place : place + len(live)]
            place += len(live)
    return found, place


def dense_words(shape: Sequence[int]) -> int:
    """16-bit words of the same map when it is sent uncompressed: one per value."""
    return prod(shape)
