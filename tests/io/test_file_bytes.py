"""FileBytes: a file read where it is asked for, and an error where it has changed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from adaption.errors import FileFormatError
from adaption.io.file_bytes import FileBytes, FileValues


def test_reads_like_bytes(tmp_path: Path) -> None:
    path, draw = tmp_path / "f", random.Random(0)
    content = draw.randbytes(20_000)
    path.write_bytes(content)
    read = FileBytes(path)
    assert len(read) == len(content)
    for _ in range(300):
        at, end = draw.randrange(len(content)), draw.randrange(len(content) + 1)
        assert read[at] == content[at]
        assert read[at:end] == content[at:end]
    assert b"".join(read.chunks()) == content
    with pytest.raises(IndexError):
        read[len(content)]
    np.testing.assert_array_equal(read.array("<i4", 100, 7), np.frombuffer(content, "<i4", 100, 7))


@pytest.mark.parametrize("step", [4, 5])
def test_values_are_read_where_they_are_sliced(step: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    content = random.Random(1).randbytes(3 + 50 * step)
    path.write_bytes(content)
    values = FileValues(FileBytes(path), "<f4", 50, 3, step)
    want = np.ndarray((50,), "<f4", content, 3, (step,))
    for key in (slice(None), slice(10, 20), slice(40, 90), slice(7, 7)):
        np.testing.assert_array_equal(values[key].view("<u4"), want[key].copy().view("<u4"))


@pytest.mark.parametrize("change", ["cut short", "written into", "appended to"])
def test_a_change_is_an_error(change: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(10_000))
    read = FileBytes(path)
    assert read[9_000] == 0
    if change == "cut short":
        os.truncate(path, 10)
    else:
        with path.open("r+b" if change == "written into" else "ab") as file:
            file.write(b"x")
    os.utime(path, ns=(0, 12345))  # a clock of few ticks may give the same time twice
    with pytest.raises(FileFormatError, match=r"f: has changed while it was read .it had 10000 "):
        read[0:10]


def test_the_descriptor_is_closed_with_the_last_user(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(100))
    held = FileValues(FileBytes(path), "<f4", 4, 0)
    number = held.source._descriptor
    os.fstat(number)
    del held
    with pytest.raises(OSError):
        os.fstat(number)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda path: None,
            "{path}: cannot be read: No such file or directory\n  fix: check the path",
            id="missing",
        ),
        pytest.param(
            lambda path: path.touch(),
            "{path}: is empty\n  fix: the download or copy broke off; fetch the file again",
            id="empty",
        ),
    ],
)
def test_file_bytes_errors(make: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    assert callable(make)
    make(path)
    with pytest.raises(FileFormatError) as caught:
        FileBytes(path)
    assert str(caught.value) == message.format(path=path)
