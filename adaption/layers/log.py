"""Log: log to `base` of (shift + scale x); base -1 stands for e. Caffe: log_layer.cpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Lowering, Runtime, layer
from adaption.layers.gradient import own_gradient


@layer("Log", param="log_param", kind="function", is_pointwise=True)
@dataclass(frozen=True)
class Log(Layer):
    base: float
    scale: float
    shift: float

    def check(self) -> None:
        if self.base != -1 and (self.base <= 0 or self.base == 1):
            raise FieldError("log_param.base", self.base, "above 0 but not 1, or -1 for e")

    @property
    def _outer(self) -> float:
        return 1.0 if self.base == -1 else 1.0 / math.log(self.base)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.log(x * self.scale + self.shift)
        return y if self.base == -1 else y * self._outer

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x = tensors[0]
        if not (runtime.original_semantics and self.spec.is_in_place):
            return self.forward(x)
        y = self.forward(x.detach())

        def backward(grad: Tensor) -> Sequence[Tensor]:
            # In place, Backward_cpu builds the derivative in the memory of the top diff, from the
            # top that has overwritten the bottom, and then multiplies it by "the top diff": itself.
            derivative = self._outer * self.scale / (y * self.scale + self.shift)
            return (derivative.square(),)

        return own_gradient(y, backward, x)

    def lower(self, g: Lowering, *names: str) -> str:
        x = g.op("Mul", names[0], g.constant(float(self.scale)))
        y: str = g.op("Log", g.op("Add", x, g.constant(float(self.shift))))
        return y if self.base == -1 else g.op("Mul", y, g.constant(self._outer))
