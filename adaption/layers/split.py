"""Split: every top is the bottom; gradients add up. Caffe: split_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor
from adaption.layers.base import IntegerLowering, Layer, Lowering, Shape, layer


@layer(
    "Split",
    kind="arrangement",
    places="kept",
    rearranges=True,
    tops=(1, None),
    takes_channels_last=True,
)
@dataclass(frozen=True)
class Split(Layer):
    def hands_on(self) -> bool:
        return True

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [bottoms[0]] * len(self.spec.tops)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.view_as(x) for _ in self.spec.tops)

    def lower_integer(self, g: IntegerLowering, *names: str) -> tuple[str, ...]:
        return names * len(self.spec.tops)

    def lower(self, g: Lowering, *names: str) -> tuple[str, ...]:
        return names * len(self.spec.tops)
