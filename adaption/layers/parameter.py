"""Parameter: a learned blob as a top. Caffe: parameter_layer.hpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer("Parameter", param="parameter_param", kind="data", bottoms=0)
@dataclass(frozen=True)
class Parameter(Layer):
    shape: Any

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [tuple(int(d) for d in self.shape.dim)]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        return self.top_shapes()

    def forward(self, blob: Tensor) -> Tensor:
        return blob.view_as(blob)

    def lower(self, g: Lowering, *names: str) -> str:
        return names[0]
