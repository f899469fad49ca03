"""Compressed images one after the other in an .npz file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adaption.data import open_source
from adaption.errors import AdaptionError


def png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (3, 2), (value, 10, 20)).save(stream, "PNG")
    return stream.getvalue()


def put(path: Path, **more: Any) -> Path:
    files = [png(1), png(2), png(3)]
    arrays: dict[str, Any] = {
        "data": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": np.array([4, 5, 6], np.uint8),
    }
    np.savez(path, **{**arrays, **more})
    return path


def test_images_in_order(tmp_path: Path) -> None:
    source = open_source(put(tmp_path / "a.npz"))
    assert (source.kind, len(source), source.has_labels, source.is_decoded) == (
        "npz",
        3,
        True,
        True,
    )
    found = [(s.label, s.image.shape, s.image[:, 0, 0].tolist()) for s in source]
    assert found == [(4 + i, (3, 2, 3), [20, 10, 1 + i]) for i in range(3)]


def test_grey(tmp_path: Path) -> None:
    path = put(tmp_path / "a.npz")
    assert open_source(path, is_color=False)[0].image.shape == (1, 2, 3)
    assert open_source(path).as_color(False)[0].image.shape == (1, 2, 3)


def test_an_image_that_does_not_decode_is_passed_over(tmp_path: Path) -> None:
    content = png(1) + b"nothing" + png(3)
    path = put(
        tmp_path / "a.npz",
        data=np.frombuffer(content, np.uint8),
        offsets=[0, len(png(1)), len(png(1)) + 7, len(content)],
    )
    source = open_source(path)
    assert [s.label for s in source] == [4, 6]
    assert source.skipped == [("1", "image 1 is no image that Pillow knows")]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"offsets": [0, 5, 3]},
            "offsets do not cut data, {n} bytes, into images\n  fix: image i is"
            " data[offsets[i]:offsets[i + 1]]",
        ),
        (
            {"offsets": [0, 10**6]},
            "offsets do not cut data, {n} bytes, into images\n  fix: image i is"
            " data[offsets[i]:offsets[i + 1]]",
        ),
        (
            {"labels": [1, 2]},
            "has 3 images, and labels of shape (2,)\n  fix: give one label per image",
        ),
    ],
)
def test_refused(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = put(tmp_path / "a.npz", **more)
    with pytest.raises(AdaptionError) as caught:
        open_source(path)
    size = len(png(1) + png(2) + png(3))
    assert str(caught.value) == f"{path}: {message.format(n=size)}"
