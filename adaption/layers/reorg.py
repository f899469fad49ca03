"""Reorg: blocks of s x s positions to channels, or back. MobileNet-YOLO: reorg_layer.cpp.

darknet: forward is a space-to-depth of the bottom read as (C / s², H s, W s), so the order of its
channels is not the plain one; `reverse` is a plain depth-to-space, and so not the inverse.
deeptextspotter: forward is a plain space-to-depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer

Read = tuple[int, int, int]  # channels, height and width of the smaller planes


@dataclass(frozen=True)
class _Reorg(Layer):
    stride: int | None
    reverse: bool

    mixes_rows: ClassVar[bool] = True

    def check(self) -> None:
        if self.stride is None or self.stride < 1:
            found = "missing" if self.stride is None else self.stride
            raise FieldError("reorg_param.stride", found, "1 or more")

    @property
    def _s(self) -> int:
        return self.stride or 1

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, s = bottoms[0], self._s
        if len(x) != 4 or ((self.reverse or self.mixes_rows) and x[1] % s**2):
            raise ShapeError(f"bottom has shape {x}, allowed: (N, C, H, W), C divisible by {s**2}")
        if self.reverse:
            return x[0], x[1] // s**2, x[2] * s, x[3] * s
        if x[2] % s or x[3] % s:
            raise ShapeError(f"bottom has shape {x}, allowed: H and W divisible by {s}")
        return x[0], x[1] * s**2, x[2] // s, x[3] // s

    def _read(self, x: Shape) -> Read:
        """The smaller planes with more channels, as which one side of the copy is read."""
        raise NotImplementedError

    def _steps(self, x: Shape) -> tuple[list[int], list[int]]:
        """The shape to reshape to, behind the batch axis, and the permutation that follows."""
        s = self._s
        c, h, w = self._read(x)
        if self.reverse:
            return [s, s, c // s**2, h, w], [0, 3, 4, 1, 5, 2]
        return [c // s**2, h, s, w, s], [0, 3, 5, 1, 2, 4]

    def forward(self, x: Tensor) -> Tensor:
        split, order = self._steps(tuple(x.shape))
        return x.reshape(-1, *split).permute(order).reshape(self.top_shape(tuple(x.shape)))

    def lower(self, g: Lowering, *names: str) -> str:
        shape = g.shape(names[0])
        split, order = self._steps(shape)
        moved = g.op("Transpose", g.op("Reshape", names[0], g.constant([0, *split])), perm=order)
        y: str = g.op("Reshape", moved, g.constant([0, *self.top_shape(shape)[1:]]))
        return y


@layer(
    "Reorg",
    param="reorg_param",
    dialect="darknet",
    kind="arrangement",
    works_on_codes=True,
)
@dataclass(frozen=True)
class DarknetReorg(_Reorg):
    """Both directions read the bottom's own sizes."""

    def _read(self, x: Shape) -> Read:
        return x[1], x[2], x[3]


@layer(
    "Reorg",
    param="reorg_param",
    dialect="deeptextspotter",
    kind="arrangement",
    works_on_codes=True,
)
@dataclass(frozen=True)
class PlainReorg(_Reorg):
    """Both directions read the top's sizes."""

    mixes_rows = False

    def _read(self, x: Shape) -> Read:
        _, c, h, w = self.top_shape(x)
        return c, h, w

    def check(self) -> None:
        super().check()
        if self.reverse:
            raise FieldError("reorg_param.reverse", True, "false in this dialect")
