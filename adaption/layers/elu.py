"""ELU: x above 0, alpha (exp(x) - 1) below. Caffe: elu_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import F, Tensor
from adaption.layers.base import Layer, Lowering, layer


@layer("ELU", param="elu_param", kind="activation", is_pointwise=True)
@dataclass(frozen=True)
class ELU(Layer):
    alpha: float

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x, self.alpha)

    def error_scale(self, *bottoms: Tensor) -> float:
        return abs(self.alpha)

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Elu", names[0], alpha=self.alpha)
        return y
