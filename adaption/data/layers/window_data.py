"""WindowData: random windows of images, for R-CNN's fine-tuning. Caffe: window_data_layer.cpp.

Each batch takes batch_size * fg_fraction windows that show an object, and for the rest background.
Both phases draw at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from adaption.data.base import Array, Job, Sample
from adaption.data.decode import decode_image
from adaption.data.feed import (
    FedLayer,
    Order,
    check_batch_size,
    check_source,
    load_and_stack,
    uniform,
)
from adaption.data.transform import Transform
from adaption.data.windows import Window, WindowFile, cut, read_windows
from adaption.errors import DataError, FieldError, FileFormatError
from adaption.io.files import read_bytes
from adaption.later import np
from adaption.layers.base import Runtime, Shape, layer

_MOVED = ("crop_size", "mean_file", "mirror")
_AS_IT_IS = Transform()


@layer(
    "WindowData",
    param="window_data_param",
    kind="data",
    obeys_transform=True,
    bottoms=0,
    tops=2,
    is_source=True,
)
@dataclass(frozen=True)
class WindowData(FedLayer):
    source: str
    scale: float
    batch_size: int
    fg_threshold: float
    bg_threshold: float
    fg_fraction: float
    context_pad: int
    crop_mode: str
    cache_images: bool
    root_folder: str

    def check(self) -> None:
        check_batch_size("window_data_param", self.batch_size)
        for name in _MOVED:
            if self.spec.message.window_data_param.HasField(name):
                raise FieldError(
                    f"window_data_param.{name}", "set", f"transform_param.{name}, which is read"
                )
        crop = self.transform.crop_size
        if not isinstance(crop, int) or not crop:
            raise FieldError("transform_param.crop_size", crop, "1 or more")
        if self.crop_mode not in ("warp", "square"):
            raise FieldError("window_data_param.crop_mode", self.crop_mode, "'warp' or 'square'")
        if 2 * self.context_pad >= crop:
            raise FieldError(
                "window_data_param.context_pad",
                self.context_pad,
                f"less than half of crop_size ({crop})",
            )
        if not 0 <= self.fg_fraction <= 1:
            raise FieldError("window_data_param.fg_fraction", self.fg_fraction, "0..1")

    @cached_property
    def transform(self) -> Transform:
        return Transform.from_message(self.spec.message.transform_param)

    @cached_property
    def size(self) -> int:
        return int(self.spec.message.transform_param.crop_size)

    @cached_property
    def windows(self) -> WindowFile:
        """The windows of the file. Raises: DataError, FileFormatError."""
        check_source("window_data_param", self.source)
        found = read_windows(
            Path(self.source),
            self.root_folder,
            fg_threshold=self.fg_threshold,
            bg_threshold=self.bg_threshold,
        )
        if found.channels not in (1, 3):
            raise DataError(f"says {found.channels} channels, allowed: 1, 3", file=self.source)
        return found

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        channels = self.windows.channels
        return [(self.batch_size, channels, self.size, self.size), (self.batch_size,)]

    def is_random(self, runtime: Runtime) -> bool:
        return True

    def epoch_size(self) -> None:
        return None  # windows are drawn with replacement

    def batches(self, runtime: Runtime, order: Order) -> Iterator[Callable[[], list[Array]]]:
        """Batches of background, then foreground windows."""
        cutter = self._cutter(runtime)
        foreground = int(np.float32(self.batch_size) * np.float32(self.fg_fraction))
        for numbers in order.batches(self.batch_size):
            jobs = []
            for i, (which, side) in enumerate(uniform(order.seed, numbers, 2)):
                is_background = i < self.batch_size - foreground
                found = self.windows.background if is_background else self.windows.foreground
                window = found[int(which * len(found))]
                flip = self.transform.mirror and side < 0.5
                jobs.append(Job(window.image, partial(cutter.load, window, flip)))
            yield partial(load_and_stack, jobs, _AS_IT_IS, order.seed, numbers)

    def _cutter(self, runtime: Runtime) -> _Cutter:
        # The original reads no other scale, so that of transform_param is lost in it.
        scale = self.scale * (1.0 if runtime.original_semantics else self.transform.scale)
        return _Cutter(self, self._mean(), np.float32(scale))

    def _mean(self) -> Array:
        """The mean under the crop, (C, size, size) or (C, 1, 1)."""
        channels, size = self.windows.channels, self.size
        mean = self.transform.mean
        if mean is None:
            return np.zeros((channels, 1, 1), np.float32)
        field_ = "mean_value" if self.transform.mean_file is None else "mean_file"
        if mean.shape[0] != channels and (field_ == "mean_file" or mean.shape[0] != 1):
            raise FieldError(
                f"transform_param.{field_}", f"{mean.shape[0]} channels", f"{channels}, as images"
            )
        if mean.shape[1:] == (1, 1):
            return mean
        at = (mean.shape[2] - size) // 2  # of rows, too, as the original has it
        crop = mean[:, max(at, 0) : at + size, max(at, 0) : at + size]
        if at < 0 or crop.shape[1:] != (size, size):
            raise FieldError(
                "transform_param.mean_file",
                f"{mean.shape[1]}x{mean.shape[2]}",
                f"at least crop_size ({size}x{size})",
            )
        return crop


@dataclass
class _Cutter:
    """Makes samples of windows; keeps the files it has read with `cache_images`."""

    layer: WindowData
    mean: Array
    scale: np.float32
    files: dict[str, bytes] = field(default_factory=dict)

    def load(self, window: Window, mirror: bool) -> Sample:
        """One crop, zeros where the context lies outside of the image. Raises: DataError."""
        layer, size = self.layer, self.layer.size
        try:
            image = decode_image(self._file(window.image), layer.windows.channels == 3)
            patch = cut(
                image,
                window,
                size,
                context_pad=layer.context_pad,
                square=layer.crop_mode == "square",
                mirror=mirror,
            )
        except DataError as error:
            raise error.at(file=window.image) from None
        channels, height, width = patch.image.shape
        inside = (
            slice(None),
            slice(patch.top, patch.top + height),
            slice(patch.left, patch.left + width),
        )
        crop = np.zeros((channels, size, size), np.float32)
        mean = np.broadcast_to(self.mean, crop.shape)
        crop[inside] = (patch.image.astype(np.float32) - mean[inside]) * self.scale
        return Sample(crop, window.label, window.image)

    def _file(self, path: str) -> str | bytes:
        if not self.layer.cache_images:
            return path
        if path not in self.files:
            try:
                self.files[path] = read_bytes(path, "an image")
            except FileFormatError as error:
                raise DataError(error.fact, error.fix) from None
        return self.files[path]
