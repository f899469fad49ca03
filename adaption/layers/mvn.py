"""MVN: each channel, or each sample, to mean 0 and variance 1. Caffe: mvn_layer.cpp.

y = (x - mean) / (sqrt(variance) + eps). The top always has four axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.errors import ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer
from adaption.layers.gradient import own_gradient


@layer("MVN", param="mvn_param", kind="normalization")
@dataclass(frozen=True)
class MVN(Layer):
    normalize_variance: bool
    across_channels: bool
    eps: float

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if len(x) > 4:
            raise ShapeError(f"bottom has shape {x}, allowed: at most 4 axes")
        return (*x, *[1] * (4 - len(x)))

    @property
    def _axes(self) -> list[int]:
        return [1, 2, 3] if self.across_channels else [2, 3]

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(self.top_shape(tuple(x.shape)))
        centred = x - x.mean(self._axes, keepdim=True)
        if not self.normalize_variance:
            return centred
        y = centred.detach()
        scale = y.square().mean(self._axes, keepdim=True).sqrt() + self.eps
        y = y / scale

        def backward(grad: Tensor) -> Sequence[Tensor]:
            # The original's: finite, where autograd divides by a deviation of 0.
            mean = grad.mean(self._axes, keepdim=True)
            along = (grad * y).mean(self._axes, keepdim=True)
            return ((grad - mean - y * along) / scale,)

        return own_gradient(y, backward, x)

    def lower(self, g: Lowering, *names: str) -> str:
        shape = g.shape(names[0])
        x = names[0]
        if len(shape) < 4:
            top = self.top_shape(shape)
            x = g.op("Reshape", x, g.constant([0, *top[1:]] if shape else list(top)))
        axes = g.constant(self._axes)
        centred: str = g.op("Sub", x, g.op("ReduceMean", x, axes, keepdims=1))
        if not self.normalize_variance:
            return centred
        variance = g.op("ReduceMean", g.op("Mul", centred, centred), axes, keepdims=1)
        deviation = g.op("Add", g.op("Sqrt", variance), g.constant(float(self.eps)))
        y: str = g.op("Div", centred, deviation)
        return y
