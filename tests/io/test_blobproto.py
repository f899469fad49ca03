"""blobproto.py: mean files and single blobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adaption.errors import AdaptionError, FileFormatError, UsageError
from adaption.io.blobproto import read_blob, read_mean, write_blob, write_mean
from adaption.proto import caffe_pb2

MEAN = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("name", ["mean.binaryproto", "mean.npy"])
@pytest.mark.parametrize("mean", [MEAN, MEAN[:, 0, 0]], ids=["(C, H, W)", "(C,)"])
def test_mean_round_trip(name: str, mean: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / name
    write_mean(path, mean)
    got = read_mean(path)
    want = mean.reshape(2, 1, 1) if mean.ndim == 1 and name.endswith("proto") else mean
    np.testing.assert_array_equal(got, want)
    assert got.dtype == np.float32 and got.flags.writeable


def test_mean_is_written_as_compute_image_mean_does(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    write_mean(path, MEAN)
    want = caffe_pb2.BlobProto(num=1, channels=2, height=3, width=4, data=MEAN.reshape(-1))
    assert caffe_pb2.BlobProto.FromString(path.read_bytes()) == want


def test_blob_keeps_its_axes(tmp_path: Path) -> None:
    for array in (MEAN, MEAN[None], np.float32(3), np.eye(4)):
        for name in ("a.npy", "a.binaryproto"):
            write_blob(tmp_path / name, array)
            np.testing.assert_array_equal(read_blob(tmp_path / name), array)


def test_means_of_the_shared_folder(shared: Path) -> None:
    for path in shared.rglob("*.binaryproto"):
        message = caffe_pb2.BlobProto.FromString(path.read_bytes())
        got = read_mean(path)
        np.testing.assert_array_equal(got.ravel(), np.array(message.data, np.float32))
        assert got.shape == (message.channels, message.height, message.width)


def test_wrong_axes(tmp_path: Path) -> None:
    path = tmp_path / "mean.npy"
    np.save(path, np.zeros((2, 2)))
    with pytest.raises(FileFormatError) as caught:
        read_mean(path)
    assert str(caught.value) == (
        f"{path}: holds an array of shape (2, 2), a mean is (C, H, W), (1, C, H, W) or (C,)\n"
        "  fix: give the mean of the training images"
    )
    with pytest.raises(UsageError, match=r"a mean is \(C, H, W\) or \(C,\), the array has shape"):
        write_mean(path, np.zeros((2, 2)))
    with pytest.raises(UsageError, match="a legacy blob has four axes"):
        write_blob(path, MEAN, legacy=True)


def save_objects(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)


def save_strings(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array(["a"]))


GIVE = "give the file that compute_image_mean or numpy.save wrote"
AGAIN = "is it a .binaryproto at all? write it again with compute_image_mean"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda path: None,
            "no such file, a .binaryproto or .npy array was expected\n  fix: check the path",
            id="missing",
        ),
        pytest.param(
            lambda path: path.write_text("mean_value: 104"),
            f"this is text, not a .binaryproto or .npy array\n  fix: {GIVE}",
            id="text",
        ),
        pytest.param(
            lambda path: path.write_bytes(
                caffe_pb2.BlobProto(data=[1, 2, 3]).SerializeToString()[:-2]
            ),
            "byte 0: the file is truncated: 12 bytes found, at least 14 expected "
            "(field 5 holds 12 bytes)\n"
            "  fix: the download or copy broke off; fetch the file again",
            id="truncated",
        ),
        pytest.param(
            lambda path: path.write_bytes(
                caffe_pb2.NetParameter(
                    layer=[caffe_pb2.LayerParameter(name="a")]
                ).SerializeToString()
            ),
            f"holds a blob of shape (0,) without data\n  fix: {AGAIN}",
            id="caffemodel",
        ),
        pytest.param(
            save_objects,
            "is not a readable .npy array: the array holds object values, numbers are expected\n"
            "  fix: write it again with numpy.save, numbers only",
            id="pickled npy",
        ),
        pytest.param(
            save_strings,
            "holds <U1 values, numbers are expected\n"
            "  fix: write it again with numpy.save (numbers only)",
            id="text npy",
        ),
    ],
)
def test_wrong_files(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    make(path)
    with pytest.raises(FileFormatError) as caught:
        read_mean(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("name", ["mean.binaryproto", "mean.npy"])
def test_truncated_anywhere(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_mean(path, MEAN)
    raw = path.read_bytes()
    for size in range(len(raw)):
        path.write_bytes(raw[:size])
        with pytest.raises(AdaptionError):
            read_mean(path)
