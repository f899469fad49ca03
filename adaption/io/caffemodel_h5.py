"""Weights in HDF5: data/<layer>/<i>, a group for every layer.

Source: net.cpp (Net::ToHDF5, Net::CopyTrainedLayersFromHDF5), util/hdf5.cpp.
A slash in a layer name makes nested groups, as HDF5 reads paths.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from adaption.errors import AdaptionError, FileFormatError, MissingExtraError, WeightsError
from adaption.io import wire
from adaption.io.weights import LayerWeights, WeightBlob

__all__ = ["open_hdf5", "read_hdf5", "write_hdf5"]

_H5PY_ERRORS = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)
_MOST_BLOBS = 10_000  # of a layer; above, a damaged file is more likely


def open_hdf5(path: str | os.PathLike[str] | BinaryIO, mode: str = "r") -> Any:
    """An open h5py.File.

    Raises: FileFormatError when it does not open; MissingExtraError when h5py is not installed.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError:
        raise MissingExtraError("h5py", "hdf5", "HDF5") from None
    try:
        return h5py.File(path, mode)
    except (OSError, RuntimeError) as error:
        raise _damaged(error).at(
            file=path if isinstance(path, str | os.PathLike) else None
        ) from None


def read_hdf5(path: str | os.PathLike[str]) -> list[LayerWeights]:
    """The layers of a .caffemodel.h5; HDF5 stores no layer types, so they are "".

    Float data stored in one piece, as Caffe stores it, stays in the file until used.
    Raises: FileFormatError when the file is damaged or is not a weights file.
    """
    with open_hdf5(path) as file:
        try:
            data = file.get("data")
            if not hasattr(data, "items"):
                raise FileFormatError(_what_instead(file), "give a .caffemodel.h5")
            buffer = wire.map_file(path)
            return list(_layers(data, "", buffer))
        except AdaptionError as error:
            raise error.at(file=path) from None
        # h5py reports damage through any of these
        except _H5PY_ERRORS as error:
            raise _damaged(error).at(file=path) from None


def write_hdf5(out: BinaryIO, layers: Iterable[LayerWeights]) -> None:
    """Write data/<layer>/<i>, and diff/<layer>/<i> of blobs that have one, into an open file.

    Raises: WeightsError for a layer name that cannot be a group.
    """
    with open_hdf5(out, "w") as file:
        data = file.create_group("data", track_order=True)  # order of the net, for our reader
        for layer in layers:
            _check_group_name(layer.name)
            try:
                group = data.require_group(layer.name)
                for i, blob in enumerate(layer.blobs):
                    if blob.has_data:
                        group.create_dataset(str(i), data=blob.array(), dtype="<f4")
                    if blob.diff is not None:
                        diff = blob.diff.reshape(blob.shape)
                        file.create_dataset(f"diff/{layer.name}/{i}", data=diff, dtype="<f4")
            except (ValueError, TypeError) as error:
                raise WeightsError(
                    f"its name or blobs are taken by another layer ({error})",
                    "write a .caffemodel instead of .h5",
                    layer=layer.name,
                    layer_type=layer.type,
                ) from None


def _layers(group: Any, prefix: str, buffer: wire.Buffer) -> Iterator[LayerWeights]:
    """A group is a layer when it holds data sets, or nothing at all (no parameters)."""
    for name, item in _items(group):
        if not hasattr(item, "items"):
            continue
        path = f"{prefix}{name}"
        blobs = {
            int(key): value
            for key, value in _items(item)
            if key.isascii() and key.isdigit() and not hasattr(value, "items")
        }
        if max(blobs, default=0) > _MOST_BLOBS:
            raise FileFormatError(
                f"data set {max(blobs)} of group {path!r} is no blob number",
                "give a .caffemodel.h5",
            )
        if blobs or not len(item):
            # an index that is absent belongs to a parameter another layer owns
            yield LayerWeights(
                path,
                "",
                [
                    _blob(blobs[i], buffer) if i in blobs else WeightBlob(())
                    for i in range(max(blobs, default=-1) + 1)
                ],
            )
        yield from _layers(item, f"{path}/", buffer)


def _items(group: Any) -> Iterator[tuple[str, Any]]:
    for name in group:
        if type(group.get(name, getlink=True)).__name__ == "ExternalLink":
            raise _elsewhere(f"{group.name}/{name}")
        yield name, group[name]


def _blob(dataset: Any, buffer: wire.Buffer) -> WeightBlob:
    shape = tuple(int(size) for size in dataset.shape)
    if dataset.dtype.kind != "f":
        raise FileFormatError(
            f"data set {dataset.name!r} holds {dataset.dtype}, numbers are expected",
            "give a .caffemodel.h5",
        )
    if dataset.external or dataset.is_virtual:
        raise _elsewhere(dataset.name)
    offset = dataset.id.get_offset()
    size = int(dataset.size)
    values: npt.NDArray[Any]
    if offset is not None and size and dataset.dtype.byteorder in "=<|":
        values = np.frombuffer(buffer, dataset.dtype, size, offset)
    else:  # chunked, compressed or big-endian
        values = np.asarray(dataset[()], np.float32).reshape(-1)
    return WeightBlob(shape, pieces=(values,))


def _elsewhere(name: str) -> FileFormatError:
    return FileFormatError(
        f"{name!r} points to another file, which is not followed",
        "write the weights into one file",
    )


def _what_instead(file: Any) -> str:
    if "history" in file or "learned_net" in file:
        return "is a solver state (.solverstate.h5), weights are expected"
    if "data" in file:
        return "is an HDF5 data source ('data' is one array), weights are expected"
    return f"has no group 'data', it has {sorted(file)[:5]!r}"


def _check_group_name(name: str) -> None:
    if not name or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise WeightsError(
            f"the layer name {name!r} cannot be an HDF5 group",
            "write a .caffemodel instead of .h5",
        )


def _damaged(error: Exception) -> FileFormatError:
    return FileFormatError(
        f"is damaged or truncated HDF5: {str(error).strip() or type(error).__name__}",
        "the download or copy broke off; fetch the file again",
    )
