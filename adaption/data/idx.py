"""idx files, as MNIST comes: images in one file, labels in another, plain or gzipped.

Format: big-endian magic 00 00 08 N (uint8, N axes), N sizes of four bytes, the values.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from math import prod
from pathlib import Path

from adaption.data.base import Array, Job, Sample, Source, index_in
from adaption.errors import DataError, FileFormatError
from adaption.io.kinds import is_plain_file
from adaption.io.limits import check_size
from adaption.later import np

__all__ = ["IdxSource", "is_idx", "open_idx", "read_idx"]

_UINT8 = b"\0\0\x08"
_GZIP = b"\x1f\x8b"
_LONGEST_HEAD = 4 + 4 * 255
_FIX = "get the file again; MNIST's are called train-images-idx3-ubyte.gz and the like"


def is_idx(path: Path) -> bool:
    """Whether a file, gzipped or not, starts as an idx file of uint8 values."""
    try:
        return _read(path, 4)[:3] == _UINT8
    except (OSError, EOFError, zlib.error):
        return False


def read_idx(path: Path) -> Array:
    """The array in an idx file of uint8 values. Raises: FileFormatError."""
    try:
        head = _read(path, _LONGEST_HEAD)
        axes = head[3] if len(head) > 3 else 0
        start = 4 + 4 * axes
        if head[:3] != _UINT8 or not axes or len(head) < start:
            raise FileFormatError("is no idx file of uint8 values", _FIX, file=path)
        shape = struct.unpack(f">{axes}I", head[4:start])
        size = prod(shape)
        shown = "x".join(map(str, shape))
        stored = path.stat().st_size
        check_size(size, f"an array of {shown} values", stored=stored, error=FileFormatError)
        # One byte more tells a file that holds more than it says; it is not unpacked further.
        content = _read(path, start + size + 1)
    except FileFormatError as error:
        raise error.at(file=path) from None
    except (OSError, EOFError, zlib.error, OverflowError) as error:
        raise FileFormatError(f"cannot be read: {error}", _FIX, file=path) from None
    if len(content) != start + size:
        found = f"{len(content) - start} values" if len(content) < start + size else "more values"
        raise FileFormatError(f"holds {found}, its shape is {shown}", _FIX, file=path)
    try:
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
    except ValueError:  # too many axes, or one of length zero beside lengths beyond any memory
        raise FileFormatError(
            f"has a shape that no array can have: {shown}", _FIX, file=path
        ) from None


def _read(path: Path, count: int) -> bytes:
    with path.open("rb") as stream:
        if stream.peek(2)[:2] != _GZIP:
            return stream.read(count)
        with gzip.GzipFile(fileobj=stream) as unpacked:
            return unpacked.read(count)


def open_idx(path: Path) -> IdxSource:
    """The source of an idx file of images, with the labels of the file that is named alike.

    Raises: DataError when it holds no images, or not as many as there are labels.
    """
    images = read_idx(path)
    if images.ndim not in (3, 4) or not images.size:
        raise DataError(
            f"holds an array of shape {images.shape}, images are (N, H, W) or (N, C, H, W)",
            "give the file of the images; the labels beside it are found by name",
            file=path,
        )
    name = path.name.replace("images", "labels").replace(f"idx{images.ndim}", "idx1")
    beside = path.with_name(name)
    labels = read_idx(beside) if name != path.name and is_plain_file(beside) else None
    if labels is not None and labels.shape != images.shape[:1]:
        raise DataError(
            f"holds {len(images)} images, {name} labels of shape {labels.shape}",
            "give the two files of one data set",
            file=path,
        )
    return IdxSource(path, images.reshape(len(images), -1, *images.shape[-2:]), labels)


class IdxSource(Source):
    """Images (N, C, H, W) in memory, and their labels."""

    kind = "idx"

    def __init__(self, path: Path, images: Array, labels: Array | None) -> None:
        super().__init__(path)
        self._images = images
        self._labels = labels
        self.has_labels = labels is not None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        index = index_in(index, len(self))
        label = None if self._labels is None else int(self._labels[index])
        return Sample(self._images[index], label, str(index))

    def jobs(self, skip: int = 0) -> Iterator[Job]:
        for index in range(skip, len(self)):
            yield Job(str(index), partial(self.__getitem__, index))
