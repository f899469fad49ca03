"""Softmax over one axis. Caffe: softmax_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer(
    "Softmax",
    param="softmax_param",
    kind="function",
    gives_scores=True,
    keeps_order=True,
    takes_channels_last=True,
)
@dataclass(frozen=True)
class Softmax(Layer):
    axis: int

    def top_shape(self, *bottoms: Shape) -> Shape:
        canonical_axis(self.axis, len(bottoms[0]))
        return bottoms[0]

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, self.axis)

    def error_scale(self, *bottoms: Tensor) -> float:
        return 1.0

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Softmax", names[0], axis=self.axis)
        return y
