"""ReLU6: ReLU that stops at 6; no gradient from 6 on. MobileNet-YOLO: relu6_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import F, Tensor, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, layer


@layer("ReLU6", param="relu6_param", kind="activation", is_pointwise=True)
@dataclass(frozen=True)
class ReLU6(Layer):
    negative_slope: float

    def greatest_of_rectified(self) -> float | None:
        return None if self.negative_slope else 6.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x < 6, F.leaky_relu(x, self.negative_slope), 6.0)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        if not self.negative_slope:
            return g.clip(names[0], 0.0, 6.0)
        return g.clip(g.slope(names[0], self.negative_slope), None, 6.0)

    def lower(self, g: Lowering, *names: str) -> str:
        x = names[0]
        if not self.negative_slope:
            y: str = g.op("Clip", x, g.constant(0.0), g.constant(6.0))
        else:
            y = g.op("Min", g.op("LeakyRelu", x, alpha=self.negative_slope), g.constant(6.0))
        return y
