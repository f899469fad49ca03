"""Arrays as a source: NPZ and HDF5 files whose first axis is the sample."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from adaption.data.base import Array, Job, Sample, Source, as_label, index_in
from adaption.data.packed import PackedSource, is_packed
from adaption.errors import DataError
from adaption.io.files import read_text
from adaption.io.hdf5 import array_of, damage_told, is_group, items, open_hdf5
from adaption.io.npy import read_npz
from adaption.later import np

__all__ = ["ArraySource", "open_hdf5_data", "open_npz", "read_hdf5_list"]

_LABEL = "label"
_CHUNK_BYTES = 16 << 20  # read from an HDF5 file at a time
_CHUNK_ROWS = 256


class ArraySource(Source):
    """Arrays of one length, in one or several files.

    Args:
        files: for each file, its arrays by name: numpy arrays, or data sets read by and by.
            Every file has the same names. `label` becomes the label where it holds one whole
            number per sample.
    """

    def __init__(self, path: Path, kind: str, files: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(path)
        self.kind = kind
        self._files = files
        self._lengths = [_check_file(f, path) for f in files]
        self.has_labels = self._labels_are_classes()
        # Other labels (several per sample, maps) are an array like any other.
        names = [n for n in files[0] if n != _LABEL or not self.has_labels]
        if not [n for n in names if n != _LABEL]:
            raise DataError(
                "holds labels only", "add one array per input blob of the net", file=path
            )
        self.array_names = tuple(sorted(names, key=_LABEL.__eq__))

    def _labels_are_classes(self) -> bool:
        filled = [f for f, n in zip(self._files, self._lengths, strict=True) if n]
        if not filled or _LABEL not in filled[0]:
            return False
        label = filled[0][_LABEL]
        if as_label(label[0]) is not None:
            self.label_shape = tuple(label.shape[1:])
            return True
        self.notes.append(
            f"{self.path}: array 'label' of shape {tuple(label.shape[1:])} per sample is no class"
            " index, so nothing can be said about accuracy"
        )
        return False

    def __len__(self) -> int:
        return sum(self._lengths)

    def __getitem__(self, index: int) -> Sample:
        number = index = index_in(index, len(self))
        for arrays, length in zip(self._files, self._lengths, strict=True):
            if index < length:
                rows = {name: np.asarray(a[index : index + 1]) for name, a in arrays.items()}
                return self._sample(rows, 0, number)
            index -= length
        raise IndexError(number)

    def jobs(self, skip: int = 0) -> Iterator[Job]:
        number = skip
        for arrays, length in zip(self._files, self._lengths, strict=True):
            step = _rows_at_once(arrays)
            first, skip = min(skip, length), max(0, skip - length)
            for start in range(first, length, step):
                stop = min(start + step, length)
                rows = {name: np.asarray(a[start:stop]) for name, a in arrays.items()}
                for i in range(stop - start):
                    yield Job(str(number), partial(self._sample, rows, i, number))
                    number += 1

    def _sample(self, rows: Mapping[str, Array], row: int, number: int) -> Sample:
        arrays = {name: np.asarray(rows[name][row]) for name in self.array_names}
        label = as_label(rows[_LABEL][row]) if self.has_labels else None
        return Sample(arrays[self.array_names[0]], label, str(number), arrays)


def _rows_at_once(arrays: Mapping[str, Any]) -> int:
    row_bytes: int = sum(a.dtype.itemsize * int(np.prod(a.shape[1:])) for a in arrays.values())
    return max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // max(1, row_bytes)))


def _check_file(arrays: Mapping[str, Any], path: Path) -> int:
    """The number of samples that all arrays of a file agree on."""
    if not arrays:
        raise DataError("holds no arrays", "add one array per input blob of the net", file=path)
    for name, array in arrays.items():
        if array.dtype.kind not in "iufb":
            raise DataError(
                f"array {name!r} holds {array.dtype} values, numbers are expected", file=path
            )
        if not array.shape:
            raise DataError(
                f"array {name!r} is one number, its first axis should be the sample", file=path
            )
    lengths = {name: int(array.shape[0]) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise DataError(
            f"the arrays have different numbers of samples: {listed}",
            "the first axis of every array is the sample",
            file=path,
        )
    return next(iter(lengths.values()))


def open_npz(path: Path) -> ArraySource | PackedSource:
    """The source of an .npz file, of arrays or of compressed images; see data.packed.

    Pickled objects in it are never read.

    Raises: FileFormatError when it is no .npz file or is damaged; DataError when its arrays do
        not fit each other.
    """
    arrays = read_npz(
        path, "write it with numpy.savez, one array of numbers per input blob and optionally label"
    )
    if is_packed(arrays):
        return PackedSource(path, arrays)
    return _checked(ArraySource(path, "npz", [arrays]))


def read_hdf5_list(path: str | os.PathLike[str]) -> list[str]:
    """The file names in a list of HDF5 files, as Caffe's HDF5Data reads it.

    Raises: FileFormatError when it cannot be read, DataError when it names no file.
    """
    fix = "give a text file with one HDF5 file per line"
    text = read_text(path, "a list of HDF5 files", errors="surrogateescape", fix=fix)
    names = [] if "\0" in text else text.split()
    if not names:
        raise DataError("lists no HDF5 files", "write one file name per line", file=path)
    return names


def open_hdf5_data(path: Path, files: Sequence[Path]) -> ArraySource:
    """The source of one or several HDF5 files; `path` is what the user gave.

    Raises: FileFormatError when a file does not open, DataError when the data sets do not fit.
    """
    opened = [_datasets(f) for f in files]
    for file, arrays in zip(files[1:], opened[1:], strict=True):
        _check_alike(opened[0], files[0], arrays, file)
    return _checked(ArraySource(path, "hdf5", opened))


def _check_alike(
    first: Mapping[str, Any], first_file: Path, arrays: Mapping[str, Any], file: Path
) -> None:
    """Raise DataError where a file does not hold what the first of its source holds."""
    missing = first.keys() ^ arrays.keys()
    if missing:
        raise DataError(
            f"holds {', '.join(sorted(arrays))}, {first_file} holds {', '.join(sorted(first))}",
            "all files of a source hold the same data sets",
            file=file,
        )
    for name, array in arrays.items():
        if array.shape[1:] != first[name].shape[1:]:
            raise DataError(
                f"array {name!r} has samples of shape {array.shape[1:]}, those of {first_file} have"
                f" {first[name].shape[1:]}",
                "all files of a source hold samples of one shape",
                file=file,
            )


def _checked(source: ArraySource) -> ArraySource:
    if not len(source):
        raise source.nothing_readable()
    return source


def _datasets(path: Path) -> dict[str, Any]:
    with damage_told(path):
        held = dict(items(open_hdf5(path)))
        found = {name: array_of(item, path) for name, item in held.items() if not is_group(item)}
    if not found:
        raise DataError(
            f"holds no data sets, only the groups {', '.join(held) or '(none)'}",
            "give an HDF5 file with one data set per input blob of the net",
            file=path,
        )
    return found
