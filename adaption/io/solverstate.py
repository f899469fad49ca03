"""SolverState: where a training run stands, binary or HDF5.

Caffe: sgd_solver.cpp (SnapshotSolverStateToBinaryProto, ...ToHDF5 and their Restore...).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from adaption.errors import FileFormatError
from adaption.io import wire
from adaption.io.atomic import atomic_write
from adaption.io.blobproto import blob_length, read_blob_message, write_blob_message
from adaption.io.file_bytes import FileBytes
from adaption.io.hdf5 import H5Array, array_of, damage_told, is_group, member, open_hdf5
from adaption.io.kinds import kind_of, wrong_kind
from adaption.io.weights import WeightBlob

__all__ = ["SolverState", "read_state", "write_state"]

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP = 1, 2, 3, 4  # SolverState field numbers
_LONGEST_PATH = 1 << 16
_FIX = "give the .solverstate or .solverstate.h5 that training wrote"


@dataclass(frozen=True)
class SolverState:
    """What Caffe keeps of a run beside its weights.

    iter: iterations done. learned_net: path of the caffemodel, as written.
    history: the solver type's own blobs, one or two per parameter.
    current_step: how many steps the learning rate has taken.
    """

    iter: int
    learned_net: str = ""
    history: Sequence[WeightBlob] = field(default=(), repr=False)
    current_step: int = 0


def read_state(path: str | os.PathLike[str]) -> SolverState:
    """Read a solver state; binary or HDF5 is told by its content.

    Raises: FileFormatError when the file is missing, truncated, or of another kind (a caffemodel).
    """
    kind = kind_of(path)
    if kind == "hdf5":
        return _read_hdf5(path)
    if kind != "binary protobuf":
        raise wrong_kind(path, kind, "a solver state", _FIX)
    try:
        return _read_binary(FileBytes(path))
    except FileFormatError as error:
        raise error.at(file=path) from None


def write_state(path: str | os.PathLike[str], state: SolverState) -> None:
    """Write a solver state, HDF5 when `path` ends in .h5; it appears whole or not at all."""
    with atomic_write(path, "w+b") as out:
        if Path(path).suffix == ".h5":
            _write_hdf5(out, state)
        else:
            _write_binary(out, state)


def _read_binary(buffer: wire.Buffer) -> SolverState:
    step = done = 0
    learned_net = ""
    history = []
    numbers = set()
    for item in wire.walk(buffer):
        numbers.add((item.number, item.wire))
        match item.number, item.wire:
            case 1, wire.VARINT:
                done = wire.signed(item.value)
            case 2, wire.LENGTH:
                learned_net = os.fsdecode(bytes(buffer[item.start : item.end]))
            case 3, wire.LENGTH:
                history.append(read_blob_message(buffer, item.start, item.end))
            case 4, wire.VARINT:
                step = wire.signed(item.value)
    if {(2, wire.LENGTH), (100, wire.LENGTH)} & numbers and (_ITER, wire.VARINT) not in numbers:
        # NetParameter: layers (V1) or layer, and never an integer as field 1
        raise FileFormatError("this is a caffemodel, not a solver state", _caffemodel_fix())
    if (_ITER, wire.VARINT) not in numbers:
        raise FileFormatError("holds no iteration, so it is no solver state", _FIX)
    return SolverState(done, learned_net, history, step)


def _caffemodel_fix() -> str:
    return f"{_FIX} beside it; a caffemodel goes to --weights"


def _write_binary(out: BinaryIO, state: SolverState) -> None:
    out.write(wire.encode_field(_ITER, state.iter))
    if state.learned_net:
        out.write(wire.encode_field(_LEARNED_NET, os.fsencode(state.learned_net)))
    for blob in state.history:
        out.write(wire.encode_tag(_HISTORY, wire.LENGTH) + wire.encode_varint(blob_length(blob)))
        write_blob_message(out, blob)
    out.write(wire.encode_field(_CURRENT_STEP, state.current_step))


def _read_hdf5(path: str | os.PathLike[str]) -> SolverState:
    with open_hdf5(path) as file, damage_told(path):
        group = member(file, "history")
        if "iter" not in file or group is None:
            if "data" in file:
                raise FileFormatError(
                    "this is a caffemodel in HDF5, not a solver state", _caffemodel_fix()
                )
            raise FileFormatError("holds no iteration and history", _FIX)
        return SolverState(
            _whole(file, "iter", path),
            _learned_net(file),
            [WeightBlob.of(_array(group, str(i), path)[()]) for i in range(len(group))],
            _whole(file, "current_step", path) if "current_step" in file else 0,
        )


def _array(group: Any, name: str, path: str | os.PathLike[str]) -> H5Array:
    item = member(group, name)
    if item is None or not is_group(group):
        raise _damaged(f"it has no {name!r}")
    array = array_of(item, path)
    if array.dtype.kind not in "iuf":
        raise _damaged(f"{name!r} holds {array.dtype}")
    return array


def _whole(file: Any, name: str, path: str | os.PathLike[str]) -> int:
    array = _array(file, name, path)
    if array.is_empty or prod(array.shape) != 1:
        raise _damaged(f"{name!r} has shape {array.shape}")
    value = float(array[()].reshape(-1)[0])
    if not -(1 << 53) < value < 1 << 53:
        raise _damaged(f"{name!r} is {value}")
    return int(value)


def _learned_net(file: Any) -> str:
    item = member(file, "learned_net")
    if item is None or is_group(item) or item.size != 1 or item.dtype.itemsize > _LONGEST_PATH:
        return ""
    value = item[()]
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def _damaged(why: str) -> FileFormatError:
    return FileFormatError(f"is a damaged solver state: {why}", "resume from an earlier snapshot")


def _write_hdf5(out: BinaryIO, state: SolverState) -> None:
    with open_hdf5(out, "w") as file:
        file.create_dataset("iter", data=np.array([state.iter], "<i4"))
        # H5LTmake_dataset_string: fixed length, the closing zero not counted
        file.create_dataset("learned_net", data=np.bytes_(os.fsencode(state.learned_net) or b"\0"))
        file.create_dataset("current_step", data=np.array([state.current_step], "<i4"))
        group = file.create_group("history")
        for i, blob in enumerate(state.history):
            group.create_dataset(str(i), data=blob.array(), dtype="<f4")
