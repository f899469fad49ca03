"""Write an ONNX file, and read one, without a copy of its constants.

protobuf would hold a model's constants twice before it writes them. Here the file is a small
message with the constants streamed behind it; what reads it sees one ordinary message.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from typing import IO

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from adaption.errors import FileFormatError, UsageError
from adaption.export.onnx.graph import Array
from adaption.io.file_bytes import FileBytes
from adaption.io.wire import LENGTH, encode_tag, encode_varint, walk

__all__ = [
    "check_model",
    "is_held",
    "read_model",
    "same_bits",
    "with_constants",
    "write_model",
]

MOST_BYTES = 2**31 - 1  # protobuf's limit for one message
SMALL = 1 << 12  # bytes of constants that shapes are inferred from

GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9  # fields of onnx.proto
HELD = "held in memory"  # location of constants that `read_model` gives beside the model
PIECE = 1 << 24  # bytes compared at once


def check_model(model: ModelProto, constants: Mapping[str, Array]) -> None:
    """onnx's checker with full shape inference, on `model` and constants that it lacks."""
    onnx.checker.check_model(with_constants(model, constants), full_check=True)


def with_constants(model: ModelProto, constants: Mapping[str, Array]) -> ModelProto:
    """A copy of `model` with constants that it lacks, for what looks at shapes and types only.

    Large constants stand as inputs of their type and shape, so that they are not copied.
    """
    whole = ModelProto()
    whole.CopyFrom(model)
    for name, array in constants.items():
        if array.nbytes <= SMALL:
            whole.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            whole.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    return whole


def write_model(model: ModelProto, constants: Mapping[str, Array], out: IO[bytes]) -> int:
    """Write `model` with these initializers behind its own; returns the size in bytes.

    Raises: UsageError when the file would exceed what ONNX allows.
    """
    head = ModelProto()
    head.CopyFrom(model)
    head.ClearField("graph")
    graph = model.graph.SerializeToString(deterministic=True)
    tensors = [_framed(name, array) for name, array in constants.items()]
    length = len(graph) + sum(len(frame) + a.nbytes for frame, a in tensors)
    opening = (
        head.SerializeToString(deterministic=True)
        + encode_tag(GRAPH, LENGTH)
        + encode_varint(length)
    )
    size = len(opening) + length
    if size > MOST_BYTES:
        raise UsageError(
            f"the model holds {size / 2**30:.1f} GiB, an ONNX file at most 2 GiB",
            "export the net in parts: Net(..., end=LAYER), and a prototxt that begins there",
        )
    out.write(opening)
    out.write(graph)
    for frame, array in tensors:
        out.write(frame)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        out.write(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return size


def _framed(name: str, array: Array) -> tuple[bytes, Array]:
    """All of an initializer but its values, which follow at once."""
    tensor = TensorProto(
        name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype)
    )
    head = tensor.SerializeToString(deterministic=True)
    head += encode_tag(RAW_DATA, LENGTH) + encode_varint(array.nbytes)
    length = encode_varint(len(head) + array.nbytes)
    return encode_tag(INITIALIZER, LENGTH) + length + head, array


def read_model(path: str | os.PathLike[str]) -> tuple[ModelProto, dict[str, Array]]:
    """A model, and its large constants as arrays of their own.

    In the model they stand as external data, see `is_held`.

    Raises: FileFormatError when the file is missing, empty or no message.
    """
    content = FileBytes(path)
    model, held = ModelProto(), {}
    for field in walk(content):
        if (field.number, field.wire) != (GRAPH, LENGTH):
            model.MergeFromString(content[field.at : field.end])
            continue
        for part in walk(content, field.start, field.end):
            if (part.number, part.wire) != (INITIALIZER, LENGTH) or part.end - part.start <= SMALL:
                model.graph.MergeFromString(content[part.at : part.end])
                continue
            tensor = TensorProto()
            values = None
            for item in walk(content, part.start, part.end):
                if (item.number, item.wire) == (RAW_DATA, LENGTH):
                    values = item
                else:
                    tensor.MergeFromString(content[item.at : item.end])
            if values is None or tensor.data_location == TensorProto.EXTERNAL:
                model.graph.MergeFromString(content[part.at : part.end])
                continue
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type).newbyteorder("<")
            count = prod(tensor.dims)
            size = values.end - values.start
            if min(tensor.dims, default=0) < 0 or count * dtype.itemsize != size:
                raise FileFormatError(
                    f"constant {tensor.name!r} of shape {tuple(tensor.dims)} holds {size} bytes",
                    "export it again",
                    file=path,
                )
            flat = content.array(dtype, count, values.start)
            held[tensor.name] = flat.reshape(tuple(tensor.dims))
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=HELD)
            model.graph.initializer.append(tensor)
    return model, held


def is_held(tensor: TensorProto) -> bool:
    """Whether `read_model` gave the values of this initializer as an array."""
    return any(e.key == "location" and e.value == HELD for e in tensor.external_data)


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays of one type hold the same bytes; neither is copied."""
    x, y = (np.ascontiguousarray(z).reshape(-1).view(np.uint8) for z in (a, b))
    return x.size == y.size and all(
        np.array_equal(x[i : i + PIECE], y[i : i + PIECE]) for i in range(0, x.size, PIECE)
    )
