"""Flatten: axes axis..end_axis become one. Caffe: flatten_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor

from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer("Flatten", param="flatten_param")
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
        top = list(self.top_shape(g.shape(names[0])))
        if canonical_axis(self.axis, len(g.shape(names[0]))) > 0:
            top[0] = 0  # ONNX: keep the batch axis as it is
        y: str = g.op("Reshape", names[0], g.constant(top))
        return y
