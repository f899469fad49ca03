"""Clip: x within [min, max]; both bounds still hand the gradient on. BVLC Caffe: clip_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, layer
from adaption.layers.gradient import gradient_at_top


@layer("Clip", param="clip_param", kind="activation", is_pointwise=True)
@dataclass(frozen=True)
class Clip(Layer):
    min: float | None
    max: float | None

    def check(self) -> None:
        if self.min is None or self.max is None:
            missing = "min" if self.min is None else "max"
            raise FieldError(f"clip_param.{missing}", "missing", "a number")

    def greatest_of_rectified(self) -> float | None:
        return self.max if self.min == 0 else None

    def forward(self, x: Tensor) -> Tensor:
        assert self.min is not None and self.max is not None
        # As std::max(min, std::min(x, max)): with min above max everything becomes min.
        y = torch.where(x > self.max, self.max, x)
        return torch.where(y < self.min, self.min, y)

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        if runtime.original_semantics and self.spec.is_in_place:
            return gradient_at_top(self.forward, *tensors)
        return self.forward(*tensors)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        return g.clip(names[0], self.min, self.max)

    def lower(self, g: Lowering, *names: str) -> str:
        assert self.min is not None and self.max is not None
        y: str = g.op("Clip", names[0], g.constant(float(self.min)), g.constant(float(self.max)))
        return y
