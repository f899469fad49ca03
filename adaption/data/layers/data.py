"""Data: batches from an LMDB or LevelDB of Datum, again from the start at its end.

Caffe: data_layer.cpp. Several training processes take every n-th record each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from torch import Tensor

from adaption.data.base import Job
from adaption.data.datum import DatumSource
from adaption.data.feed import Feed, check_batch_size, check_source, new_rng, shard, stack
from adaption.data.leveldb_source import LevelDbSource, is_leveldb
from adaption.data.lmdb_source import LmdbSource, is_lmdb
from adaption.data.transform import Transform
from adaption.errors import DataError
from adaption.layers.base import Layer, Runtime, Shape, layer


@layer("Data", param="data_param", bottoms=0, tops=(1, 2), is_source=True)
@dataclass(frozen=True)
class Data(Layer):
    source: str
    batch_size: int
    rand_skip: int
    force_encoded_color: bool

    def check(self) -> None:
        check_batch_size("data_param", self.batch_size)

    @cached_property
    def transform(self) -> Transform:
        return Transform.from_message(self.spec.message.transform_param)

    @cached_property
    def _first_shape(self) -> Shape:
        return self._open()[0].image.shape

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        shape = self.transform.top_shape(self._first_shape)
        return [(self.batch_size, *shape), (self.batch_size,)][: len(self.spec.tops)]

    def run(self, runtime: Runtime, *tensors: Tensor) -> list[Tensor]:
        if "feed" not in runtime.state:
            source = self._open()
            jobs = self._stream(source, runtime)
            runtime.state["feed"] = Feed(jobs, self.batch_size, is_decoded=source.is_decoded)
        tops = stack(runtime.state["feed"].take(), self.transform, runtime)
        return tops[: len(self.spec.tops)]

    def _open(self) -> DatumSource:
        """The store by its content: a wrong `backend` does no harm."""
        check_source("data_param", self.source)
        path = Path(self.source)
        is_color = True if self.force_encoded_color else self.transform.is_color
        if is_lmdb(path):
            return LmdbSource(path, is_color)
        if is_leveldb(path):
            return LevelDbSource(path, is_color)
        raise DataError(
            "is no LMDB and no LevelDB",
            "make one with convert_imageset, or use an ImageData or HDF5Data layer",
            file=self.source,
        )

    def _stream(self, source: DatumSource, runtime: Runtime) -> Iterator[Job]:
        skip = int(new_rng(runtime).integers(self.rand_skip)) if self.rand_skip else 0
        rank, count = shard(runtime)
        return islice(_endless(source), skip + rank, None, count)


def _endless(source: DatumSource) -> Iterator[Job]:
    while True:
        yield from source.jobs()
