"""PReLU: y = max(x, 0) + a min(x, 0), one learned slope per channel. Caffe: prelu_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import ShapeError
from adaption.later import Tensor, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Shape, layer


@layer(
    "PReLU", param="prelu_param", kind="activation", is_homogeneous=True, takes_channels_last=True
)
@dataclass(frozen=True)
class PReLU(Layer):
    filler: Any | None
    channel_shared: bool

    def top_shape(self, *bottoms: Shape) -> Shape:
        if len(bottoms[0]) < 2:
            raise ShapeError(f"bottom has shape {bottoms[0]}, allowed: 2 axes or more")
        return bottoms[0]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [() if self.channel_shared else (bottoms[0][1],)]

    def blob_fillers(self) -> list[Any]:
        if self.filler is not None:
            return [self.filler]
        default = type(self.spec.message.prelu_param.filler)()
        default.type, default.value = "constant", 0.25  # prelu_layer.cpp, LayerSetUp
        return [default]

    def forward(self, x: Tensor, slope: Tensor) -> Tensor:
        slopes = slope.view(-1, *[1] * (x.dim() - 2))
        return torch.where(x > 0, x, slopes * x)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        x, slope = names
        return g.slope(x, g.value(slope).reshape(-1, *[1] * (len(g.shape(x)) - 2)))

    def lower(self, g: Lowering, *names: str) -> str:
        x, slope = names
        rank = len(g.shape(x))
        slopes = g.value(slope).reshape(-1, *[1] * (rank - 2))
        y: str = g.op("PRelu", x, g.constant(slopes))
        return y
