"""Trained weights as values: a blob, the blobs of a layer, the layers of a file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from adaption.errors import FileFormatError, WeightsError
from adaption.io.file_bytes import FileValues
from adaption.io.lp_types import PLAIN
from adaption.later import np, npt

if TYPE_CHECKING:
    from adaption.proto.caffe_pb2 import NetParameter

__all__ = ["FloatArray", "LayerWeights", "WeightBlob", "Weights"]

FloatArray: TypeAlias = "npt.NDArray[np.float32]"

CHUNK = 1 << 20  # values converted at a time when written


@dataclass(frozen=True, eq=False)
class WeightBlob:
    """One parameter blob. Values stay in the file until `array()` is called.

    shape: legacy blobs give the four numbers (num, channels, height, width).
    legacy: the blob was stored with those four numbers instead of a shape; Caffe compares such
        shapes more leniently (Blob::ShapeEquals), so a rewrite keeps the form.
    pieces: what makes up the data in order, of any float type: usually one run of values in the
        file, read when they are asked for. Empty when the file holds no data for the blob.
    diff: gradients to write beside the data (snapshot_diff); those in a file are not read.
    """

    shape: tuple[int, ...]
    legacy: bool = False
    pieces: tuple[npt.NDArray[Any] | FileValues, ...] = field(default=(), repr=False)
    diff: FloatArray | None = field(default=None, repr=False)

    @classmethod
    def of(cls, array: npt.ArrayLike, diff: npt.ArrayLike | None = None) -> WeightBlob:
        """A blob in memory, values as float32; no copy when `array` is float32 in C order."""
        values = np.asarray(array, dtype=np.float32)
        made = None if diff is None else np.ascontiguousarray(diff, dtype="<f4").reshape(-1)
        return cls(values.shape, pieces=(np.ascontiguousarray(values).reshape(-1),), diff=made)

    @property
    def count(self) -> int:
        """Number of values the shape asks for."""
        return math.prod(self.shape)

    @property
    def has_data(self) -> bool:
        return bool(self.pieces) or self.count == 0

    def array(self) -> FloatArray:
        """The values as float32 of `shape`.

        Those of a file are read each time, and cannot be written.
        Raises: WeightsError when the file holds no data for this blob; FileFormatError when it has
            changed since it was opened.
        """
        self._require_data()
        if len(self.pieces) == 1:
            values = _as_float32(self.pieces[0], 0, self.pieces[0].size)
        else:
            parts = [_as_float32(piece, 0, piece.size) for piece in self.pieces]
            values = np.concatenate(parts or [np.empty(0, np.float32)])
        return values.reshape(self.shape)

    def copy(self) -> FloatArray:
        """The values in a new, aligned, writable float32 array of `shape`."""
        return np.array(self.array(), dtype=np.float32, order="C", copy=True)

    def chunks(self) -> Iterator[FloatArray]:
        """The values as contiguous 1-D little-endian float32 arrays, converted piece by piece."""
        self._require_data()
        for piece in self.pieces:
            is_whole = (
                isinstance(piece, np.ndarray)
                and piece.dtype == np.dtype("<f4")
                and piece.flags.c_contiguous
            )
            step = max(piece.size, 1) if is_whole else CHUNK
            for i in range(0, piece.size, step):
                yield np.ascontiguousarray(_as_float32(piece, i, i + step), dtype="<f4")

    def _require_data(self) -> None:
        if not self.has_data:
            raise WeightsError(
                f"a blob of shape {self.shape} is stored without data",
                "give the file the trained weights were saved to",
            )


@dataclass(frozen=True)
class LayerWeights:
    """The blobs of one layer, in Caffe's order. `type` is the V2 string, "" where not stored."""

    name: str
    type: str
    blobs: list[WeightBlob]

    @property
    def is_paired(self) -> bool:
        """Whether the blobs are an LP layer's: W, rounded W, b, rounded b.

        Told by the type; where none is stored (HDF5), by two equal shapes at the front.
        """
        if self.type:
            return self.type in PLAIN
        shapes = [blob.shape for blob in self.blobs]
        if len(shapes) not in (2, 4) or len(shapes[0]) < 2:
            return False
        return shapes[::2] == shapes[1::2]


class Weights:
    """The layers of a weights file, in file order; those without blobs too.

    name: of the net as stored, else "".
    file: where they came from, None when made in memory.
    """

    def __init__(
        self,
        layers: Iterable[LayerWeights],
        name: str = "",
        file: str | os.PathLike[str] | None = None,
        *,
        definition: Callable[[], bytes] | None = None,
    ) -> None:
        self.layers = list(layers)
        self.name = name
        self.file = None if file is None else os.fspath(file)
        self._definition = definition
        # as Caffe copies layer after layer, the last of equal names wins
        self._by_name = {layer.name: layer for layer in self.layers}

    def __iter__(self) -> Iterator[LayerWeights]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __repr__(self) -> str:
        return f"Weights({self.name!r}, {len(self.layers)} layers, file={self.file!r})"

    def get(self, name: str) -> LayerWeights | None:
        """The layer of that name, None when there is none."""
        return self._by_name.get(name)

    def definition(self) -> NetParameter:
        """The net definition stored with the weights, as stored (V0, V1 or V2), without blobs.

        A file that holds weights only gives layers with name and type but no bottoms and tops.
        Raises: FileFormatError when the file kind stores no definition or it does not parse.
        """
        if self._definition is None:
            raise FileFormatError(
                "holds no net definition", "give the prototxt of the net too", file=self.file
            )
        from google.protobuf.message import DecodeError

        from adaption.proto.caffe_pb2 import NetParameter

        try:
            return NetParameter.FromString(self._definition())
        except DecodeError as error:
            raise FileFormatError(
                f"the stored net definition does not parse: {error}",
                "give the prototxt of the net too",
                file=self.file,
            ) from None


def _as_float32(piece: npt.NDArray[Any] | FileValues, start: int, stop: int) -> FloatArray:
    values = piece[start:stop]
    if isinstance(piece, FileValues):
        values.flags.writeable = False  # as views into a file are: a change would not reach it
    if values.dtype == np.float32 and values.flags.c_contiguous:
        return values
    with np.errstate(over="ignore", invalid="ignore"):  # a double beyond float32 becomes inf
        return values.astype(np.float32)
