"""ContinuationIndicator: (T, N), 0 at the first step and 1 behind it. CRNN's caffe."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Lowering, Runtime, Shape, layer


@layer(
    "ContinuationIndicator",
    param="continuation_indicator_param",
    kind="other",
    bottoms=0,
    is_differentiable=False,
)
@dataclass(frozen=True)
class ContinuationIndicator(Layer):
    time_step: int
    batch_size: int

    def check(self) -> None:
        for name in ("time_step", "batch_size"):
            if getattr(self, name) < 1:
                raise FieldError(
                    f"continuation_indicator_param.{name}", getattr(self, name), "1 or more"
                )

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [(self.time_step, self.batch_size)]

    def forward(self, *tensors: Tensor) -> Tensor:
        marks = torch.ones(self.time_step, self.batch_size)
        marks[0] = 0
        return marks

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        return self.forward().to(runtime.device)

    def lower(self, g: Lowering, *names: str) -> str:
        return g.constant(self.forward().numpy())
