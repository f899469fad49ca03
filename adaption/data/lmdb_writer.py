"""Writes LMDBs of Datum, and takes the mean of images.

Caffe: convert_imageset.cpp, compute_image_mean.cpp.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from adaption.data.ahead import WORKERS, ahead
from adaption.data.base import Array, Sample, Source
from adaption.data.images import ImageSource
from adaption.data.packed import PackedSource
from adaption.data.resize import resize
from adaption.errors import (
    DataError,
    FieldError,
    MissingExtraError,
    ResourceError,
    UsageError,
    system_error,
)
from adaption.io.outputs import staged_folder
from adaption.later import np, npt
from adaption.numerics.seeds import checked_seed
from adaption.proto import caffe_pb2

__all__ = ["DatumForm", "datum_records", "mean_image", "write_lmdb"]

Record = tuple[bytes, bytes]  # key, value

_COMMIT = 1000  # records of a transaction; convert_imageset.cpp
_MAP_BYTES = 64 << 20  # doubled when it is full, as db_lmdb.cpp does
_FORMATS = {"jpg": "JPEG", "png": "PNG"}
_JPEG_QUALITY = 95  # cv::imencode's


@dataclass(frozen=True)
class DatumForm:
    """How samples are stored.

    Args:
        size: (height, width) that images are resized to, as cv::resize does it.
        encoding: "" for raw values; "same" for compressed images in the form of their files, byte
            for byte where nothing changes them; "jpg" or "png" for that form.
        channel_order: of raw values, "BGR", or "RGB" as the CIFAR-10 nets take them.
        pad: rows and columns of zeros around raw values, so that random crops move the image.
    Raises: FieldError.
    """

    size: tuple[int, int] | None = None
    encoding: str = ""
    channel_order: str = "BGR"
    pad: int = 0

    def __post_init__(self) -> None:
        if self.encoding not in ("", "same", *_FORMATS):
            raise FieldError("encoding", self.encoding, "'', 'same', 'jpg' or 'png'")
        allowed = ("BGR",) if self.encoding else ("BGR", "RGB")
        if self.channel_order not in allowed:
            beside = " beside an encoding" if self.encoding else ""
            raise FieldError(
                "channel_order", self.channel_order, " or ".join(map(repr, allowed)) + beside
            )
        if self.pad < 0 or (self.pad and self.encoding):
            raise FieldError(
                "pad", self.pad, "0 beside an encoding" if self.encoding else "0 or more"
            )


def datum_records(
    source: Source, form: DatumForm = DatumForm(), *, shuffle_seed: int | None = None
) -> Iterator[Record]:
    """Key and Datum of each sample of a source; see `write_lmdb`.

    Keys are those of convert_imageset, the place in eight digits, `_` and the name, for image
    files, and those of convert_mnist_data, the place alone, for others. Samples that cannot be read
    leave a gap and are listed in `source.skipped`. A source opened with `is_color=False` gives
    one channel.

    Args:
        shuffle_seed: shuffle the samples, by this seed.
    Raises: DataError when compressed images are asked for and the source has none, or when no
        sample can be stored.
    """
    if form.encoding and not isinstance(source, ImageSource | PackedSource):
        raise DataError("holds no compressed images", "store raw values", file=source.path)
    order: Sequence[int] = range(len(source))
    if shuffle_seed is not None:
        order = (
            np.random.default_rng(checked_seed(shuffle_seed) % 2**64)
            .permutation(len(source))
            .tolist()
        )
    calls = (partial(_record, source, form, place, index) for place, index in enumerate(order))
    count = 0
    for place, record in enumerate(ahead(calls, WORKERS if source.is_decoded else 0, window=64)):
        if isinstance(record, DataError):
            source.skip(_name(source, order[place]), record)
        else:
            count += 1
            yield record
    if not count:
        raise source.nothing_readable()


def _name(source: Source, index: int) -> str:
    return source.entries[index].file if isinstance(source, ImageSource) else str(index)


def _record(source: Source, form: DatumForm, place: int, index: int) -> Record | DataError:
    key = f"{place:08d}"
    if isinstance(source, ImageSource):
        key += "_" + source.entries[index].file
    try:
        datum = _datum(source, form, index)
    except DataError as error:
        return error
    return key.encode("utf-8", "surrogateescape"), datum.SerializeToString()


def _datum(source: Source, form: DatumForm, index: int) -> caffe_pb2.Datum:
    sample = source[index]  # decoded in any case: what does not decode is of no use
    datum = caffe_pb2.Datum()
    if sample.label is not None:
        datum.label = sample.label
    if form.encoding and isinstance(source, ImageSource | PackedSource):
        is_changed = form.size is not None or source.is_color is False
        datum.data = _encoded(source.encoded(index), sample, form, is_changed)
        datum.encoded = True
        return datum
    image = sample.image
    if image.ndim != 3:
        raise DataError(f"sample {sample.name!r} has shape {image.shape}, a Datum has three axes")
    if form.size is not None:
        image = resize(image, *form.size)
    if form.pad:
        image = np.pad(image, ((0, 0), (form.pad, form.pad), (form.pad, form.pad)))
    if form.channel_order == "RGB" and len(image) == 3:
        image = image[::-1]
    datum.channels, datum.height, datum.width = image.shape
    if image.dtype == np.uint8:
        datum.data = image.tobytes()
    else:
        datum.float_data.extend(image.astype(np.float32).ravel().tolist())
    return datum


def _encoded(content: bytes, sample: Sample, form: DatumForm, is_changed: bool) -> bytes:
    """The image as a file; `content` is the one it was read from."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as file:
        own = file.format or ""
    wanted = _FORMATS.get(form.encoding, own)
    if wanted == own and not is_changed:
        return content
    image = sample.image if form.size is None else resize(sample.image, *form.size)
    pixels = image[0] if len(image) == 1 else image[::-1].transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, wanted, quality=_JPEG_QUALITY)
    return stream.getvalue()


