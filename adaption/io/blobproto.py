"""BlobProto: one blob as caffemodel, solverstate and mean files store it; .binaryproto and .npy.

Source: caffe.proto (BlobProto), blob.cpp (Blob::FromProto, Blob::ToProto).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from adaption.errors import FileFormatError, UsageError
from adaption.io import wire
from adaption.io.atomic import atomic_write
from adaption.io.file_bytes import FileBytes, FileValues
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.weights import FloatArray, WeightBlob
from adaption.later import np, npt

__all__ = [
    "blob_length",
    "read_blob",
    "read_blob_message",
    "read_mean",
    "write_blob",
    "write_blob_message",
    "write_mean",
]

# BlobProto field numbers; 10 and 12 are NVCaffe's raw_data_type and raw_data
_LEGACY = (1, 2, 3, 4)  # num, channels, height, width
_DATA, _DIFF, _SHAPE, _DOUBLE_DATA, _RAW_TYPE, _RAW_DATA = 5, 6, 7, 8, 10, 12
_Piece: TypeAlias = "npt.NDArray[Any] | FileValues"
_RAW_DTYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # NVCaffe enum Type: DOUBLE, FLOAT, FLOAT16


def read_blob_message(buffer: wire.Buffer, start: int = 0, end: int | None = None) -> WeightBlob:
    """The BlobProto in buffer[start:end] as a blob whose data stay in `buffer` until used.

    Raises: FileFormatError when bytes, shape and data do not fit each other.
    """
    stop = len(buffer) if end is None else end
    dims: list[int] = []
    legacy: dict[int, int] = {}
    data: list[_Piece] = []
    double: list[_Piece] = []
    raw: wire.Field | None = None
    raw_type = 0
    has_shape = False
    for field in _fields(buffer, start, stop):
        match field.number, field.wire:
            case ((1 | 2 | 3 | 4), wire.VARINT):
                legacy[field.number] = wire.signed(field.value)
            case 5, (wire.LENGTH | wire.FIXED32):
                data += _values(buffer, field, "<f4")
            case 7, wire.LENGTH:
                has_shape = True
                dims += _shape_dims(buffer, field)
            case 8, (wire.LENGTH | wire.FIXED64):
                double += _values(buffer, field, "<f8")
            case 10, wire.VARINT:
                raw_type = field.value
            case 12, wire.LENGTH:
                raw = field
    if raw is not None:
        data = _raw_values(buffer, raw, raw_type)
    pieces = double or data  # Blob::FromProto: double_data first
    held = sum(piece.size for piece in pieces)
    if legacy:  # Blob::FromProto: the four numbers first, absent ones are 0
        shape = tuple(legacy.get(number, 0) for number in _LEGACY)
    elif has_shape:
        shape = tuple(dims)
    else:
        shape = (held,)
    if min(shape, default=0) < 0 or (pieces and math.prod(shape) != held):
        raise FileFormatError(
            f"byte {start}: a blob of shape {shape} holds {held} values",
            "the file is damaged; fetch or write it again",
        )
    return WeightBlob(shape, bool(legacy), tuple(pieces))


def blob_length(blob: WeightBlob) -> int:
    """Size in bytes of the BlobProto that `write_blob_message` writes."""
    values = 4 * blob.count if blob.pieces else 0
    return len(_blob_head(blob)) + values + len(_diff_head(blob)) + _diff_size(blob)


def write_blob_message(out: BinaryIO, blob: WeightBlob) -> None:
    """Write `blob` as a BlobProto with packed float data, a little at a time."""
    out.write(_blob_head(blob))
    if blob.pieces:
        for values in blob.chunks():
            out.write(values.view(np.uint8).data)
    if blob.diff is not None:
        out.write(_diff_head(blob))
        out.write(blob.diff.view(np.uint8).data)


def _diff_size(blob: WeightBlob) -> int:
    return 0 if blob.diff is None else blob.diff.nbytes


def _diff_head(blob: WeightBlob) -> bytes:
    if blob.diff is None:
        return b""
    return wire.encode_tag(_DIFF, wire.LENGTH) + wire.encode_varint(_diff_size(blob))


def _blob_head(blob: WeightBlob) -> bytes:
    """Everything up to the values."""
    if blob.legacy:
        head = b"".join(
            wire.encode_field(number, size)
            for number, size in zip(_LEGACY, blob.shape, strict=True)
        )
    else:
        dims = b"".join(wire.encode_varint(size) for size in blob.shape)
        packed = wire.encode_field(1, dims) if dims else b""  # BlobShape.dim
        head = wire.encode_field(_SHAPE, packed)
    if blob.pieces:
        head += wire.encode_tag(_DATA, wire.LENGTH) + wire.encode_varint(4 * blob.count)
    return head


def read_blob(path: str | os.PathLike[str]) -> FloatArray:
    """The array in a .binaryproto (BlobProto) or .npy file, in the shape it is stored with.

    Raises: FileFormatError when the file is missing, truncated or of another kind.
    """
    kind = kind_of(path)
    if kind == "npy":
        return _read_npy(path)
    if kind != "binary protobuf":
        fix = "give the file that compute_image_mean or numpy.save wrote"
        raise wrong_kind(path, kind, "a .binaryproto or .npy array", fix)
    try:
        blob = read_blob_message(FileBytes(path))
    except FileFormatError as error:
        raise error.at(file=path) from None
    if not blob.has_data or not blob.count:
        raise FileFormatError(
            f"holds a blob of shape {blob.shape} without data",
            "is it a .binaryproto at all? write it again with compute_image_mean",
            file=path,
        )
    return blob.copy()


def read_mean(path: str | os.PathLike[str]) -> FloatArray:
    """The mean in a .binaryproto or .npy file: (C, H, W), or (C,) for one value per channel.

    A leading axis of 1, as Caffe writes it, is dropped.
    Raises: FileFormatError as `read_blob`, and for any other number of axes.
    """
    mean = read_blob(path)
    if mean.ndim == 4 and mean.shape[0] == 1:
        mean = mean[0]
    if mean.ndim not in (1, 3):
        raise FileFormatError(
            f"holds an array of shape {mean.shape}, a mean is (C, H, W), (1, C, H, W) or (C,)",
            "give the mean of the training images",
            file=path,
        )
    return mean


def write_blob(path: str | os.PathLike[str], array: npt.ArrayLike, *, legacy: bool = False) -> None:
    """Write an array as .npy or, for any other suffix, as a BlobProto.

    Args:
        legacy: store num, channels, height, width (four axes) instead of a shape.
    """
    values = np.asarray(array, dtype=np.float32)
    if legacy and values.ndim != 4:
        raise UsageError(f"a legacy blob has four axes, the array has shape {values.shape}")
    with atomic_write(path) as out:
        if Path(path).suffix == ".npy":
            np.save(out, values, allow_pickle=False)
        else:
            blob = WeightBlob.of(values)
            write_blob_message(out, WeightBlob(blob.shape, legacy, blob.pieces))


def write_mean(path: str | os.PathLike[str], mean: npt.ArrayLike) -> None:
    """Write a mean of (C, H, W) or (C,) as Caffe's data transformer reads it.

    .binaryproto gets the legacy form (1, C, H, W) of compute_image_mean; .npy keeps the axes.
    """
    values = np.asarray(mean, dtype=np.float32)
    if values.ndim not in (1, 3):
        raise UsageError(f"a mean is (C, H, W) or (C,), the array has shape {values.shape}")
    if Path(path).suffix == ".npy":
        write_blob(path, values)
    else:
        shape = values.shape if values.ndim == 3 else (*values.shape, 1, 1)
        write_blob(path, values.reshape(1, *shape), legacy=True)


def _fields(buffer: wire.Buffer, start: int, end: int) -> Iterator[wire.Field]:
    """The fields of a BlobProto; a run of unpacked values comes as one field."""
    at = start
    while at < end:
        field = wire.read_field(buffer, at, end)
        if field.wire in (wire.FIXED32, wire.FIXED64):
            field = field._replace(end=wire.fixed_run_end(buffer, field, end))
        yield field
        at = field.end


def _values(buffer: wire.Buffer, field: wire.Field, code: str) -> list[_Piece]:
    width = int(code[2:])  # bytes of "<f4"; numpy is asked for values, not for sizes
    size = field.end - field.start
    if field.wire != wire.LENGTH:
        step = (field.start - field.at) + width
        if field.wire != (wire.FIXED32 if width == 4 else wire.FIXED64):
            return []
        count = (field.end - field.at) // step
        if isinstance(buffer, FileBytes):
            return [FileValues(buffer, code, count, field.start, step)]
        return [np.ndarray((count,), code, buffer, field.start, (step,))]  # one tag before each
    if size % width:
        raise FileFormatError(
            f"byte {field.start}: {size} bytes of data are no whole number of {width}-byte values",
            "the file is damaged; fetch or write it again",
        )
    if not size:
        return []
    if isinstance(buffer, FileBytes):
        return [FileValues(buffer, code, size // width, field.start)]
    return [np.frombuffer(buffer, code, size // width, field.start)]


def _raw_values(buffer: wire.Buffer, field: wire.Field, kind: int) -> list[_Piece]:
    if kind not in _RAW_DTYPES:
        raise FileFormatError(
            f"byte {field.at}: raw_data_type is {kind}, allowed: 0 (DOUBLE), 1 (FLOAT), "
            "2 (FLOAT16)",
            "save the weights as FLOAT with the Caffe fork that wrote them",
        )
    return _values(buffer, field, _RAW_DTYPES[kind])


def _shape_dims(buffer: wire.Buffer, shape: wire.Field) -> list[int]:
    return [
        wire.signed(size)
        for dim in wire.walk(buffer, shape.start, shape.end)
        if dim.number == 1
        for size in wire.varints(buffer, dim)
    ]


def _read_npy(path: str | os.PathLike[str]) -> FloatArray:
    from adaption.io.npy import read_npy  # most files are no .npy

    values = read_npy(path)
    if values.dtype.kind not in "fiub":
        raise FileFormatError(
            f"holds {values.dtype} values, numbers are expected",
            "write it again with numpy.save (numbers only)",
            file=path,
        )
    return np.ascontiguousarray(values, dtype=np.float32)
