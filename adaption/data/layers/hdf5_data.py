"""HDF5Data: rows of the data sets named as the tops, file after file. Caffe: hdf5_data_layer.cpp.

A file is held in memory as a whole; the next is read when its rows are used up. With `shuffle`
files, and the rows in each, come in random order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from adaption.data.base import Array, Source
from adaption.data.feed import FedLayer, Order, check_batch_size, check_source, shuffled
from adaption.data.part import kept_samples
from adaption.data.transform import Transform
from adaption.errors import DataError, LayerError
from adaption.io.hdf5 import array_of, damage_told, is_group, member, open_hdf5
from adaption.io.kinds import is_there, near_file
from adaption.later import np
from adaption.layers.base import Runtime, Shape, layer


@layer(
    "HDF5Data",
    param="hdf5_data_param",
    kind="data",
    bottoms=0,
    tops=(1, None),
    is_source=True,
    takes_part=True,
)
@dataclass(frozen=True)
class HDF5Data(FedLayer):
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
        from adaption.data.arrays import read_hdf5_list

        return read_hdf5_list(self.source)

    def one_pass(self) -> tuple[Source, Transform | None]:
        from adaption.data.source import open_source

        return self.kept(open_source(self.source, root=".")), None

    def set_up_lines(self, top_shape: str) -> Iterator[tuple[str, str]]:
        yield "hdf5_data_layer.cpp:79", f"Loading list of HDF5 filenames from: {self.source}"

    def _shapes(self, number: int) -> list[Shape]:
        """Shapes of the data sets of a file, without reading them."""
        if number not in self._known_shapes:
            arrays = _read(self.files[number], self.spec.tops, values=False)
            self._known_shapes[number] = [a.shape for a in arrays]
        return self._known_shapes[number]

    @cached_property
    def _known_shapes(self) -> dict[int, list[Shape]]:
        return {}

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [(self.batch_size, *shape[1:]) for shape in self._shapes(0)]

    def is_random(self, runtime: Runtime) -> bool:
        return self.shuffle

    @property
    def is_decoded(self) -> bool:
        return False

    def epoch_size(self) -> int:
        return sum(len(self._rows(i)) for i in self._numbers)

    def _length(self, number: int) -> int:
        return self._shapes(number)[0][0]

    @cached_property
    def _kept(self) -> dict[int, range] | None:
        """The rows to read, by file; None: all rows of all files, whose lengths need no reading."""
        if not self.spec.message.HasField("source_part"):
            return None
        lengths = [self._length(number) for number in range(len(self.files))]
        part = kept_samples(self.spec.message, sum(lengths))
        kept = {}
        first = 0
        for number, length in enumerate(lengths):
            rows = range(max(part.start - first, 0), min(part.stop - first, length))
            if rows:
                kept[number] = rows
            first += length
        return kept

    @property
    def _numbers(self) -> Sequence[int]:
        """The files that are read."""
        return range(len(self.files)) if self._kept is None else list(self._kept)

    def _rows(self, number: int) -> range:
        """The rows of a file that are read."""
        return range(self._length(number)) if self._kept is None else self._kept[number]

    def batches(self, runtime: Runtime, order: Order) -> Iterator[Callable[[], list[Array]]]:
        parts: list[_Part] = []
        missing = self.batch_size
        for arrays, rows in self._parts(order):
            while len(rows):
                parts.append((arrays, rows[:missing]))
                rows = rows[missing:]
                missing = self.batch_size - sum(len(chosen) for _, chosen in parts)
                if not missing:
                    yield partial(_gather, parts)
                    parts, missing = [], self.batch_size

    def _parts(self, order: Order) -> Iterator[_Part]:
        """The rows to take from one file after the other, without end."""
        skip = order.start  # rows that come before the next one
        epoch = 0
        loaded, arrays = -1, []
        while True:
            before = skip
            numbers = self._numbers
            for number in (numbers[i] for i in self._permuted(len(numbers), order.seed, epoch)):
                if skip and skip >= (length := len(self._rows(number))):
                    skip -= length
                    continue
                if number != loaded:
                    arrays = _read(self.files[number], self.spec.tops, values=True)
                    loaded = number
                kept = self._rows(number)
                rows = kept.start + self._permuted(len(kept), order.seed, epoch, number)
                chosen = rows[skip :: order.step]
                yield arrays, chosen
                skip += len(chosen) * order.step - len(rows)
            epoch += 1
            if skip >= order.step:  # a whole pass was left out, and now its length is known
                size = before - skip
                epoch += skip // size
                skip %= size

    def _permuted(self, size: int, seed: int, *path: int) -> Array:
        return shuffled(size, seed, *path) if self.shuffle else np.arange(size)


_Part = tuple[list[Array], Array]  # the data sets of a file, and rows of them


def _gather(parts: Sequence[_Part]) -> list[Array]:
    """The rows of a batch, a top for each data set."""
    count = len(parts[0][0])
    return [np.concatenate([arrays[i][rows] for arrays, rows in parts]) for i in range(count)]


def _read(path: str, names: Sequence[str], *, values: bool) -> list[Array]:
    """The data sets of a file as float32; without `values`, arrays of one row's shape and no data.

    Raises: DataError when one is missing, or they have different numbers of rows.
    """
    if not is_there(path):
        fix = f"{near_file(path)} paths in the list are relative to the working directory".lstrip()
        raise DataError("no such file", fix, file=path)
    arrays: list[Array] = []
    with open_hdf5(path) as file, damage_told(path):
        for name in names:
            item = member(file, name)
            if item is None or is_group(item):
                raise DataError(
                    f"holds no data set {name!r} for the top of that name; it holds"
                    f" {', '.join(sorted(file)) or 'nothing'}",
                    "name the data sets as the tops",
                )
            array = array_of(item, path)
            if not array.shape or not array.shape[0]:
                raise DataError(f"data set {name!r} has no rows")
            if array.dtype.kind not in "iufb":
                raise DataError(f"data set {name!r} holds {array.dtype} values, not numbers")
            if values:
                arrays.append(np.asarray(array[()], np.float32))
            else:
                arrays.append(np.broadcast_to(np.float32(0), array.shape))
    lengths = {name: len(a) for name, a in zip(names, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise DataError(f"the data sets have different numbers of rows: {listed}", file=path)
    return arrays