def write_lmdb(path: str | os.PathLike[str], records: Iterable[Record]) -> int:
    """Write a new LMDB of keys and values; it appears when it is whole. Returns their number.

    Raises: UsageError when something is there already or the folder is missing; DataError when a
        key comes twice.
    """
    path = Path(path)
    try:
        if path.exists():
            raise UsageError("exists already", "remove it, or choose another name", file=path)
        if not path.parent.is_dir():
            raise UsageError("its folder does not exist", f"mkdir -p {path.parent}", file=path)
    except OSError as error:
        raise system_error(error, "cannot be written", file=path) from None
    try:
        lmdb = importlib.import_module("lmdb")
    except ImportError:
        raise MissingExtraError("lmdb", "lmdb", "LMDB") from None
    try:
        with staged_folder(path, (), marker="data.mdb") as folder:
            with lmdb.open(os.fsencode(folder), map_size=_MAP_BYTES, sync=False) as environment:
                count = 0
                remaining = iter(records)
                while chunk := list(islice(remaining, _COMMIT)):
                    while not _put(environment, chunk, lmdb.MapFullError):
                        environment.set_mapsize(2 * environment.info()["map_size"])
                    count += len(chunk)
                environment.sync(True)
    except lmdb.Error as error:
        raise ResourceError(f"cannot be written: {error}", file=path) from None
    return count


def _put(environment: Any, records: Sequence[Record], full: type[Exception]) -> bool:
    """Write all of the records, or none and return False where there is no room for them."""
    try:
        with environment.begin(write=True) as transaction:
            for key, value in records:
                if not transaction.put(key, value, overwrite=False):
                    raise DataError(f"key {key!r} comes twice", "give every sample its own key")
    except full:
        return False
    return True


def mean_image(samples: Iterable[Sample]) -> npt.NDArray[np.float32]:
    """The mean (C, H, W) of images of one shape; `io.blobproto.write_mean` stores it.

    Raises: DataError when the shapes differ, or there are no samples.
    """
    total: Array | None = None
    count = 0
    for sample in samples:
        if total is None:
            total = np.zeros(sample.image.shape, np.float64)
        if sample.image.shape != total.shape:
            raise DataError(
                f"sample {sample.name!r} has shape {sample.image.shape}, the first {total.shape}",
                "resize the images to one size",
            )
        total += sample.image
        count += 1
    if total is None:
        raise DataError("there are no samples to take the mean of")
    mean: npt.NDArray[np.float32] = (total / count).astype(np.float32)
    return mean
