"""Datum records, as Caffe's LMDB and LevelDB data sets hold them. Caffe: data_transformer.cpp."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from adaption.data.base import Array, Job, Sample, Source, index_in
from adaption.data.decode import decode_image
from adaption.errors import DataError
from adaption.later import np
from adaption.proto import caffe_pb2

__all__ = ["DatumSource", "datum_batch", "datum_image", "datum_sample"]


def datum_sample(name: str, record: bytes, is_color: bool | None = None) -> Sample:
    """The sample in a serialized Datum.

    Args:
        is_color: for encoded images, as `decode_image`; raw values stay as they are stored.
    Raises: DataError when the bytes are no Datum, or its sizes and values do not fit.
    """
    datum = caffe_pb2.Datum()
    try:
        datum.ParseFromString(record)
    except Exception as error:  # protobuf's DecodeError moved between its releases
        raise DataError(f"record {name!r} is no Datum: {error}") from None
    try:
        image = datum_image(datum, is_color)
    except DataError as error:
        raise DataError(f"record {name!r} {error.fact}", error.fix) from None
    return Sample(image, datum.label if datum.HasField("label") else None, name)


def datum_image(datum: caffe_pb2.Datum, is_color: bool | None = None) -> Array:
    """The values of a Datum, (C, H, W): uint8 from `data`, float32 from `float_data`.

    Raises: DataError.
    """
    if datum.encoded:
        return decode_image(datum.data, is_color)
    shape = (datum.channels, datum.height, datum.width)
    values: Array
    if datum.data:
        values = np.frombuffer(datum.data, np.uint8)
    else:
        values = np.array(datum.float_data, np.float32)
    if not values.size:
        raise DataError(
            "is no Datum with values",
            "give a data set that convert_imageset or another writer of Datum made",
        )
    if min(shape) < 1 or values.size != shape[0] * shape[1] * shape[2]:
        raise DataError(f"holds {values.size} values for channels, height, width {shape}")
    return values.reshape(shape)


def datum_batch(
    records: Sequence[tuple[bytes, bytes]], is_color: bool | None = None
) -> tuple[Array | list[Array], list[int]]:
    """Images and labels of records (key, Datum); raw values of one shape as one (N, C, H, W).

    Raises: DataError, as `datum_sample`.
    """
    raw = _raw_batch([value for _, value in records])
    if raw is not None:
        return raw
    samples = [
        datum_sample(key.decode("utf-8", "replace"), value, is_color) for key, value in records
    ]
    return [sample.image for sample in samples], [sample.label or 0 for sample in samples]


def _raw_batch(values: Sequence[bytes]) -> tuple[Array, list[int]] | None:
    """As `datum_batch`, for whole records of uint8 values of one shape; None for others."""
    datums = []
    for value in values:
        datum = caffe_pb2.Datum()
        try:
            datum.ParseFromString(value)
        except Exception:  # said by datum_sample, with the name of the record
            return None
        if datum.encoded:
            return None
        datums.append(datum)
    first = datums[0]
    shape = (first.channels, first.height, first.width)
    size = shape[0] * shape[1] * shape[2]
    pixels = [datum.data for datum in datums]
    is_regular = size and all(
        len(data) == size and (d.channels, d.height, d.width) == shape
        for data, d in zip(pixels, datums, strict=True)
    )
    if not is_regular:
        return None
    images = np.frombuffer(b"".join(pixels), np.uint8).reshape(len(datums), *shape)
    return images, [datum.label for datum in datums]


class DatumSource(Source):
    """A key-value store of Datum in the order of its keys; subclasses read the store."""

    def __init__(self, path: Path, is_color: bool | None) -> None:
        super().__init__(path)
        self.is_color = is_color
        first = next(self.records(), None)
        if first is None:
            raise self.nothing_readable()
        datum = caffe_pb2.Datum()
        try:
            datum.ParseFromString(first[1])
        except Exception:  # one bad record is skipped later, like any other
            return
        self.is_decoded = datum.encoded
        self.has_labels = datum.HasField("label")

    @abstractmethod
    def records(self, skip: int = 0, step: int = 1) -> Generator[tuple[bytes, bytes], None, int]:
        """Keys and values in the order of the keys: record `skip`, and every `step`-th from there.

        Returns: how many records of a pass that followed would come before its first.
        """

    @abstractmethod
    def all_keys(self) -> list[bytes]: ...

    @abstractmethod
    def value(self, key: bytes) -> bytes: ...

    @cached_property
    def _keys(self) -> list[bytes]:
        return self.all_keys()

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Sample:
        key = self._keys[index_in(index, len(self))]
        return self._load(key.decode("utf-8", "replace"), self.value(key))

    def jobs(self, skip: int = 0) -> Iterator[Job]:
        for key, value in self.records(skip):
            name = key.decode("utf-8", "replace")
            yield Job(name, partial(self._load, name, value))

    def _load(self, name: str, value: bytes) -> Sample:
        try:
            return datum_sample(name, value, self.is_color)
        except DataError as error:
            raise error.at(file=self.path) from None

    def as_color(self, is_color: bool) -> Self:
        return self if self.is_color is not None else self._with_color(is_color)
