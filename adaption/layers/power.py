"""Power: (shift + scale x) ^ power. Caffe: power_layer.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.later import Tensor, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, layer
from adaption.layers.gradient import own_gradient


@layer("Power", param="power_param", kind="function", takes_channels_last=True, is_pointwise=True)
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

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x = tensors[0]
        if not (runtime.original_semantics and self.spec.is_in_place):
            return self.forward(x)
        y = self.forward(x.detach())

        def backward(grad: Tensor) -> Sequence[Tensor]:
            # In place, Backward_cpu builds the derivative in the memory of the top diff, from the
            # top that has overwritten the bottom, and then multiplies it by "the top diff": itself.
            return (self._derivative(y, y).square(),)

        return own_gradient(y, backward, x)

    def _derivative(self, x: Tensor, y: Tensor) -> Tensor:
        """dy/dx from bottom and top data, by the cases of Backward_cpu."""
        slope = self.power * self.scale
        if slope == 0 or self.power == 1:
            return torch.full_like(x, slope)
        if self.power == 2:
            return slope * (self.scale * x + self.shift)
        return slope * y / (self.scale * x + self.shift)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        if self.power != 1:
            return str(super().lower_integer(g, *names))
        return g.affine(names[0], self.scale, self.shift)

    def lower(self, g: Lowering, *names: str) -> str:
        x = names[0]
        y: str = g.op("Mul", x, g.constant(float(self.scale)))
        y = g.op("Add", y, g.constant(float(self.shift)))
        return y if self.power == 1 else g.op("Pow", y, g.constant(float(self.power)))
