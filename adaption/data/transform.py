"""Transform: what is done to an image before it is a net's input.

Caffe: data_transformer.cpp, and the resizing of its readers in front of it.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from adaption.data.base import Array
from adaption.data.resize import resize
from adaption.errors import FieldError, ShapeError, UsageError
from adaption.io.blobproto import read_mean
from adaption.io.text import as_path
from adaption.later import np, npt

if TYPE_CHECKING:
    from adaption.proto import caffe_pb2

__all__ = ["DRAWS", "Transform", "parse_size"]

Size = int | tuple[int, int]

DRAWS = 3  # random numbers that an image takes: for mirroring, the row and the column of the crop

_READ_FIELDS = frozenset(
    "scale mirror crop_size mean_file mean_value force_color force_gray crop_h crop_w".split()
)


@dataclass(frozen=True)
class Transform:
    """Resize, order channels, crop, mirror, then (pixel - mean) * scale, all in float32.

    Args:
        resize: None, (height, width), or the length of the shorter side, which keeps the aspect
            ratio. Done as cv::resize with INTER_LINEAR does it, bit for bit on uint8.
        crop_size: 0, or the side of a square, or (height, width): cut from the centre in phase
            TEST, offset (size - crop) / 2 rounded down; from a random place in TRAIN.
        mirror: flip left to right with probability 1/2, in both phases as in Caffe.
        mean_value: one value, or one per channel, in the channel order of the net.
        mean_file: path of a .binaryproto or .npy mean: (C, H, W) of the size before cropping, cut
            with the crop; or one value per channel.
        scale: factor applied after the mean is subtracted.
        channel_order: "BGR" as images are decoded, or "RGB", which turns the channels of 3-channel
            samples around.
        force_color, force_gray: how encoded Datum images are decoded; see `is_color`.
        phase: "TRAIN" or "TEST".
    Raises: FieldError on values that are not allowed or exclude each other.
    """

    resize: Size | None = None
    crop_size: Size = 0
    mirror: bool = False
    mean_value: tuple[float, ...] = ()
    mean_file: str | os.PathLike[str] | None = None
    scale: float = 1.0
    channel_order: str = "BGR"
    force_color: bool = False
    force_gray: bool = False
    phase: str = "TEST"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean_value", tuple(float(v) for v in self.mean_value))
        if self.mean_file is not None and self.mean_value:
            raise FieldError(
                "mean_value",
                list(self.mean_value),
                "nothing beside mean_file",
                "give the mean once, as mean_file or as mean_value",
            )
        if self.resize is not None:
            _check_size("resize", self.resize, least=1)
        _check_size("crop_size", self.crop_size, least=0)
        if not math.isfinite(self.scale):
            raise FieldError("scale", self.scale, "a finite number")
        if self.channel_order not in ("BGR", "RGB"):
            raise FieldError("channel_order", self.channel_order, "'BGR' or 'RGB'")
        if self.phase not in ("TRAIN", "TEST"):
            raise FieldError("phase", self.phase, "'TRAIN' or 'TEST'")
        if self.force_color and self.force_gray:
            raise FieldError("force_gray", True, "false beside force_color")

    @classmethod
    def from_message(
        cls, message: caffe_pb2.TransformationParameter, phase: str = "TEST", **more: Any
    ) -> Self:
        """The transform of a `transform_param`; `more` are fields that Caffe has elsewhere.

        Raises: FieldError, also for augmentations of Caffe forks, which are not done here.
        """
        foreign = [f.name for f, _ in message.ListFields() if f.name not in _READ_FIELDS]
        if foreign:
            raise FieldError(
                f"transform_param.{foreign[0]}",
                "set",
                "fields of Caffe's own transformer: " + ", ".join(sorted(_READ_FIELDS)),
                "remove it, and prepare the images accordingly",
            )
        crop: Size = message.crop_size
        if message.crop_h or message.crop_w:
            if crop:
                raise FieldError("crop_size", crop, "nothing beside crop_h and crop_w")
            crop = (message.crop_h, message.crop_w)
        return cls(
            crop_size=crop,
            mirror=message.mirror,
            mean_value=tuple(message.mean_value),
            mean_file=as_path(message.mean_file) if message.HasField("mean_file") else None,
            scale=message.scale,
            force_color=message.force_color,
            force_gray=message.force_gray,
            phase=phase,
            **more,
        )

    def with_phase(self, phase: str) -> Self:
        return replace(self, phase=phase)

    @property
    def is_color(self) -> bool | None:
        """How encoded images are to be decoded; None is as they are stored."""
        return True if self.force_color else False if self.force_gray else None

    @property
    def is_random(self) -> bool:
        """Whether `apply` needs random numbers."""
        return self.mirror or (self.phase == "TRAIN" and bool(self.crop))

    @property
    def crop(self) -> tuple[int, int] | None:
        """(height, width) of the crop, None without one."""
        size = self.crop_size
        if isinstance(size, int):
            return (size, size) if size else None
        return size

    @cached_property
    def mean(self) -> npt.NDArray[np.float32] | None:
        """The mean in the shape (C, H, W) or (C, 1, 1), None without one.

        Raises: FileFormatError when `mean_file` cannot be read.
        """
        if self.mean_file is not None:
            mean = read_mean(self.mean_file)
            return mean if mean.ndim == 3 else mean[:, None, None]
        if self.mean_value:
            return np.array(self.mean_value, np.float32)[:, None, None]
        return None

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) before cropping of an image of this size."""
        if self.resize is None:
            return height, width
        if not isinstance(self.resize, int):
            return self.resize
        ratio = self.resize / min(height, width)
        return max(1, round(height * ratio)), max(1, round(width * ratio))

    def top_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape of the result for an image of this shape. Raises: FieldError, ShapeError."""
        if len(shape) != 3:
            raise ShapeError(
                f"a sample has shape {tuple(shape)}, images have three axes: channels, height,"
                " width"
            )
        height, width = self.size_of(*shape[1:])
        return (shape[0], *self._window(height, width))

    def apply(self, image: Array, rng: np.random.Generator | None = None) -> Array:
        """The net's input for one image.

        Args:
            image: (C, H, W), uint8 or float.
            rng: draws mirroring and TRAIN crops; needed only when `is_random`.
        Returns: float32 (C, H', W').
        Raises: FieldError when crop or mean does not fit the image; ShapeError when the image has
            not three axes.
        """
        draws = None
        if self.is_random:
            if rng is None:
                raise UsageError("mirroring and random crops need a random generator", "give rng")
            draws = rng.random((1, DRAWS))
        made: Array = self.apply_to_batch(np.asarray(image)[None], draws)[0]
        return made

    def apply_to_batch(self, images: Array, draws: Array | None = None) -> Array:
        """The net's input for each of some images of one shape.

        Args:
            images: (N, C, H, W), uint8 or float.
            draws: (N, DRAWS) random numbers in [0, 1), read only when `is_random`.
        Returns: float32 (N, C, H', W').
        Raises: as `apply`.
        """
        crop = self.top_shape(images.shape[1:])[1:]
        x = images
        if self.resize is not None:
            size = self.size_of(*x.shape[2:])
            x = np.stack([resize(one, *size) for one in x])
        if self.channel_order == "RGB" and x.shape[1] == 3:
            x = x[:, ::-1]
        mean = self._mean_for(x.shape[1:])
        y = np.empty((*x.shape[:2], *crop), np.float32)
        rows, columns = x.shape[2] - crop[0], x.shape[3] - crop[1]
        if self.phase == "TRAIN" and draws is not None and self.crop is not None:
            tops = (draws[:, 1] * (rows + 1)).astype(int)
            lefts = (draws[:, 2] * (columns + 1)).astype(int)
            for out, one, top, left in zip(y, x, tops, lefts, strict=True):
                _subtract(one, mean, out, top, left)
        else:
            _subtract(x, mean, y, rows // 2, columns // 2)
        if self.scale != 1.0:
            y *= np.float32(self.scale)
        if self.mirror and draws is not None:
            flip = draws[:, 0] < 0.5
            y[flip] = y[flip][..., ::-1]
        return y

    def _window(self, height: int, width: int) -> tuple[int, int]:
        crop = self.crop
        if crop is None:
            return height, width
        if crop[0] > height or crop[1] > width:
            raise FieldError(
                "crop_size",
                f"{crop[0]}x{crop[1]}",
                f"at most {height}x{width}, the size of the image",
                "resize the images to a larger size, or crop less",
            )
        return crop

    def _mean_for(self, shape: tuple[int, ...]) -> Array | None:
        mean = self.mean
        if mean is None:
            return None
        if self.mean_file is None:
            if mean.shape[0] not in (1, shape[0]):
                raise FieldError(
                    "mean_value",
                    list(self.mean_value),
                    f"one value, or one per channel ({shape[0]})",
                )
        elif mean.shape[0] != shape[0] or mean.shape[1:] not in ((1, 1), shape[1:]):
            per_channel = ", ".join(f"{v:.6g}" for v in mean.mean(axis=(1, 2)))
            raise FieldError(
                "mean_file",
                f"{os.fspath(self.mean_file)} of shape {mean.shape}",
                f"the shape {tuple(shape)} of the image before cropping",
                f"resize the images to {mean.shape[1]}x{mean.shape[2]}, or give its mean per"
                f" channel as mean_value: {per_channel}",
            )
        return mean

    def describe(self) -> dict[str, Any]:
        """Plain values for summary.json, under the names of its `preprocessing`."""
        crop = self.crop
        return {
            "channel_order": self.channel_order,
            "resize": list(self.resize) if isinstance(self.resize, tuple) else self.resize,
            "crop": crop[0] if crop and crop[0] == crop[1] else list(crop) if crop else None,
            "crop_mode": ("random" if self.phase == "TRAIN" else "center") if crop else None,
            "mirror": self.mirror,
            "mean_value": list(self.mean_value) or None,
            "mean_file": None if self.mean_file is None else os.fspath(self.mean_file),
            "scale": self.scale,
        }


def _subtract(x: Array, mean: Array | None, out: Array, top: int, left: int) -> None:
    """Write the window of (..., H, W) at `top` and `left`, less the mean, to `out`."""
    window = (..., slice(top, top + out.shape[-2]), slice(left, left + out.shape[-1]))
    if mean is None:
        out[...] = x[window]
        return
    if mean.shape[1:] != (1, 1):
        mean = mean[window]
    np.subtract(x[window], mean, out=out, dtype=np.float32, casting="same_kind")


def _check_size(field: str, size: Size, *, least: int) -> None:
    sides = (size,) if isinstance(size, int) else size
    if len(sides) not in (1, 2) or any(s < (least if isinstance(size, int) else 1) for s in sides):
        raise FieldError(field, size, "a length in pixels, or height and width")


def parse_size(text: str) -> Size:
    """A size as it is typed: "256" or "256x320" (height x width).

    Raises: FieldError.
    """
    parts = text.lower().replace(",", "x").split("x")
    if len(parts) in (1, 2) and all(p.strip().isdecimal() and int(p) > 0 for p in parts):
        sides = [int(p) for p in parts]
        return sides[0] if len(sides) == 1 else (sides[0], sides[1])
    raise FieldError("size", text, "pixels as in 256, or height x width as in 256x320")
