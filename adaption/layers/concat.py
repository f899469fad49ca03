"""Concat: bottoms side by side along one axis. Caffe: concat_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer(
    "Concat",
    param="concat_param",
    kind="arrangement",
    joins=True,
    rearranges=True,
    bottoms=(1, None),
    takes_channels_last=True,
    works_on_codes=True,
)
@dataclass(frozen=True)
class Concat(Layer):
    axis: int
    concat_dim: int | None  # the older name of axis

    def check(self) -> None:
        param = self.spec.message.concat_param
        if param.HasField("axis") and param.HasField("concat_dim"):
            raise FieldError("concat_param.concat_dim", param.concat_dim, "axis or concat_dim")

    def _axis(self, rank: int) -> int:
        if self.spec.message.concat_param.HasField("concat_dim"):
            return canonical_axis(int(self.concat_dim or 0), rank, "concat_dim")
        return canonical_axis(self.axis, rank)

    def top_shape(self, *bottoms: Shape) -> Shape:
        first = bottoms[0]
        axis = self._axis(len(first))
        for other in bottoms[1:]:
            if (*other[:axis], *other[axis + 1 :]) != (*first[:axis], *first[axis + 1 :]):
                raise ShapeError(
                    f"bottoms have shapes {', '.join(map(str, bottoms))}, allowed: equal but for"
                    f" axis {axis}"
                )
        return (*first[:axis], sum(b[axis] for b in bottoms), *first[axis + 1 :])

    def forward(self, *xs: Tensor) -> Tensor:
        return torch.cat(xs, self._axis(xs[0].dim()))

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Concat", *names, axis=self._axis(len(g.shape(names[0]))))
        return y
