"""decode.py: what OpenCV would hand to Caffe, for every kind of image file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adaption.data.decode import decode_image, grey_of
from adaption.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
BGR = RGB[..., ::-1].transpose(2, 0, 1)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_alpha() -> Image.Image:
    image = Image.fromarray(RGB)
    image.putalpha(7)
    return image


def test_colour_is_bgr_planes() -> None:
    assert np.array_equal(decode_image(encoded(Image.fromarray(RGB)), True), BGR)


def test_grey_of_colour_has_opencv_weights() -> None:
    pixel = np.array([[[200]], [[30]], [[77]]], np.uint8)
    # (200 * 1868 + 30 * 9617 + 77 * 4899 + 8192) >> 14
    assert grey_of(pixel).tolist() == [[[63]]]
    assert np.array_equal(decode_image(encoded(Image.fromarray(RGB)), False), grey_of(BGR))


def test_grey_jpeg_is_its_luma_plane() -> None:
    ramp = np.linspace(60, 180, 64).astype(np.uint8)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp, np.uint8(99)), axis=-1)
    data = encoded(Image.fromarray(image), "JPEG")
    luma = np.asarray(Image.open(io.BytesIO(data)).convert("YCbCr"))[..., 0]
    # Pillow's way through RGB and back rounds twice.
    assert np.abs(decode_image(data, False)[0].astype(int) - luma).max() <= 1


@pytest.mark.parametrize(
    ("image", "want"),
    [
        pytest.param(with_alpha(), BGR, id="alpha is dropped"),
        pytest.param(
            Image.fromarray(RGB).quantize(),
            np.asarray(Image.fromarray(RGB).quantize().convert("RGB"))[..., ::-1].transpose(
                2, 0, 1
            ),
            id="palette is looked up",
        ),
        pytest.param(Image.fromarray(RGB[..., 0]), RGB[..., 0], id="grey becomes three channels"),
        pytest.param(
            Image.fromarray(np.array([[256, 513, 65535]], np.uint16)),
            [[1, 2, 255]],
            id="16 bits keep their upper byte",
        ),
        pytest.param(
            Image.fromarray(np.array([[True, False]])), [[255, 0]], id="1 bit is black and white"
        ),
    ],
)
def test_modes(image: Image.Image, want: object) -> None:
    found = decode_image(encoded(image), True)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.broadcast_to(np.asarray(want), found.shape))


def test_none_keeps_the_channels_of_the_file() -> None:
    assert decode_image(encoded(Image.fromarray(RGB[..., 0]))).shape == (1, 4, 6)
    assert decode_image(encoded(Image.fromarray(RGB))).shape == (3, 4, 6)


def test_palette_with_alpha_gives_no_warning() -> None:
    data = encoded(Image.fromarray(RGB).quantize(), transparency=bytes(range(24)))
    assert decode_image(data, True).shape == (3, 4, 6)


def test_exif_orientation_is_applied_except_when_reading_as_stored() -> None:
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    data = encoded(image, "JPEG", exif=exif)
    assert decode_image(data, True).shape == (3, 6, 4)
    assert decode_image(data, False).shape == (1, 6, 4)
    assert decode_image(data).shape == (3, 4, 6)


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        pytest.param(b"hello", "is no image that Pillow knows", id="text"),
        pytest.param(b"", "is no image that Pillow knows", id="empty"),
        pytest.param(
            encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"),
            "holds floating point values",
            id="float",
        ),
    ],
)
def test_unreadable(data: bytes, fact: str) -> None:
    with pytest.raises(DataError) as caught:
        decode_image(data, True)
    assert str(caught.value) == fact


def test_truncated() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG")
    with pytest.raises(DataError, match="does not decode: "):
        decode_image(data[: len(data) // 2], True)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        decode_image(tmp_path / "none.jpg", True)
    assert str(caught.value) == "no such file"
    (tmp_path / "one.jpg").touch()
    with pytest.raises(DataError) as caught:
        decode_image(tmp_path / "on.jpg", True)
    assert str(caught.value) == "no such file\n  fix: did you mean one.jpg?"
