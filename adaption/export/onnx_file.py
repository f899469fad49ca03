"""Write an ONNX file, and read one, without a copy of its constants.

protobuf would hold a model's constants twice before it writes them. Here the file is a small
message with the constants streamed behind it; what reads it sees one ordinary message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from adaption.errors import UsageError
from adaption.export.onnx_graph import Array

__all__ = ["check_model", "write_model"]

MOST_BYTES = 2**31 - 1  # protobuf's limit for one message
SMALL = 1 << 12  # bytes of constants that shapes are inferred from

GRAPH, INITIALIZER, RAW_DATA = 0x3A, 0x2A, 0x4A  # keys: fields 7, 5 and 9 of onnx.proto, bytes


def check_model(model: ModelProto, constants: Mapping[str, Array]) -> None:
    """onnx's checker with full shape inference, on `model` and constants that it lacks.

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
    onnx.checker.check_model(whole, full_check=True)


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
    opening = head.SerializeToString(deterministic=True) + bytes([GRAPH]) + _varint(length)
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
    head = tensor.SerializeToString(deterministic=True) + bytes([RAW_DATA]) + _varint(array.nbytes)
    return bytes([INITIALIZER]) + _varint(len(head) + array.nbytes) + head, array


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
