"""Transformer: images to input arrays and back. Caffe: python/caffe/io.py, class Transformer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adaption.errors import UsageError
from adaption.pycaffe.errors import ShapeError
from adaption.pycaffe.images import resize_image

__all__ = ["Transformer"]

Array = NDArray[Any]
Shape = tuple[int, ...]


class Transformer:
    """Turns images into what a net's inputs take, and back.

    Args:
        inputs: shape of each input blob by name, (N, C, H, W).

    `preprocess` does, of these steps, those that were set, in this order: resize to the blob's
    height and width, transpose, swap channels, multiply by raw_scale, subtract the mean, multiply
    by input_scale. The image that is given stays as it is (pycaffe may overwrite it).
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs: dict[str, Shape] = {
            name: tuple(int(size) for size in shape) for name, shape in inputs.items()
        }
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: ArrayLike) -> NDArray[np.float32]:
        """An image (H, W, K), made ready for the input `in_`; without a batch axis.

        Raises: UsageError on an unknown input; ShapeError when the image does not fit.
        """
        self._check(in_)
        image = np.array(data, np.float32)
        dims = self.inputs[in_][2:]
        if image.shape[:2] != dims:
            image = resize_image(image, dims)
        if in_ in self.transpose:
            if image.ndim != len(self.transpose[in_]):
                raise ShapeError(
                    f'the image for "{in_}" has shape {image.shape}, allowed:'
                    f" {len(self.transpose[in_])} axes",
                    "give a grey image a channel axis: image[:, :, None]",
                )
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            image *= np.float32(self.raw_scale[in_])
        if in_ in self.mean:
            _in_place(np.subtract, in_, image, self.mean[in_])
        if in_ in self.input_scale:
            image *= np.float32(self.input_scale[in_])
        return image

    def deprocess(self, in_: str, data: ArrayLike) -> Array:
        """The image that `preprocess` was given, but for its size; axes of size 1 are dropped.

        Args:
            data: (C, H, W), or with further axes of size 1 before it.
        """
        self._check(in_)
        given = np.asarray(data)
        kind = given.dtype if np.issubdtype(given.dtype, np.floating) else np.float32
        image: Array = np.array(given, kind).squeeze()
        rank = len(self.inputs[in_]) - 1
        if image.ndim != rank and (in_ in self.transpose or in_ in self.channel_swap):
            image = image.reshape(given.shape[-rank:])  # one channel; pycaffe fails here
        if in_ in self.input_scale:
            image /= self.input_scale[in_]
        if in_ in self.mean:
            _in_place(np.add, in_, image, self.mean[in_])
        if in_ in self.raw_scale:
            image /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Order of an image's axes in the blob, (2, 0, 1) for (H, W, K) to (K, H, W)."""
        self._check(in_)
        if sorted(order) != list(range(len(self.inputs[in_]) - 1)):
            raise ShapeError(
                f'transpose order of "{in_}" is {tuple(order)}, allowed: an order of the'
                f" {len(self.inputs[in_]) - 1} axes after the first of {self.inputs[in_]}",
                "for images write (2, 0, 1)",
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Order of the channels, after the transpose; (2, 1, 0) for RGB to BGR."""
        self._check(in_)
        if sorted(order) != list(range(self.inputs[in_][1])):
            raise ShapeError(
                f'channel swap of "{in_}" is {tuple(order)}, allowed: an order of its'
                f" {self.inputs[in_][1]} channels"
            )
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Factor before the mean is subtracted; 255 for nets that take pixels of 0 to 255."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: ArrayLike) -> None:
        """What to subtract: one value per channel, or an image (C, H, W) or (H, W).

        A mean image of another size than the blob is resized.
        Raises: ShapeError when the channels differ, or on another number of axes.
        """
        self._check(in_)
        values = np.asarray(mean)
        wanted = self.inputs[in_][1:]
        if values.ndim == 1:
            values = values[:, None, None]
        elif values.ndim == 2:
            values = values[None]
        if values.ndim != 3 or values.shape[0] not in (1, wanted[0]):
            raise ShapeError(
                f'mean of "{in_}" has shape {np.shape(mean)}, allowed: ({wanted[0]},),'
                f" ({wanted[0]}, height, width) or (height, width)"
            )
        if np.ndim(mean) > 1 and values.shape[1:] != wanted[1:]:
            values = resize_image(values.transpose(1, 2, 0), wanted[1:]).transpose(2, 0, 1)
        self.mean[in_] = values

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Factor after the mean has been subtracted."""
        self._check(in_)
        self.input_scale[in_] = scale

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise UsageError(
                f"{in_!r} is not one of the inputs", f"the inputs are {sorted(self.inputs)}"
            )


def _in_place(operation: np.ufunc, in_: str, image: Array, mean: Array) -> None:
    """`image` plus or minus the mean, computed in the wider type of both, kept in the image's."""
    try:
        operation(image, mean, out=image, casting="same_kind")
    except ValueError:
        raise ShapeError(
            f'image of shape {image.shape} and mean of shape {mean.shape} of "{in_}" do not fit',
            "call set_transpose(..., (2, 0, 1)) so that channels come first",
        ) from None
