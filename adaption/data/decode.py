"""Compressed images to arrays, as OpenCV gives them to Caffe: BGR, (C, H, W), uint8.

JPEG is equal to cv::imread bit for bit where Pillow and OpenCV carry the same libjpeg-turbo; a grey
reading takes the luma plane of a JPEG, as OpenCV does. EXIF orientation is applied, as cv::imread
does since OpenCV 3.1 (2.4, which many published models were trained with, ignored it).
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from adaption.data.base import Array
from adaption.errors import DataError
from adaption.io.kinds import near_file
from adaption.io.limits import check_size, given_limit
from adaption.later import np

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decode_image", "grey_of"]

# OpenCV: imgcodecs/src/utils.cpp, icvCvt_BGR2Gray_8u_C3C1R, weights with 14 fractional bits
_GREY_BITS = 14
_BLUE, _GREEN, _RED = 1868, 9617, 4899


def decode_image(source: str | os.PathLike[str] | bytes, is_color: bool | None = None) -> Array:
    """The pixels of an image file, or of its bytes, as uint8 (3, H, W) BGR or (1, H, W) grey.

    Alpha is dropped, palettes are looked up, 16-bit values keep their upper byte, CMYK becomes
    colour; of an animation the first frame counts.

    Args:
        is_color: True 3 channels, False 1 channel, None as many as the file has; None also leaves
            EXIF orientation alone, as cv::imdecode does with IMREAD_UNCHANGED.
    Raises: DataError when it is no image, is damaged, or holds floating point values.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    stored = len(source) if isinstance(source, bytes) else _stored(source)
    if (given := given_limit()) is not None and Image.MAX_IMAGE_PIXELS is not None:
        # What the user allows is not for Pillow to refuse; it counts pixels, 3 bytes each at most.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, given)
    try:
        with Image.open(stream) as image:
            _check(image, stored)
            if is_color is False and image.format == "JPEG":
                image.draft("L", image.size)
            image.load()
            upright = image if is_color is None else ImageOps.exif_transpose(image)
            return _pixels(upright, is_color)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError("is no image that Pillow knows") from None
    except Image.DecompressionBombError as error:
        raise DataError(str(error)) from None
    # Pillow reports damage through any of these
    except (
        *(OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, MemoryError),
        *(ArithmeticError, AttributeError, NotImplementedError, RuntimeError, struct.error),
        zlib.error,
    ) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"does not decode: {reason}") from None


def _stored(path: str | os.PathLike[str]) -> int:
    """Bytes of an image file. Raises: DataError when it is no plain file, which could not end."""
    try:
        state = Path(path).stat()
    except FileNotFoundError:
        raise DataError("no such file", near_file(path)) from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISREG(state.st_mode):
        raise DataError("is no file")
    return state.st_size


def _check(image: Image, stored: int) -> None:
    """Refuse more pixels than memory is meant for; as colour they take three bytes each."""
    width, height = image.size
    what = f"an image of {width}x{height} pixels"
    check_size(3 * width * height, what, stored=stored, error=DataError)


def _pixels(image: Image, is_color: bool | None) -> Array:
    mode = image.mode
    if mode.startswith("I"):  # 16-bit grey; OpenCV keeps the upper byte
        wide = np.asarray(image)
        grey = (wide >> 8).clip(0, 255).astype(np.uint8)[None]
        return np.repeat(grey, 3, axis=0) if is_color else grey
    if mode == "F":
        raise DataError("holds floating point values")
    if mode == "1" or (mode in ("L", "LA", "La")):
        grey = np.asarray(image.convert("L"))[None]
        return np.repeat(grey, 3, axis=0) if is_color else grey
    if "transparency" in image.info or mode == "PA":
        image = image.convert("RGBA")  # a palette with alpha warns when it becomes RGB directly
    bgr = np.asarray(image.convert("RGB"))[..., ::-1]
    if is_color is False:
        return grey_of(bgr.transpose(2, 0, 1))
    return np.ascontiguousarray(bgr.transpose(2, 0, 1))


def grey_of(bgr: Array) -> Array:
    """Grey (1, H, W) of uint8 (3, H, W) BGR, rounded as OpenCV's file readers do."""
    b, g, r = bgr.astype(np.int32)
    half = 1 << (_GREY_BITS - 1)
    grey: Array = (b * _BLUE + g * _GREEN + r * _RED + half) >> _GREY_BITS
    return grey.astype(np.uint8)[None]
