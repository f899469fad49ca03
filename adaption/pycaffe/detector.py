"""Detector: scores of windows in images, as R-CNN takes them. Caffe: python/caffe/detector.py."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adaption.errors import UsageError
from adaption.pycaffe.classifier import image_transformer
from adaption.pycaffe.errors import ShapeError
from adaption.pycaffe.images import load_image, resize_image
from adaption.pycaffe.mode import TEST
from adaption.pycaffe.net import Net, PathLike

__all__ = ["Detector"]

Image = NDArray[np.float32]
Window = Sequence[int]  # ymin, xmin, ymax, xmax


class Detector(Net):
    """A net that scores windows of images, each warped to the size of the net's first input.

    Args:
        model_file, pretrained_file: prototxt and caffemodel.
        mean, input_scale, raw_scale, channel_swap: as Transformer takes them.
        context_pad: pixels of the input, on each side, that show what lies around the window.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike | None,
        mean: ArrayLike | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context around windows, and the crop that shows nothing but the mean."""
        name = self.inputs[0]
        shape = self.blobs[name].shape[1:]
        self.crop_dims = np.array([shape[1], shape[2], shape[0]])
        self.context_pad = int(context_pad or 0)
        if 2 * self.context_pad >= shape[2]:
            raise ShapeError(
                f"context_pad is {context_pad}, allowed: less than half of the input's width"
                f" ({shape[2]})"
            )
        # The mean, in the space of images before preprocessing.
        blank = np.zeros(shape, np.float32)
        self.crop_mean = np.array(self.transformer.deprocess(name, blank)).reshape(self.crop_dims)

    def detect_windows(
        self, images_windows: Iterable[tuple[PathLike, Iterable[Window]]]
    ) -> list[dict[str, Any]]:
        """Scores of windows.

        Args:
            images_windows: pairs of an image file and its windows (ymin, xmin, ymax, xmax).
        Returns: per window, in order: {"window", "prediction" (first output), "filename"}.
        Raises: DataError on an unreadable image; ShapeError on an empty window.
        """
        found: list[dict[str, Any]] = []
        inputs = []
        name = self.inputs[0]
        for filename, windows in images_windows:
            image = load_image(filename)
            for window in windows:
                found.append({"window": window, "filename": filename})
                inputs.append(self.transformer.preprocess(name, self.crop(image, window)))
        if inputs:
            scores = self.forward_all(None, **{name: np.stack(inputs)})[self.outputs[0]]
            for one, prediction in zip(found, scores, strict=True):
                one["prediction"] = prediction
        return found

    def detect_selective_search(self, image_fnames: Iterable[PathLike]) -> list[dict[str, Any]]:
        """Scores of the windows that selective search proposes.

        Raises: UsageError when the program (selective_search_ijcv_with_python) is not installed.
        """
        try:
            search = importlib.import_module("selective_search_ijcv_with_python")
        except ImportError:
            raise UsageError(
                "detect_selective_search needs the module selective_search_ijcv_with_python,"
                " which is not installed",
                "propose windows yourself and call detect_windows",
            ) from None
        files = [os.fspath(Path(name).resolve()) for name in image_fnames]
        windows = search.get_windows(files, cmd="selective_search_rcnn")
        return self.detect_windows(zip(files, windows, strict=True))

    def crop(self, im: Image, window: Window) -> Image:
        """A window of an image, with context around it when `context_pad` is set.

        What lies outside the image shows the mean.
        """
        y0, x0, y1, x1 = (int(v) for v in window)
        cut: Image = im[y0:y1, x0:x1]
        if not cut.size:
            raise ShapeError(
                f"window {tuple(window)} is empty in an image of {im.shape[0]} x {im.shape[1]}",
                "a window is (ymin, xmin, ymax, xmax) in pixels",
            )
        return self._with_context(im, (y0, x0, y1, x1)) if self.context_pad else cut

    def _with_context(self, im: Image, window: tuple[int, int, int, int]) -> Image:
        """R-CNN's crop: the box grows so that the window fills the input but for its border."""
        size = int(self.crop_dims[1])  # the input is taken for a square, as in pycaffe
        lower, upper = np.array(window[:2], float), np.array(window[2:], float)
        half = (upper - lower + 1) / 2
        reach = half * size / (size - 2 * self.context_pad)
        low, high = np.round(lower + half - reach), np.round(lower + half + reach)
        scale = size / (high - low + 1)
        pad = np.round(np.maximum(0, -low) * scale).astype(int)
        limits = np.array(im.shape[:2])
        low, high = np.clip(low, 0, limits).astype(int), np.clip(high, 0, limits).astype(int)
        shown = np.round((high - low + 1) * scale).astype(int)
        shown = np.minimum(shown, self.crop_dims[:2] - pad)
        made = np.array(self.crop_mean, np.float32)
        inside = resize_image(im[low[0] : high[0], low[1] : high[1]], shown.tolist())
        made[pad[0] : pad[0] + shown[0], pad[1] : pad[1] + shown[1]] = inside
        return made
