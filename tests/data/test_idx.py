"""idx files, as MNIST comes."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from adaption.data import open_source
from adaption.data.base import Array
from adaption.data.idx import read_idx
from adaption.errors import AdaptionError

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def put(path: Path, values: Array, *, packed: bool = True) -> Path:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = head + values.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_images_with_the_labels_beside_them(packed: bool, tmp_path: Path) -> None:
    path = put(tmp_path / "train-images-idx3-ubyte", IMAGES, packed=packed)
    put(tmp_path / "train-labels-idx1-ubyte", np.array([7, 0, 9], np.uint8), packed=not packed)
    source = open_source(path)
    assert (source.kind, len(source), source.has_labels) == ("idx", 3, True)
    assert [(s.label, s.name, s.image.shape) for s in source] == [
        (7, "0", (1, 4, 5)),
        (0, "1", (1, 4, 5)),
        (9, "2", (1, 4, 5)),
    ]
    assert np.array_equal(source[-1].image[0], IMAGES[2])


def test_images_alone(tmp_path: Path) -> None:
    source = open_source(put(tmp_path / "images.gz", IMAGES))
    assert not source.has_labels and source[0].label is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.zeros(3, np.uint8),
            "holds an array of shape (3,), images are (N, H, W) or (N, C, H, W)\n  fix: give the"
            " file of the images; the labels beside it are found by name",
        ),
        (
            IMAGES[:2],
            "holds 2 images, a-labels-idx1 labels of shape (3,)\n  fix: give the two files of one"
            " data set",
        ),
    ],
)
def test_refused(values: Array, message: str, tmp_path: Path) -> None:
    put(tmp_path / "a-labels-idx1", np.zeros(3, np.uint8))
    path = put(tmp_path / "a-images-idx3", values)
    with pytest.raises(AdaptionError) as caught:
        open_source(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"\0\0\x08\1\0\0\0\5abc", "holds 3 values, its shape is 5"),
        (b"\0\0\x0d\1\0\0\0\1abcd", "is no idx file of uint8 values"),
        (b"\0\0\x08\4" + b"\x80\0\0\0" * 3 + b"\0" * 4, "has a shape that no array can have: "),
        (b"\0\0\x08\x80" + b"\0\0\0\1" * 128 + b"a", "has a shape that no array can have: "),
        (gzip.compress(b"\0\0\x08\1\0\0\0\5abcde" * 9, mtime=0)[:30], "cannot be read: "),
    ],
)
def test_damaged(content: bytes, fact: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(AdaptionError) as caught:
        read_idx(path)
    assert caught.value.fact.startswith(fact)
    assert caught.value.fix.startswith("get the file again")


def test_mnist(shared: Path) -> None:
    source = open_source(shared / "data" / "mnist" / "t10k-images-idx3-ubyte.gz")
    counts = np.bincount([s.label or 0 for s in source]).tolist()
    assert counts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]  # its README
