"""Compressed images one after the other in an .npz file: `data`, `offsets`, and maybe `labels`.

Image i is data[offsets[i] : offsets[i + 1]], an image file of any kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Self

from adaption.data.base import Array, Job, Sample, Source, index_in
from adaption.data.decode import decode_image
from adaption.errors import DataError
from adaption.later import np

__all__ = ["PackedSource", "is_packed"]


def is_packed(arrays: Mapping[str, Array]) -> bool:
    """Whether the arrays of an .npz file are compressed images."""
    data, offsets = arrays.get("data"), arrays.get("offsets")
    if data is None or offsets is None or data.ndim != 1 or offsets.ndim != 1:
        return False
    return data.dtype == np.uint8 and offsets.dtype.kind in "iu"


class PackedSource(Source):
    """Compressed images in memory.

    Raises: DataError when the arrays do not fit each other.
    """

    kind = "npz"
    is_decoded = True

    def __init__(self, path: Path, arrays: Mapping[str, Array]) -> None:
        super().__init__(path)
        self._data = arrays["data"]
        self._offsets = arrays["offsets"].astype(np.int64)
        self._labels = arrays.get("labels", arrays.get("label"))
        self.has_labels = self._labels is not None
        rising = np.all(np.diff(self._offsets) >= 0)
        if len(self._offsets) < 2 or not rising or not _within(self._offsets, len(self._data)):
            raise DataError(
                f"offsets do not cut data, {len(self._data)} bytes, into images",
                "image i is data[offsets[i]:offsets[i + 1]]",
                file=path,
            )
        if self._labels is not None and self._labels.shape != (len(self),):
            raise DataError(
                f"has {len(self)} images, and labels of shape {self._labels.shape}",
                "give one label per image",
                file=path,
            )

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> Sample:
        return self._load(index_in(index, len(self)))

    def jobs(self, skip: int = 0) -> Iterator[Job]:
        for index in range(skip, len(self)):
            yield Job(str(index), partial(self._load, index))

    def encoded(self, index: int) -> bytes:
        """The bytes of an image file."""
        start, stop = self._offsets[index : index + 2]
        return self._data[start:stop].tobytes()

    def _load(self, index: int) -> Sample:
        is_color = True if self.is_color is None else self.is_color
        try:
            image = decode_image(self.encoded(index), is_color)
        except DataError as error:
            raise DataError(f"image {index} {error.fact}", error.fix, file=self.path) from None
        label = None if self._labels is None else int(self._labels[index])
        return Sample(image, label, str(index))

    def as_color(self, is_color: bool) -> Self:
        return self if self.is_color is not None else self._with_color(is_color)


def _within(offsets: Array, size: int) -> bool:
    return 0 <= int(offsets[0]) and int(offsets[-1]) <= size
