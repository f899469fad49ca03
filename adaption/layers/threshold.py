"""Threshold: 1 where x is above the threshold, else 0. Caffe: threshold_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, layer

_FLOAT = 1  # onnx.TensorProto.FLOAT


@layer(
    "Threshold",
    param="threshold_param",
    kind="function",
    is_differentiable=False,
    no_gradient=(0,),
    is_pointwise=True,
)
@dataclass(frozen=True)
class Threshold(Layer):
    threshold: float

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.threshold).to(x.dtype)

    def lower(self, g: Lowering, *names: str) -> str:
        above = g.op("Greater", names[0], g.constant(float(self.threshold)))
        y: str = g.op("Cast", above, to=_FLOAT)
        return y
