"""A part of a source: what a data layer's `source_part` leaves of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Self

from adaption.data.base import Job, Sample, Source, index_in
from adaption.errors import FieldError
from adaption.proto import caffe_pb2

__all__ = ["PartOfSource", "kept_samples"]


def kept_samples(message: caffe_pb2.LayerParameter, size: int) -> range:
    """The numbers of the samples that a data layer reads, of a source of `size`.

    Raises: FieldError when the source does not hold all that `source_part` names, as when it is
        another one than was meant.
    """
    if not message.HasField("source_part"):
        return range(size)
    part = message.source_part
    if part.skip >= size:
        raise FieldError("source_part.skip", part.skip, f"0..{size - 1}, of {size} samples")
    left = size - part.skip
    limit = part.limit if part.HasField("limit") else left
    if not 1 <= limit <= left:
        behind = f" behind the first {part.skip}" if part.skip else ""
        raise FieldError("source_part.limit", limit, f"1..{left}, the samples there are{behind}")
    return range(part.skip, part.skip + limit)


class PartOfSource(Source):
    """The samples of another source whose numbers lie in a range."""

    def __init__(self, source: Source, part: range) -> None:
        super().__init__(source.path)
        self._whole = source
        self._part = part
        self.kind = source.kind
        self.is_color = source.is_color
        self.has_labels = source.has_labels
        self.label_shape = source.label_shape
        self.class_names = source.class_names
        self.array_names = source.array_names
        self.is_decoded = source.is_decoded
        self.notes = source.notes

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: int) -> Sample:
        return self._whole[self._part[index_in(index, len(self))]]

    def jobs(self, skip: int = 0) -> Iterator[Job]:
        kept = self._part[skip:]
        return islice(self._whole.jobs(kept.start), len(kept))

    def as_color(self, is_color: bool) -> Self:
        whole = self._whole.as_color(is_color)
        if whole is self._whole:
            return self
        other = self._with_color(is_color)
        other._whole = whole
        return other
