"""Swish: x sigmoid(beta x). BVLC Caffe: swish_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Lowering, layer


@layer("Swish", param="swish_param", kind="activation", is_pointwise=True)
@dataclass(frozen=True)
class Swish(Layer):
    beta: float

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * self.beta)

    def error_scale(self, *bottoms: Tensor) -> float:
        return float(bottoms[0].abs().max()) if bottoms[0].numel() else 0.0

    def lower(self, g: Lowering, *names: str) -> str:
        x = names[0]
        y: str = g.op("Mul", x, g.op("Sigmoid", g.op("Mul", x, g.constant(float(self.beta)))))
        return y
