"""Sample and Source: what every kind of data looks like from outside."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

from adaption.errors import DataError, counted
from adaption.later import np, npt

__all__ = ["Array", "Job", "Sample", "Skipped", "Source"]

Array: TypeAlias = "npt.NDArray[Any]"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One sample.

    Args:
        image: (C, H, W), uint8 or float32; BGR where it was decoded from a colour image. Array
            sources (HDF5, NPZ) give their first array here, in any shape.
        label: class index, None where the source has none.
        name: path, key or row number, for messages.
        arrays: every array of an array source by name; empty for images.
    """

    image: Array
    label: int | None
    name: str
    arrays: Mapping[str, Array] = field(default_factory=dict)


class Skipped(NamedTuple):
    """A sample that could not be read."""

    name: str
    reason: str


class Job(NamedTuple):
    """A sample not read yet. `load` may run in any thread; it raises DataError."""

    name: str
    load: Callable[[], Sample]


class Source(ABC):
    """A sequence of samples: `len`, `source[i]`, and iteration as often as wanted.

    Iteration passes over unreadable samples and lists them in `skipped`; indexing raises
    DataError. `len` counts what is listed, unreadable samples included.
    """

    kind: str
    is_color: bool | None = None  # how compressed images are decoded; None: not said
    has_labels: bool = False
    label_shape: tuple[int, ...] = ()  # of one sample's label, which holds one number
    class_names: tuple[str, ...] = ()  # by label, where folders name the classes
    array_names: tuple[str, ...] = ()  # of an array source, without the labels
    is_decoded: bool = False  # samples are compressed images: reading ahead in threads pays

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []  # what a user should know, one sentence each
        self._skipped: dict[str, str] = {}

    @property
    def origin(self) -> str:
        """What tells this data from other data: where it lies."""
        return os.fspath(self.path)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @abstractmethod
    def jobs(self, skip: int = 0) -> Iterator[Job]:
        """The samples in order, to be read where it suits; the first `skip` are left out."""

    def __iter__(self) -> Iterator[Sample]:
        good = 0
        for job in self.jobs():
            try:
                sample = job.load()
            except DataError as error:
                self.skip(job.name, error)
                continue
            good += 1
            yield sample
        if not good:
            raise self.nothing_readable()

    @property
    def skipped(self) -> list[Skipped]:
        """The samples that could not be read so far, each once."""
        return [Skipped(name, reason) for name, reason in self._skipped.items()]

    def skip(self, name: str, error: DataError) -> None:
        """Count a sample as unreadable."""
        self._skipped.setdefault(name, error.fact)

    def nothing_readable(self) -> DataError:
        """The error for a source of which no sample could be read."""
        count = len(self._skipped)
        if not count:
            return DataError("holds no samples", "give data with at least one sample").at(
                file=self.path
            )
        first = self.skipped[0]
        return DataError(
            f"none of {counted(count, 'sample')} could be read; the first, {first.name!r}:"
            f" {first.reason}",
            "check that these are whole image files of a kind Pillow knows",
            file=self.path,
        )

    def as_color(self, is_color: bool) -> Self:
        """The same samples decoded to 3 channels (BGR) or to 1 (grey).

        A source that decodes nothing, or was opened with `is_color`, returns itself. Both count
        unreadable samples in the same list.
        """
        return self

    def _with_color(self, is_color: bool) -> Self:
        other = copy(self)
        other.is_color = is_color
        return other


def index_in(index: int, length: int) -> int:
    """A Python index as one from 0. Raises: IndexError."""
    if not -length <= index < length:
        raise IndexError(f"sample {index} of {length}")
    return index % length


def as_label(value: Any) -> int | None:
    """A label as int, None when it is not one whole number."""
    flat = np.asarray(value).reshape(-1)
    if flat.size != 1 or flat.dtype.kind not in "iubf":
        return None
    number = float(flat[0])
    return int(number) if number.is_integer() else None
