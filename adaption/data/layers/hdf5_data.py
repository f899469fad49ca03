"""HDF5Data: rows of the data sets named as the tops, file after file. Caffe: hdf5_data_layer.cpp.

A file is held in memory as a whole; the next is read when its rows are used up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adaption.data.arrays import read_hdf5_list
from adaption.data.base import Array
from adaption.data.feed import check_batch_size, check_source, new_rng, shard
from adaption.errors import AdaptionError, DataError, LayerError
from adaption.io.caffemodel_h5 import open_hdf5
from adaption.layers.base import Layer, Runtime, Shape, layer


@layer("HDF5Data", param="hdf5_data_param", bottoms=0, tops=(1, None), is_source=True)
@dataclass(frozen=True)
class HDF5Data(Layer):
    source: str
    batch_size: int
    shuffle: bool

    def check(self) -> None:
        check_batch_size("hdf5_data_param", self.batch_size)
        if self.spec.message.HasField("transform_param"):
            raise LayerError(
                "has a transform_param, but HDF5Data does not transform data",
                "remove it, and store the data as the net takes it",
            )

    @cached_property
    def files(self) -> list[str]:
        """The files that `source` lists. Raises: DataError, FileFormatError."""
        check_source("hdf5_data_param", self.source)
        return read_hdf5_list(self.source)

    @cached_property
    def _row_shapes(self) -> list[Shape]:
        arrays = _read(self.files[0], self.spec.tops, values=False)
        return [a.shape[1:] for a in arrays]

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [(self.batch_size, *shape) for shape in self._row_shapes]

    def run(self, runtime: Runtime, *tensors: Tensor) -> list[Tensor]:
        if "rows" not in runtime.state:
            rng = new_rng(runtime) if self.shuffle else None
            runtime.state["rows"] = _Rows(self.files, self.spec.tops, rng, shard(runtime))
        batch = runtime.state["rows"].take(self.batch_size)
        return [torch.from_numpy(a).to(runtime.device) for a in batch]


class _Rows:
    """An endless stream of rows; with `rng`, files and the rows in each come in random order."""

    def __init__(
        self,
        files: Sequence[str],
        names: Sequence[str],
        rng: np.random.Generator | None,
        share: tuple[int, int],
    ) -> None:
        self.files = files
        self.names = names
        self.rng = rng
        self.ahead, self.step = share  # rows to pass over before the next; of how many one is kept
        self.queue: list[int] = []
        self.loaded: int | None = None
        self._next_file()

    def _order(self, count: int) -> Array:
        return np.arange(count) if self.rng is None else self.rng.permutation(count)

    def _next_file(self) -> None:
        if not self.queue:
            self.queue = [int(i) for i in self._order(len(self.files))]
        number = self.queue.pop(0)
        if number != self.loaded:
            self.arrays = _read(self.files[number], self.names, values=True)
            self.loaded = number
        self.rows = self._order(len(self.arrays[0]))

    def take(self, count: int) -> list[Array]:
        parts: list[list[Array]] = [[] for _ in self.names]
        while count:
            chosen = self.rows[self.ahead :: self.step][:count]
            for part, array in zip(parts, self.arrays, strict=True):
                part.append(array[chosen])
            count -= len(chosen)
            used = self.ahead + len(chosen) * self.step
            if used < len(self.rows):
                self.rows, self.ahead = self.rows[used:], 0
            else:
                self.ahead = used - len(self.rows)
                self._next_file()
        return [np.concatenate(part) for part in parts]


def _read(path: str, names: Sequence[str], *, values: bool) -> list[Array]:
    """The data sets of a file as float32; without `values`, arrays of one row's shape and no data.

    Raises: DataError when one is missing, or they have different numbers of rows.
    """
    if not Path(path).exists():
        raise DataError(
            "no such file", "paths in the list are relative to the working directory", file=path
        )
    arrays: list[Array] = []
    try:
        with open_hdf5(path) as file:
            for name in names:
                if name not in file or not hasattr(file[name], "dtype"):
                    raise DataError(
                        f"holds no data set {name!r} for the top of that name; it holds"
                        f" {', '.join(sorted(file)) or 'nothing'}",
                        "name the data sets as the tops",
                    )
                item = file[name]
                if not item.shape or not item.shape[0]:
                    raise DataError(f"data set {name!r} has no rows")
                if values:
                    arrays.append(np.asarray(item[()], np.float32))
                else:
                    arrays.append(np.broadcast_to(np.float32(0), item.shape))
    except AdaptionError as error:
        raise error.at(file=path) from None
    lengths = {name: len(a) for name, a in zip(names, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise DataError(f"the data sets have different numbers of rows: {listed}", file=path)
    return arrays
