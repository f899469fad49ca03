"""pycaffe's io: images to input arrays and back, arrays to protobuf messages and back.

Caffe: python/caffe/io.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adaption.data.datum import datum_image
from adaption.errors import DataError
from adaption.proto import caffe_pb2
from adaption.pycaffe.errors import ShapeError
from adaption.pycaffe.images import load_image, oversample, resize_image
from adaption.pycaffe.transformer import Transformer

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovecor_str",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]

Doubles = NDArray[np.float64]


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> Doubles:
    """The data of a BlobProto, or its diff, in its shape (legacy: num, channels, height, width).

    Raises: ShapeError when the number of values does not fit the shape.
    """
    if return_diff:
        values = np.array(blob.diff or blob.double_diff, np.float64)
    else:
        values = np.array(blob.data or blob.double_data, np.float64)
    legacy = ("num", "channels", "height", "width")
    if any(blob.HasField(name) for name in legacy):
        shape = tuple(int(getattr(blob, name)) for name in legacy)
    else:
        shape = tuple(blob.shape.dim)
    if values.size != np.prod(shape, dtype=np.int64):
        raise ShapeError(f"the BlobProto has shape {shape}, and {values.size} values")
    return values.reshape(shape)


def array_to_blobproto(arr: ArrayLike, diff: ArrayLike | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto of any shape, values as float32."""
    values = np.asarray(arr)
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(values.shape)
    blob.data.extend(values.astype(np.float32).ravel().tolist())
    if diff is not None:
        blob.diff.extend(np.asarray(diff).astype(np.float32).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[ArrayLike]) -> bytes:
    """Arrays as a serialized BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend(array_to_blobproto(arr) for arr in arraylist)
    return vector.SerializeToString()


# The name as pycaffe spells it.
arraylist_to_blobprotovecor_str = arraylist_to_blobprotovector_str


def blobprotovector_str_to_arraylist(str: bytes) -> list[Doubles]:
    """The arrays in a serialized BlobProtoVector. Raises: DataError when it is none."""
    vector = caffe_pb2.BlobProtoVector()
    try:
        vector.ParseFromString(str)
    except Exception as error:  # protobuf's DecodeError moved between its releases
        raise DataError(f"the bytes are no BlobProtoVector: {error}") from None
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: ArrayLike, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of a (C, H, W) array: uint8 becomes `data`, everything else `float_data`.

    Raises: ShapeError when the array has not three axes.
    """
    values = np.asarray(arr)
    if values.ndim != 3:
        raise ShapeError(f"the array has shape {values.shape}, a Datum is (C, H, W)")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = values.shape
    if values.dtype == np.uint8:
        datum.data = values.tobytes()
    else:
        datum.float_data.extend(values.astype(np.float32).ravel().tolist())
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> NDArray[Any]:
    """The values of a Datum, (C, H, W): uint8 of `data`, float64 of `float_data`.

    An encoded Datum is decoded, colour as BGR (pycaffe cannot).
    Raises: DataError when values and sizes do not fit.
    """
    values = datum_image(datum)
    return values.copy() if values.dtype == np.uint8 else values.astype(np.float64)
