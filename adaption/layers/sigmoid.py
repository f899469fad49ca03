"""Sigmoid: 1 / (1 + exp(-x)). Caffe: sigmoid_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Lowering, layer


@layer("Sigmoid", kind="activation", takes_channels_last=True, is_pointwise=True)
@dataclass(frozen=True)
class Sigmoid(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def error_scale(self, *bottoms: Tensor) -> float:
        return 1.0

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Sigmoid", names[0])
        return y
