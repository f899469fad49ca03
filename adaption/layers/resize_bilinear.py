"""ResizeBilinear: TensorFlow's resize_bilinear. synopsys-caffe: resize_bilinear_layer.cpp.

A top position i reads the bottom at i (in - 1) / (out - 1) with align_corners, at
(i + 0.5) in / out - 0.5 with half_pixel_centers or pytorch_half_pixel (the latter at 0 when out
is 1), and else at i in / out.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Lowering, Shape, layer

_FORMATS = {"NHWC": (1, 2), "NCHW": (2, 3)}  # the axes of height and width


@layer("ResizeBilinear", param="resize_bilinear_param", kind="other", is_homogeneous=True)
@dataclass(frozen=True)
class ResizeBilinear(Layer):
    align_corners: bool
    output_height: int | None
    output_width: int | None
    data_format: str
    scale_height: float
    scale_width: float
    half_pixel_centers: bool
    pytorch_half_pixel: bool

    def check(self) -> None:
        if self.data_format not in _FORMATS:
            raise FieldError(
                "resize_bilinear_param.data_format", self.data_format, ", ".join(_FORMATS)
            )
        rules = ("align_corners", "half_pixel_centers", "pytorch_half_pixel")
        if len(given := [name for name in rules if getattr(self, name)]) > 1:
            raise FieldError(
                f"resize_bilinear_param.{given[1]}", True, f"false with {given[0]}: true"
            )

    @property
    def _axes(self) -> tuple[int, int]:
        return _FORMATS[self.data_format]

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if len(x) != 4:
            raise ShapeError(f"bottom has shape {x}, allowed: 4 axes, {self.data_format}")
        given = (self.output_height, self.scale_height), (self.output_width, self.scale_width)
        top = list(x)
        for axis, (size, scale) in zip(self._axes, given, strict=True):
            top[axis] = int(np.float32(x[axis]) * np.float32(scale)) if size is None else size
            if top[axis] < 1:
                raise ShapeError(f"bottom of shape {x} gives a top of shape {tuple(top)}")
        return tuple(top)

    def forward(self, x: Tensor) -> Tensor:
        top = self.top_shape(tuple(x.shape))
        for axis in reversed(self._axes):
            x = self._stretched(x, axis, top[axis])
        return x

    def _stretched(self, x: Tensor, axis: int, size: int) -> Tensor:
        at = torch.from_numpy(self._positions(x.shape[axis], size)).to(x.device)
        floor = at.floor()
        below = x.index_select(axis, floor.long().clamp_min(0))
        above = x.index_select(axis, at.ceil().long().clamp(0, x.shape[axis] - 1))
        share = (at - floor).to(x.dtype).view([-1 if a == axis else 1 for a in range(x.dim())])
        return below + (above - below) * share

    def _positions(self, before: int, after: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Where each position of the top lies in the bottom, in the original's float32."""
        index = np.arange(after, dtype=np.float32)
        if self.align_corners and after > 1:
            return index * np.float32((before - 1) / np.float32(after - 1))
        scale = np.float32(before / np.float32(after))
        if self.pytorch_half_pixel and after == 1:
            return np.full(1, -0.5, np.float32)
        if self.half_pixel_centers or self.pytorch_half_pixel:
            return (index + np.float32(0.5)) * scale - np.float32(0.5)
        return index * scale

    def lower(self, g: Lowering, *names: str) -> str:
        rule = "asymmetric"
        if self.align_corners:
            rule = "align_corners"
        elif self.half_pixel_centers:
            rule = "half_pixel"
        elif self.pytorch_half_pixel:
            rule = "pytorch_half_pixel"
        top = self.top_shape(g.shape(names[0]))
        y: str = g.op(
            "Resize",
            *(names[0], "", "", g.constant([top[a] for a in self._axes])),
            axes=list(self._axes),
            mode="linear",
            coordinate_transformation_mode=rule,
        )
        return y
