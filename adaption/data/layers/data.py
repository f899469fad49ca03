"""Data: batches from an LMDB or LevelDB of Datum, again from the start at its end.

Caffe: data_layer.cpp. Several training processes take every n-th record each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

from adaption.data.base import Array, Source
from adaption.data.datum import DatumSource, datum_batch
from adaption.data.feed import (
    FedLayer,
    Order,
    Samples,
    check_batch_size,
    check_source,
    skipped,
    stack,
)
from adaption.data.part import kept_samples
from adaption.data.transform import Transform
from adaption.errors import DataError
from adaption.later import np
from adaption.layers.base import Runtime, Shape, layer


@layer(
    "Data",
    param="data_param",
    kind="data",
    obeys_transform=True,
    takes_part=True,
    bottoms=0,
    tops=(1, 2),
    is_source=True,
    reads=("backend",),
)
@dataclass(frozen=True)
class Data(FedLayer):
    source: str
    batch_size: int
    rand_skip: int
    force_encoded_color: bool
    prefetch: int

    def check(self) -> None:
        check_batch_size("data_param", self.batch_size)

    @cached_property
    def transform(self) -> Transform:
        return Transform.from_message(self.spec.message.transform_param)

    def one_pass(self) -> tuple[Source, Transform | None]:
        from adaption.data.source import open_source

        transform = Transform.from_message(self.spec.message.transform_param, "TEST")
        is_color = True if self.force_encoded_color else transform.is_color
        return self.kept(open_source(self.source, is_color=is_color)), transform

    def set_up_lines(self, top_shape: str) -> Iterator[tuple[str, str]]:
        param = self.spec.message.data_param
        kind = type(param).DB.Name(param.backend).lower()
        yield (
            ("db_lmdb.cpp:35" if kind == "lmdb" else "db_leveldb.cpp:18"),
            (f"Opened {kind} {self.source}"),
        )
        yield "data_layer.cpp:41", f"output data size: {top_shape}"

    @cached_property
    def _first_shape(self) -> Shape:
        return self._open()[self._part[0]].image.shape

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        shape = self.transform.top_shape(self._first_shape)
        return [(self.batch_size, *shape), (self.batch_size,)][: len(self.spec.tops)]

    def is_random(self, runtime: Runtime) -> bool:
        return bool(self.rand_skip) or self.transform.with_phase(runtime.phase).is_random

    def batches(self, runtime: Runtime, order: Order) -> Iterator[Callable[[], list[Array]]]:
        source = self._open()
        transform = self.transform.with_phase(runtime.phase)
        skip = order.start + skipped(order.seed, self.rand_skip)
        part = self._part if self.spec.message.HasField("source_part") else None
        records = _endless(source, part, skip, order.step)
        for numbers in order.batches(self.batch_size):
            chosen = list(islice(records, self.batch_size))
            yield partial(_make, source, chosen, transform, order.seed, numbers)

    @property
    def is_decoded(self) -> bool:
        return self._open().is_decoded

    def epoch_size(self) -> int:
        return len(self._part)

    @cached_property
    def _part(self) -> range:
        return kept_samples(self.spec.message, len(self._open()))

    def _open(self) -> DatumSource:
        """The store by its content: a wrong `backend` does no harm."""
        check_source("data_param", self.source)
        # What opens the stores is not needed to look into a net without its data.
        from adaption.data.lmdb_source import LmdbSource, is_lmdb

        path = Path(self.source)
        is_color = True if self.force_encoded_color else self.transform.is_color
        if is_lmdb(path):
            return LmdbSource(path, is_color)
        from adaption.data.leveldb_source import LevelDbSource, is_leveldb

        if is_leveldb(path):
            return LevelDbSource(path, is_color)
        raise DataError(
            "is no LMDB and no LevelDB",
            "make one with convert_imageset, or use an ImageData or HDF5Data layer",
            file=self.source,
        )


def _endless(
    source: DatumSource, part: range | None, skip: int, step: int
) -> Iterator[tuple[bytes, bytes]]:
    """Every `step`-th record from number `skip` on, pass after pass; of a part, or of all."""
    while part is not None:
        rest = part[skip % len(part) :: step]
        yield from islice(source.records(rest.start, step), len(rest))
        skip += step * len(rest)
    while True:
        left = yield from source.records(skip, step)
        # As much left as that means that the pass was over before its first record.
        skip = left % (skip - left) if left >= step else left


def _make(
    source: DatumSource,
    records: Sequence[tuple[bytes, bytes]],
    transform: Transform,
    seed: int,
    numbers: Array,
) -> list[Array]:
    try:
        images, labels = datum_batch(records, source.is_color)
    except DataError as error:
        raise error.at(file=source.path) from None
    names = [key.decode("utf-8", "replace") for key, _ in records]
    samples = Samples(images, np.array(labels, np.float32), names)
    return stack(samples, transform, seed, numbers)
