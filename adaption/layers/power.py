"""Power: (shift + scale x) ^ power. Caffe: power_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from adaption.layers.base import Layer, Lowering, layer


@layer("Power", param="power_param")
@dataclass(frozen=True)
class Power(Layer):
    power: float
    scale: float
    shift: float

    def forward(self, x: Tensor) -> Tensor:
        if self.power * self.scale == 0:  # the gradient is zero, too: power_layer.cpp
            return torch.full_like(x, 1.0 if self.power == 0 else self.shift**self.power)
        y = x * self.scale if self.scale != 1 else x
        y = y + self.shift if self.shift else y
        return y if self.power == 1 else y.pow(self.power)

    def lower(self, g: Lowering, *names: str) -> str:
        x = names[0]
        y: str = g.op("Mul", x, g.constant(float(self.scale)))
        y = g.op("Add", y, g.constant(float(self.shift)))
        return y if self.power == 1 else g.op("Pow", y, g.constant(float(self.power)))
