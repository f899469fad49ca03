"""Transpose: top axis i is bottom axis dim[i], all axes named. CTPN: transpose_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer(
    "Transpose",
    param="transpose_param",
    kind="arrangement",
    rearranges=True,
    works_on_codes=True,
)
@dataclass(frozen=True)
class Transpose(Layer):
    dim: tuple[int, ...]

    def top_shape(self, *bottoms: Shape) -> Shape:
        rank = len(bottoms[0])
        if sorted(self.dim) != list(range(rank)):
            raise FieldError("transpose_param.dim", list(self.dim), f"each of 0..{rank - 1} once")
        return tuple(bottoms[0][a] for a in self.dim)

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dim).contiguous()

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Transpose", names[0], perm=list(self.dim))
        return y
