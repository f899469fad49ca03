"""Pooling3D: MAX and AVE over (N, C, time, height, width). C3D: pool3d_layer.cpp.

One kernel size for height and width. Top sizes are rounded up; padding is around the image only,
and AVE counts it in its divisor.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import Layer, Lowering, Shape, layer

LEAST = -(2.0**128 - 2.0**104)  # float32's least value, what C3D's maximum begins with


@layer("Pooling3D", param="pooling_param", kind="pooling", is_homogeneous=True)
@dataclass(frozen=True)
class Pooling3D(Layer):
    pool: str
    pad: int
    kernel_size: int | None
    kernel_depth: int | None
    stride: int
    temporal_stride: int

    def check(self) -> None:
        if self.pool not in ("MAX", "AVE"):
            raise FieldError("pooling_param.pool", self.pool, "MAX, AVE")
        for name in ("kernel_size", "kernel_depth", "stride", "temporal_stride"):
            value = getattr(self, name)
            if not value:
                found = "missing" if value is None else value
                raise FieldError(f"pooling_param.{name}", found, "1 or more")
        if self.pad and self.pool == "MAX":
            raise FieldError("pooling_param.pad", self.pad, "0 with pool: MAX")

    def keeps_codes(self) -> bool:
        return self.pool == "MAX"

    def keeps_grid(self) -> bool:
        return True

    def _axes(self, shape: Shape) -> list[tuple[int, int, int, int, int]]:
        """Size, kernel, stride, padding and windows along time, height and width."""
        if len(shape) != 5:
            raise ShapeError(
                f"bottom has shape {shape}, allowed: 5 axes, (N, C, time, height, width)"
            )
        size, depth = self.kernel_size or 1, self.kernel_depth or 1
        plane = (size, self.stride, self.pad)
        found = []
        for length, (kernel, stride, pad) in zip(
            shape[2:], ((depth, self.temporal_stride, 0), plane, plane), strict=True
        ):
            windows = -(-(length + 2 * pad - kernel) // stride) + 1
            if windows < 1 or (windows - 1) * stride - pad >= length + pad:
                raise ShapeError(
                    f"a bottom of shape {shape} and kernel ({depth}, {size}, {size}) leave a window"
                    " without values"
                )
            found.append((length, kernel, stride, pad, windows))
        return found

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        return (*x[:2], *(axis[4] for axis in self._axes(x)))

    def _padding(self, shape: Shape) -> list[int]:
        """Before and behind each axis, the last axis first, so that every window is whole."""
        pads = []
        for length, kernel, stride, pad, windows in reversed(self._axes(shape)):
            pads += [pad, max(0, (windows - 1) * stride + kernel - length - pad)]
        return pads

    def forward(self, x: Tensor) -> Tensor:
        axes = self._axes(tuple(x.shape))
        kernel, stride = [a[1] for a in axes], [a[2] for a in axes]
        is_max = self.pool == "MAX"
        padded = F.pad(x, self._padding(tuple(x.shape)), value=LEAST if is_max else 0.0)
        top = self.top_shape(tuple(x.shape))[2:]
        if is_max:
            return F.max_pool3d(padded, kernel, stride)[..., : top[0], : top[1], : top[2]]
        sums = F.avg_pool3d(padded, kernel, stride, divisor_override=1)
        return sums[..., : top[0], : top[1], : top[2]] / self._counts(axes).to(x)

    def _counts(self, axes: list[tuple[int, int, int, int, int]]) -> Tensor:
        """Values that each window counts: clipped to the image with its padding."""
        counts = torch.ones(())
        for length, kernel, stride, pad, windows in axes:
            start = torch.arange(windows) * stride - pad
            counts = counts[..., None] * ((start + kernel).clamp(max=length + pad) - start)
        return counts

    def lower(self, g: Lowering, *names: str) -> str:
        if self.pool != "MAX":
            return str(super().lower(g, *names))
        shape = g.shape(names[0])
        axes = self._axes(shape)
        behind = self._padding(shape)[1::2][::-1]
        y: str = g.op(
            "MaxPool",
            names[0],
            kernel_shape=[a[1] for a in axes],
            strides=[a[2] for a in axes],
            pads=[0, 0, 0, *behind],
        )
        return y
