"""Images as pycaffe hands them around: (H, W, K) float32, colour as RGB in [0, 1].

Caffe: python/caffe/io.py (load_image, resize_image, oversample).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adaption.data.decode import decode_image
from adaption.errors import DataError
from adaption.pycaffe.errors import ShapeError
from adaption.pycaffe.resample import resize_aligned, resize_smooth

__all__ = ["centre_window", "load_image", "oversample", "resize_image"]

Image = NDArray[np.float32]

_LUMA = (0.2125, 0.7154, 0.0721)  # of R, G, B: skimage.color.rgb2gray


def load_image(filename: str | os.PathLike[str], color: bool = True) -> Image:
    """An image file as (H, W, 3) RGB, or (H, W, 1) with `color=False`; values in [0, 1].

    Alpha is dropped, a grey file gets three equal channels, EXIF orientation is left alone.
    Raises: DataError when the file is missing or no image.
    """
    try:
        pixels = decode_image(filename)
    except DataError as error:
        raise error.at(file=filename) from None
    image = pixels[::-1].transpose(1, 2, 0).astype(np.float32) / np.float32(255)
    if color:
        return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    if image.shape[2] == 3:
        image = image @ np.array(_LUMA, np.float32)[:, None]
    return image


def resize_image(im: ArrayLike, new_dims: Sequence[int], interp_order: int = 1) -> Image:
    """Resize an image.

    Images of 1 or 3 channels are resized as scikit-image does (pixels are areas, shrinking
    smooths first), others as scipy.ndimage.zoom does (corner pixels keep their place).

    Args:
        im: (H, W, K), any numbers.
        new_dims: (height, width).
        interp_order: order of the spline, 0 (nearest) to 5; 1 is linear.
    Returns: (height, width, K).
    Raises: ShapeError when `im` or `new_dims` has another form; FieldError on the order.
    """
    image = np.asarray(im)
    if image.ndim != 3 or not image.size:
        raise ShapeError(f"the image has shape {image.shape}, allowed: (height, width, channels)")
    sizes = [int(size) for size in new_dims]
    if len(sizes) != 2 or min(sizes) < 1:
        raise ShapeError(f"new_dims is {tuple(new_dims)}, allowed: (height, width) of 1 or more")
    if not np.issubdtype(image.dtype, np.floating) or image.dtype.itemsize < 4:
        image = image.astype(np.float32)
    resize = resize_smooth if image.shape[2] in (1, 3) else resize_aligned
    height, width = sizes
    made = resize(image, height, width, interp_order)
    return np.array(made, np.float32, order="C")


def oversample(images: Sequence[Any] | NDArray[Any], crop_dims: Sequence[int]) -> Image:
    """Ten crops of each image: four corners and the centre, then the five mirrored.

    Args:
        images: images of one shape (H, W, K).
        crop_dims: (height, width) of a crop, at most the images' size.
    Returns: (10 N, height, width, K), the crops of one image after each other.
    Raises: ShapeError when shapes differ or are smaller than a crop.
    """
    height, width = (int(size) for size in crop_dims)
    stack = np.asarray(images, np.float32)
    if stack.ndim != 4 or stack.shape[1] < height or stack.shape[2] < width:
        raise ShapeError(
            f"the images have shape {stack.shape}, allowed: (N, H, W, K) with at least"
            f" {height} x {width} pixels"
        )
    rows, columns = stack.shape[1:3]
    corners = [(y, x) for y in (0, rows - height) for x in (0, columns - width)]
    places = [*corners, centre_window((rows, columns), (height, width))]
    crops = np.stack([stack[:, y : y + height, x : x + width] for y, x in places], axis=1)
    both = np.concatenate([crops, crops[:, :, :, ::-1]], axis=1)
    return np.ascontiguousarray(both.reshape(-1, height, width, stack.shape[3]))


def centre_window(size: Sequence[int], crop: Sequence[int]) -> tuple[int, int]:
    """Upper left corner of the centred crop."""
    return (int(size[0]) - int(crop[0])) // 2, (int(size[1]) - int(crop[1])) // 2
