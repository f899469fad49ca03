"""arrays.py: NPZ and HDF5 files as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from adaption.data import open_source
from adaption.errors import AdaptionError

DATA = np.arange(24, dtype=np.float32).reshape(4, 2, 3)


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def write_h5(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def test_npz(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "d.npz", label=[3, 1, 4, 1], data=DATA, info=DATA[:, 0])
    source = open_source(path)
    assert (source.kind, len(source), source.has_labels) == ("npz", 4, True)
    assert source.array_names == ("data", "info")
    for _ in range(2):
        assert [(s.name, s.label) for s in source] == [("0", 3), ("1", 1), ("2", 4), ("3", 1)]
    last = source[-1]
    assert last.label == 1
    assert np.array_equal(last.image, DATA[3])
    assert np.array_equal(last.arrays["info"], DATA[3, 0])


def test_hdf5_file_and_list_of_files(tmp_path: Path) -> None:
    write_h5(tmp_path / "a.h5", data=DATA[:3], label=np.zeros((3, 1)))
    write_h5(tmp_path / "b.h5", data=DATA[3:], label=np.ones((1, 1)))
    (tmp_path / "all.txt").write_text("a.h5\nb.h5\n")
    source = open_source(tmp_path / "all.txt")
    assert (source.kind, len(source)) == ("hdf5", 4)
    assert [s.label for s in source] == [0, 0, 0, 1]
    assert np.array_equal([s.image for s in source], DATA)
    assert np.array_equal(source[3].image, DATA[3])
    assert len(open_source(tmp_path / "a.h5")) == 3


def test_labels_that_are_no_class_stay_an_array(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "d.npz", label=DATA, data=DATA)
    source = open_source(path)
    assert not source.has_labels
    assert source.array_names == ("data", "label")
    assert source.notes == [
        f"{path}: array 'label' of shape (2, 3) per sample is no class index, so nothing can be"
        " said about accuracy"
    ]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param(
            {"data": DATA, "label": [1, 2]},
            "the arrays have different numbers of samples: data 4, label 2\n  fix: the first axis"
            " of every array is the sample",
            id="lengths differ",
        ),
        pytest.param(
            {"label": [1, 2]},
            "holds labels only\n  fix: add one array per input blob of the net",
            id="labels only",
        ),
        pytest.param(
            {},
            "holds no arrays\n  fix: add one array per input blob of the net",
            id="no arrays",
        ),
        pytest.param(
            {"data": np.array(["a"])},
            "array 'data' holds <U1 values, numbers are expected",
            id="text",
        ),
        pytest.param(
            {"data": 1.0},
            "array 'data' is one number, its first axis should be the sample",
            id="scalar",
        ),
        pytest.param(
            {"data": DATA[:0]},
            "holds no samples\n  fix: give data with at least one sample",
            id="no samples",
        ),
        pytest.param(
            {"data": np.array([{}])},
            "is not a readable .npz file: array 'data' holds object values, numbers are expected\n"
            "  fix: write it with numpy.savez, one array of numbers per input blob and optionally"
            " label",
            id="a pickle is never read",
        ),
    ],
)
def test_bad_npz(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "d.npz", **arrays)
    with pytest.raises(AdaptionError) as caught:
        open_source(path)
    assert str(caught.value) == f"{path}: {message}"


def test_damaged_npz(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "d.npz", data=DATA)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AdaptionError, match=r"is not a readable \.npz file"):
        open_source(path)


def test_a_caffemodel_is_no_data(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["data/conv1/0"] = DATA
    with pytest.raises(AdaptionError) as caught:
        open_source(tmp_path / "m.h5")
    assert str(caught.value) == (
        f"{tmp_path}/m.h5: holds no data sets, only the groups data\n"
        "  fix: give an HDF5 file with one data set per input blob of the net"
    )


def test_zip_of_something_else(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", "x")
    with pytest.raises(AdaptionError) as caught:
        open_source(path)
    assert str(caught.value) == f"{path}: this is a zip archive, not data\n  fix: unpack it first"
