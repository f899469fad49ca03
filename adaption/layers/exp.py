"""Exp: base ^ (shift + scale x); base -1 stands for e. Caffe: exp_layer.cpp."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Lowering, layer


@layer("Exp", param="exp_param", kind="function", is_pointwise=True)
@dataclass(frozen=True)
class Exp(Layer):
    base: float
    scale: float
    shift: float

    def check(self) -> None:
        if self.base != -1 and self.base <= 0:
            raise FieldError("exp_param.base", self.base, "above 0, or -1 for e")
        for name in ("base", "scale", "shift"):
            if not math.isfinite(getattr(self, name)):
                raise FieldError(f"exp_param.{name}", getattr(self, name), "a finite number")
        try:
            self._scales  # noqa: B018 - whether base ^ shift is a number
        except OverflowError:
            raise FieldError("exp_param.shift", self.shift, "base ^ shift within float64") from None

    @property
    def _scales(self) -> tuple[float, float]:
        """(inner, outer): the top is outer * exp(inner * x)."""
        log_base = 1.0 if self.base == -1 else math.log(self.base)
        return log_base * self.scale, math.exp(log_base * self.shift)

    def forward(self, x: Tensor) -> Tensor:
        inner, outer = self._scales
        return torch.exp(x * inner) * outer

    def lower(self, g: Lowering, *names: str) -> str:
        inner, outer = self._scales
        y: str = g.op("Exp", g.op("Mul", names[0], g.constant(inner)))
        return g.op("Mul", y, g.constant(outer)) if outer != 1 else y
