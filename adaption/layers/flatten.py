"""Flatten: axes axis..end_axis become one. Caffe: flatten_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer(
    "Flatten",
    param="flatten_param",
    kind="arrangement",
    rearranges=True,
    works_on_codes=True,
)
@dataclass(frozen=True)
class Flatten(Layer):
    axis: int
    end_axis: int

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        first = canonical_axis(self.axis, len(x))
        last = canonical_axis(self.end_axis, len(x), "end_axis")
        return (*x[:first], prod(x[first : last + 1]), *x[last + 1 :])

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(self.top_shape(tuple(x.shape)))

    def lower(self, g: Lowering, *names: str) -> str:
        x = g.shape(names[0])
        first = canonical_axis(self.axis, len(x))
        last = canonical_axis(self.end_axis, len(x), "end_axis")
        # ONNX: 0 keeps an axis as it is, -1 takes what is left.
        y: str = g.op("Reshape", names[0], g.constant([*[0] * first, -1, *x[last + 1 :]]))
        return y
