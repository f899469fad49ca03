"""Batches: a source's samples as the net's input blobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from adaption.data.ahead import WORKERS, ahead
from adaption.data.base import Array, Job, Sample, Source
from adaption.data.transform import Transform
from adaption.errors import AdaptionError, DataError, FieldError
from adaption.later import np, npt

__all__ = ["Batch", "Batches"]

Shape = tuple[int, ...]
_LABEL = "label"


class Batch(NamedTuple):
    """Some samples, stacked."""

    blobs: dict[str, npt.NDArray[np.float32]]  # by input blob, first axis the sample
    labels: npt.NDArray[np.int64] | None  # (n,), None when the source has none
    names: list[str]


class _Prepared(NamedTuple):
    blobs: dict[str, Array]
    label: int | None
    name: str


class Batches:
    """Batches of a source for a net; can be iterated several times, always with the same result.

    The last batch holds what is left. Compressed images are decoded ahead in threads, in order.

    Args:
        source: see `open_source`.
        transform: what is done to each image; None leaves values as they are. Arrays (NPZ, HDF5)
            count as preprocessed and are changed only by a transform that is given.
        batch_size: samples per batch.
        inputs: shape of each input blob of the net, batch axis included (its size is not used).
        limit: stop after so many samples.
        seed: of the transform's random numbers.
        skip: leave out so many samples at the beginning.
        workers: threads that decode; 0 reads nothing ahead.
    Raises: DataError when the source cannot feed these inputs; while iterating, when a sample has
        another shape than its blob, or when no sample can be read.
    """

    def __init__(
        self,
        source: Source,
        transform: Transform | None,
        batch_size: int,
        inputs: Mapping[str, Sequence[int]],
        *,
        limit: int | None = None,
        seed: int = 0,
        skip: int = 0,
        workers: int = WORKERS,
    ) -> None:
        if batch_size < 1:
            raise FieldError("batch_size", batch_size, "1 or more")
        if limit is not None and limit < 1:
            raise FieldError("limit", limit, "1 or more")
        if not 0 <= skip < max(1, len(source)):
            raise FieldError("skip", skip, f"0..{len(source) - 1}, the samples of the source")
        self.batch_size = batch_size
        self.skip = skip
        self.limit = limit
        self.seed = seed
        self.workers = workers
        self.shapes: dict[str, Shape] = {name: tuple(s)[1:] for name, s in inputs.items()}
        self.notes: list[str] = []
        self.arrays = _assign(source, self.shapes, self.notes)  # blob name -> array name
        self.image_blob = next((b for b in self.arrays if b != _LABEL), "")
        if not source.array_names:
            shape = self.shapes[self.image_blob]
            if len(shape) == 3 and shape[0] in (1, 3):
                source = source.as_color(shape[0] == 3)
        self.source = source
        self.transform = transform
        if transform is None and not source.array_names:
            self.transform = Transform()

    @property
    def has_labels(self) -> bool:
        return self.source.has_labels

    @property
    def samples(self) -> int:
        """Number of samples, counting those that may turn out unreadable."""
        rest = len(self.source) - self.skip
        return min(rest, self.limit or rest)

    def __len__(self) -> int:
        return math.ceil(self.samples / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        kept: list[_Prepared] = []
        good = 0
        for one in self._samples():
            kept.append(one)
            good += 1
            if len(kept) == self.batch_size or good == self.limit:
                yield self._stack(kept)
                kept = []
            if good == self.limit:
                break
        if kept:
            yield self._stack(kept)
        if not good:
            raise self.source.nothing_readable()

    def _samples(self) -> Iterator[_Prepared]:
        workers = self.workers if self.source.is_decoded else 0
        window = max(2 * self.batch_size, 2 * workers)
        if self.limit is not None:
            window = min(window, self.limit)
        results = ahead(self._calls(), workers, min(window, 64))
        try:
            for name, result in results:
                if isinstance(result, DataError):
                    self.source.skip(name, result)
                else:
                    yield result
        finally:
            results.close()

    def _calls(self) -> Iterator[Callable[[], tuple[str, _Prepared | DataError]]]:
        for index, job in enumerate(self.source.jobs(self.skip), self.skip):
            yield partial(self._read, index, job)

    def _read(self, index: int, job: Job) -> tuple[str, _Prepared | DataError]:
        try:
            sample = job.load()
        except DataError as error:
            return job.name, error
        rng = None
        if self.transform is not None and self.transform.is_random:
            rng = np.random.default_rng((self.seed % 2**64, index))
        return job.name, self._prepare(sample, rng)

    def _prepare(self, sample: Sample, rng: np.random.Generator | None) -> _Prepared:
        blobs = {}
        for blob, array in self.arrays.items():
            if blob == _LABEL and _LABEL not in sample.arrays:
                value: Array = np.array(sample.label, np.float32)
            else:
                value = sample.arrays[array] if sample.arrays else sample.image
                if self.transform is not None and blob == self.image_blob:
                    value = self._transformed(self.transform, value, rng, sample.name)
            blobs[blob] = self._fitted(blob, value, sample.name)
        return _Prepared(blobs, sample.label, sample.name)

    def _transformed(
        self, transform: Transform, value: Array, rng: np.random.Generator | None, name: str
    ) -> Array:
        try:
            return transform.apply(value, rng)
        except AdaptionError as error:
            error.fact = f"sample {name!r}: {error.fact}"
            raise error.at(file=self.source.path) from None

    def _fitted(self, blob: str, value: Array, name: str) -> Array:
        wanted = self.shapes[blob]
        if value.shape == wanted:
            return value
        if len(value.shape) != len(wanted) and value.size == math.prod(wanted):
            return value.reshape(wanted)  # an InnerProduct net that takes the image as a vector
        raise DataError(
            f'sample {name!r} has shape {_text(value.shape)}, input "{blob}" takes {_text(wanted)}',
            _how_to_fit(value.shape, wanted),
            file=self.source.path,
        )

    def _stack(self, kept: Sequence[_Prepared]) -> Batch:
        blobs = {}
        for blob, shape in self.shapes.items():
            stacked = np.empty((len(kept), *shape), np.float32)
            for i, one in enumerate(kept):
                stacked[i] = one.blobs[blob]
            blobs[blob] = stacked
        labels = None
        if self.has_labels:
            # A record without a label counts as class 0, which is a Datum's default.
            labels = np.array([one.label or 0 for one in kept], np.int64)
        return Batch(blobs, labels, [one.name for one in kept])


def _assign(source: Source, shapes: Mapping[str, Shape], notes: list[str]) -> dict[str, str]:
    """Which array of the source fills which input blob; images have the one array ""."""
    if not shapes:
        raise DataError("the net has no input blobs to fill from it").at(file=source.path)
    own_label = [b for b in shapes if b == _LABEL and source.has_labels]
    rest = [b for b in shapes if b not in own_label]
    labels = dict.fromkeys(own_label, _LABEL)
    names = source.array_names
    if not names:
        if len(rest) != 1:
            raise DataError(
                f"gives one image per sample, the net has the inputs {', '.join(shapes)}",
                "give an .npz file with one array per input blob",
            ).at(file=source.path)
        return {rest[0]: "", **labels}
    missing = [b for b in rest if b not in names]
    if missing and len(rest) == 1 and len(names) == 1:
        notes.append(f'array "{names[0]}" of {source.path} fills the input "{rest[0]}"')
        return {rest[0]: names[0], **labels}
    if missing:
        held = ", ".join((*names, *([_LABEL] if source.has_labels else [])))
        raise DataError(
            f'holds no array for the input "{missing[0]}"; it holds {held}',
            f"name the arrays as the net's inputs: {', '.join(shapes)}, and {_LABEL}",
        ).at(file=source.path)
    unused = [n for n in names if n not in rest]
    if unused:
        notes.append(
            f"{source.path}: the net has no input for {', '.join(unused)}; left out (class"
            f" indices are read from {_LABEL!r})"
        )
    return {**{b: b for b in rest}, **labels}


def _text(shape: Shape) -> str:
    return "x".join(str(d) for d in shape) or "one number"


def _how_to_fit(shape: Shape, wanted: Shape) -> str:
    if len(shape) != 3 or len(wanted) != 3:
        return f"store samples of shape {_text(wanted)}"
    if shape[0] != wanted[0]:
        return f"give data with {wanted[0]} channels"
    _, height, width = wanted
    crop = f"{height}" if height == width else f"{height}x{width}"
    short = max(height, width)
    if shape[1] >= height and shape[2] >= width:
        return f"--crop {crop} takes the centre, --resize {height}x{width} shrinks the whole image"
    return (
        f"--resize {height}x{width} stretches the image, --resize {short} --crop {crop} keeps its"
        " aspect ratio"
    )
