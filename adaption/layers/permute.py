"""Permute: top axis i is bottom axis order[i]; other axes follow. SSD: permute_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer(
    "Permute",
    param="permute_param",
    kind="arrangement",
    rearranges=True,
    works_on_codes=True,
)
@dataclass(frozen=True)
class Permute(Layer):
    order: tuple[int, ...]

    def _order(self, rank: int) -> list[int]:
        if len(set(self.order)) != len(self.order) or any(a >= rank for a in self.order):
            raise FieldError("permute_param.order", list(self.order), f"each of 0..{rank - 1} once")
        return [*self.order, *(a for a in range(rank) if a not in self.order)]

    def top_shape(self, *bottoms: Shape) -> Shape:
        return tuple(bottoms[0][a] for a in self._order(len(bottoms[0])))

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self._order(x.dim())).contiguous()

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Transpose", names[0], perm=self._order(len(g.shape(names[0]))))
        return y
