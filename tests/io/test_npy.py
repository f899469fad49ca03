"""npy.py: arrays of numpy files that may be damaged."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from adaption.errors import FileFormatError
from adaption.io.npy import read_npy


def with_header(text: str) -> bytes:
    raw = text.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + bytes(64)


@pytest.mark.parametrize("order", ["C", "F"])
def test_written_and_read(tmp_path: Path, order: str) -> None:
    array = np.array(np.arange(6).reshape(2, 3), ">f4", order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(read_npy(tmp_path / "a.npy"), array)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,",  # TokenError of tokenize
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 'a",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': 'x', 'fortran_order': 3, 'shape': 'a'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, True)}",
        "(" * 3000,
        "",
        "\0",
    ],
)
def test_odd_headers(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(with_header(header))
    with pytest.raises(FileFormatError) as caught:
        read_npy(path)
    assert str(caught.value).count("\n") == 1


def test_cut_anywhere(tmp_path: Path) -> None:
    out = io.BytesIO()
    np.save(out, np.arange(6.0))
    whole = out.getvalue()
    for stop in range(8, len(whole)):
        (tmp_path / "a.npy").write_bytes(whole[:stop])
        with pytest.raises(FileFormatError):
            read_npy(tmp_path / "a.npy")
