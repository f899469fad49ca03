"""Squeeze: drops axes of size 1, all of them when none is named. synopsys-caffe: squeeze_layer."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer(
    "Squeeze",
    param="squeeze_param",
    kind="arrangement",
    rearranges=True,
    works_on_codes=True,
)
@dataclass(frozen=True)
class Squeeze(Layer):
    axis: tuple[int, ...]

    def _dropped(self, x: Shape) -> list[int]:
        if not self.axis:
            return [a for a, size in enumerate(x) if size == 1]
        dropped = sorted({canonical_axis(a, len(x)) for a in self.axis})
        for a in dropped:
            if x[a] != 1:
                raise ShapeError(f"axis {a} of a bottom of shape {x} has size {x[a]}, allowed: 1")
        return dropped

    def top_shape(self, *bottoms: Shape) -> Shape:
        dropped = self._dropped(bottoms[0])
        return tuple(size for a, size in enumerate(bottoms[0]) if a not in dropped)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.top_shape(tuple(x.shape)))

    def lower(self, g: Lowering, *names: str) -> str:
        dropped = self._dropped(g.shape(names[0]))
        y: str = g.op("Squeeze", names[0], g.constant(dropped)) if dropped else names[0]
        return y
