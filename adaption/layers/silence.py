"""Silence: reads its bottoms and gives nothing, so that they are no outputs. silence_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer(
    "Silence",
    kind="arrangement",
    discards=True,
    ignores_scale=True,
    bottoms=(1, None),
    tops=0,
    is_differentiable=False,
)
@dataclass(frozen=True)
class Silence(Layer):
    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return []

    def forward(self, *xs: Tensor) -> tuple[()]:
        return ()

    def lower(self, g: Lowering, *names: str) -> Any:
        return ()
