"""Reverse: flips one axis. CTPN: reverse_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer

_BEFORE_ALL = -(2**31)  # a Slice end that no axis reaches


@layer("Reverse", param="reverse_param", kind="arrangement", works_on_codes=True)
@dataclass(frozen=True)
class Reverse(Layer):
    axis: int

    def top_shape(self, *bottoms: Shape) -> Shape:
        canonical_axis(self.axis, len(bottoms[0]))
        return bottoms[0]

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(canonical_axis(self.axis, x.dim()))

    def lower(self, g: Lowering, *names: str) -> str:
        axis = canonical_axis(self.axis, len(g.shape(names[0])))
        bounds = [g.constant([v]) for v in (-1, _BEFORE_ALL, axis, -1)]
        y: str = g.op("Slice", names[0], *bounds)
        return y
