"""Classifier: images in, class probabilities out. Caffe: python/caffe/classifier.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adaption.pycaffe.errors import ShapeError
from adaption.pycaffe.images import centre_window, resize_image
from adaption.pycaffe.images import oversample as ten_crops
from adaption.pycaffe.mode import TEST
from adaption.pycaffe.net import Net, PathLike
from adaption.pycaffe.transformer import Transformer

__all__ = ["Classifier", "image_transformer"]


class Classifier(Net):
    """A net that takes images in its first input and scores classes in its first output.

    Args:
        model_file, pretrained_file: prototxt and caffemodel.
        image_dims: (height, width) images are resized to before they are cropped; default: the
            size of the input, which is also the least.
        mean, input_scale, raw_scale, channel_swap: as Transformer takes them.
    Raises: AdaptionError when files are bad or settings do not fit the input.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike | None,
        image_dims: Sequence[int] | None = None,
        mean: ArrayLike | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        given = self.crop_dims if image_dims is None or not len(image_dims) else image_dims
        self.image_dims = np.array(given, np.int64)
        if self.image_dims.shape != (2,) or (self.image_dims < self.crop_dims).any():
            raise ShapeError(
                f"image_dims is {tuple(self.image_dims.tolist())}, allowed: height and width of"
                f" at least {tuple(self.crop_dims.tolist())}, the size of the input"
            )

    def predict(self, inputs: Sequence[Any], oversample: bool = True) -> NDArray[np.float32]:
        """Scores of images.

        Args:
            inputs: images (H, W, K) as `load_image` gives them, of any sizes.
            oversample: average over ten crops (corners, centre, and their mirror images); the
                centre crop alone otherwise.
        Returns: (N, classes); without oversampling, what the output blob holds for N images.
        Raises: ShapeError when no image is given, or one is not (H, W, K).
        """
        images = [resize_image(image, self.image_dims.tolist()) for image in inputs]
        if not images:
            raise ShapeError("predict is given no images", "give a list of (H, W, K) arrays")
        height, width = self.crop_dims.tolist()
        if oversample:
            crops = ten_crops(images, (height, width))
        else:
            y, x = centre_window(self.image_dims.tolist(), (height, width))
            crops = np.stack(images)[:, y : y + height, x : x + width]
        name = self.inputs[0]
        batch = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(None, **{name: batch})[self.outputs[0]]
        if not oversample:
            return scores
        averaged: NDArray[np.float32] = scores.reshape(len(images), 10, -1).mean(1)
        return averaged


def image_transformer(
    net: Net,
    mean: ArrayLike | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> Transformer:
    """The Transformer of a net's first input, channels first, with the settings that are given."""
    name = net.inputs[0]
    made = Transformer({name: net.blobs[name].shape})
    made.set_transpose(name, (2, 0, 1))
    if mean is not None:
        made.set_mean(name, mean)
    if input_scale is not None:
        made.set_input_scale(name, input_scale)
    if raw_scale is not None:
        made.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        made.set_channel_swap(name, channel_swap)
    return made
