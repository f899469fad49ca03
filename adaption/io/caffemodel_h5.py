"""Weights in HDF5: data/<layer>/<i>, a group for every layer.

Source: net.cpp (Net::ToHDF5, Net::CopyTrainedLayersFromHDF5), util/hdf5.cpp.
A slash in a layer name makes nested groups, as HDF5 reads paths.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, BinaryIO

from adaption.errors import FileFormatError, WeightsError
from adaption.io.file_bytes import FileBytes, FileValues
from adaption.io.hdf5 import array_of, damage_told, is_group, items, member, open_hdf5
from adaption.io.weights import LayerWeights, WeightBlob
from adaption.later import np, npt

__all__ = ["read_hdf5", "write_hdf5"]

_MOST_BLOBS = 10_000  # of a layer; above, a damaged file is more likely
_DEEPEST = 100  # groups; a slash in a layer's name makes one


def read_hdf5(path: str | os.PathLike[str]) -> list[LayerWeights]:
    """The layers of a .caffemodel.h5; HDF5 stores no layer types, so they are "".

    Float data stored in one piece, as Caffe stores it, stays in the file until used.
    Raises: FileFormatError when the file is damaged or is not a weights file.
    """
    with open_hdf5(path) as file, damage_told(path):
        data = member(file, "data")
        if data is None or not is_group(data):
            raise FileFormatError(_what_instead(file), "give a .caffemodel.h5")
        return list(_layers(data, "", FileBytes(path), set()))


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


def _layers(group: Any, prefix: str, source: FileBytes, met: set[Any]) -> Iterator[LayerWeights]:
    """A group is a layer when it holds data sets, or nothing at all (no parameters).

    `met` are the groups with groups in them, met so far: links within a file lead to one by two
    ways, and so make endless many layers of a few.
    """
    if prefix.count("/") > _DEEPEST:
        raise FileFormatError(f"groups nest too deep at {prefix[:20]!r}", "give a .caffemodel.h5")
    for name, item in items(group):
        if not is_group(item):
            continue
        path = f"{prefix}{name}"
        inner = list(items(item))
        if any(is_group(value) for _, value in inner):
            if item.id in met:
                raise FileFormatError(
                    f"group {path!r} is in the file by another name as well",
                    "give a .caffemodel.h5 without links to groups",
                )
            met.add(item.id)
        blobs = {
            int(key): value
            for key, value in inner
            if key.isascii() and key.isdigit() and not is_group(value)
        }
        if max(blobs, default=0) > _MOST_BLOBS:
            raise FileFormatError(
                f"data set {max(blobs)} of group {path!r} is no blob number",
                "give a .caffemodel.h5",
            )
        if blobs or not inner:
            # an index that is absent belongs to a parameter another layer owns
            yield LayerWeights(
                path,
                "",
                [
                    _blob(blobs[i], source) if i in blobs else WeightBlob(())
                    for i in range(max(blobs, default=-1) + 1)
                ],
            )
        yield from _layers(item, f"{path}/", source, met)


def _blob(dataset: Any, source: FileBytes) -> WeightBlob:
    array = array_of(dataset, source.path)
    if array.dtype.kind != "f" or array.is_empty:
        found = "nothing" if array.is_empty else array.dtype
        raise FileFormatError(
            f"data set {array.name!r} holds {found}, numbers are expected",
            "give a .caffemodel.h5",
        )
    size = prod(array.shape)
    offset = array.offset
    values: npt.NDArray[Any] | FileValues
    if offset is not None and size and array.dtype.byteorder in "=<|":
        if offset + array.size_bytes > len(source):
            raise FileFormatError(
                f"data set {array.name!r} ends at byte {offset + array.size_bytes}, the file has"
                f" {len(source)}",
                "the download or copy broke off; fetch the file again",
            )
        values = FileValues(source, array.dtype.str, size, offset)
    else:  # chunked, compressed or big-endian
        values = np.asarray(array[()], np.float32).reshape(-1)
    return WeightBlob(array.shape, pieces=(values,))


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
