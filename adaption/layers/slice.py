"""Slice: one bottom cut into several tops along one axis. Caffe: slice_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer(
    "Slice",
    param="slice_param",
    kind="arrangement",
    tops=(1, None),
    works_on_codes=True,
)
@dataclass(frozen=True)
class Slice(Layer):
    axis: int
    slice_point: tuple[int, ...]
    slice_dim: int | None  # the older name of axis

    def check(self) -> None:
        param = self.spec.message.slice_param
        if param.HasField("axis") and param.HasField("slice_dim"):
            raise FieldError("slice_param.slice_dim", param.slice_dim, "axis or slice_dim")
        if self.slice_point and len(self.slice_point) != len(self.spec.tops) - 1:
            raise FieldError(
                "slice_param.slice_point",
                list(self.slice_point),
                f"one point between each two tops ({len(self.spec.tops) - 1})",
            )

    def _axis(self, rank: int) -> int:
        if self.spec.message.slice_param.HasField("slice_dim"):
            return canonical_axis(int(self.slice_dim or 0), rank, "slice_dim")
        return canonical_axis(self.axis, rank)

    def _sizes(self, shape: Shape) -> list[int]:
        size, count = shape[self._axis(len(shape))], len(self.spec.tops)
        if not self.slice_point:
            if size % count:
                raise ShapeError(f"{count} tops do not divide an axis of {size} evenly")
            return [size // count] * count
        edges = [0, *self.slice_point, size]
        sizes = [after - before for before, after in pairwise(edges)]
        if min(sizes) < 1:
            raise FieldError(
                "slice_param.slice_point", list(self.slice_point), f"rising, within 1..{size - 1}"
            )
        return sizes

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        x = bottoms[0]
        axis = self._axis(len(x))
        return [(*x[:axis], size, *x[axis + 1 :]) for size in self._sizes(x)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.split(x, self._sizes(tuple(x.shape)), self._axis(x.dim()))

    def lower(self, g: Lowering, *names: str) -> Any:
        shape = g.shape(names[0])
        sizes = self._sizes(shape)
        if len(sizes) == 1:
            return names[0]
        return g.op(
            "Split",
            names[0],
            g.constant(np.array(sizes)),
            outputs=len(sizes),
            axis=self._axis(len(shape)),
        )
