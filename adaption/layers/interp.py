"""Interp: bilinear, the corners of bottom and top aligned. DeepLab, PSPNet: interp_layer.cpp.

Negative pad_beg and pad_end crop the bottom first.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer("Interp", param="interp_param", kind="other", is_homogeneous=True)
@dataclass(frozen=True)
class Interp(Layer):
    height: int
    width: int
    zoom_factor: int
    shrink_factor: int
    pad_beg: int
    pad_end: int

    def check(self) -> None:
        for name in ("pad_beg", "pad_end"):
            if getattr(self, name) > 0:
                raise FieldError(f"interp_param.{name}", getattr(self, name), "0 or less (crop)")
        for name in ("zoom_factor", "shrink_factor"):
            if getattr(self, name) < 1:
                raise FieldError(f"interp_param.{name}", getattr(self, name), "1 or more")
        if not (self._has("height", "width") or self._has("zoom_factor")) and not self._has(
            "shrink_factor"
        ):
            raise FieldError(
                "interp_param",
                "without a size",
                "height and width, or zoom_factor, or shrink_factor",
            )

    def _has(self, *names: str) -> bool:
        return all(self.spec.message.interp_param.HasField(name) for name in names)

    def _top_sizes(self, sizes: Shape) -> Shape:
        """Sizes of the top's two axes. One factor alone wins over height and width."""
        zooms, shrinks = self._has("zoom_factor"), self._has("shrink_factor")
        if zooms == shrinks and self._has("height", "width"):
            return self.height, self.width
        if shrinks:
            sizes = tuple((s - 1) // self.shrink_factor + 1 for s in sizes)
        if zooms:
            sizes = tuple(s + (s - 1) * (self.zoom_factor - 1) for s in sizes)
        return sizes

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if len(x) != 4:
            raise ShapeError(f"bottom has shape {x}, allowed: (N, C, H, W)")
        cropped = tuple(s + self.pad_beg + self.pad_end for s in x[2:])
        if min(cropped) < 1:
            raise ShapeError(
                f"pad_beg {self.pad_beg} and pad_end {self.pad_end} leave nothing of a bottom of"
                f" shape {x}"
            )
        top = self._top_sizes(cropped)
        if min(top) < 1:
            raise FieldError("interp_param.height and width", list(top), "1 or more")
        return (*x[:2], *top)

    def forward(self, x: Tensor) -> Tensor:
        size = self.top_shape(tuple(x.shape))[2:]
        cut = [slice(-self.pad_beg, s + self.pad_end) for s in x.shape[2:]]
        return F.interpolate(x[:, :, cut[0], cut[1]], size, mode="bilinear", align_corners=True)

    def lower(self, g: Lowering, *names: str) -> str:
        x = names[0]
        shape = g.shape(x)
        if self.pad_beg or self.pad_end:
            ends = [s + self.pad_end for s in shape[2:]]
            x = g.op(
                "Slice", x, g.constant([-self.pad_beg] * 2), g.constant(ends), g.constant([2, 3])
            )
        y: str = g.op(
            "Resize",
            x,
            "",
            "",
            g.constant(list(self.top_shape(shape)[2:])),
            axes=[2, 3],
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )
        return y
