"""Filter: of each data bottom, the samples that the last bottom selects. Caffe: filter_layer.cpp.

The tops have as many samples as the selector has values other than 0; before the first forward
pass they have the shape of the bottoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import LayerError, ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer

_BOOL = 9  # onnx.TensorProto.BOOL


@layer("Filter", kind="arrangement", is_homogeneous=True, bottoms=(2, None), tops=(1, None))
@dataclass(frozen=True)
class Filter(Layer):
    def check(self) -> None:
        data = len(self.spec.bottoms) - 1
        if len(self.spec.tops) != data:
            raise LayerError(
                f"has {len(self.spec.tops)} tops, allowed: {data}, one per bottom but the last"
                " (the selector)"
            )

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        *data, selector = bottoms
        if not selector or set(selector[1:]) - {1}:
            raise ShapeError(f"the selector has shape {selector}, allowed: (N,) or (N, 1, ...)")
        for shape in data:
            if shape[:1] != selector[:1]:
                raise ShapeError(
                    f"a bottom has shape {shape}, allowed: {selector[0]} samples as the selector"
                )
        return data

    def forward(self, *xs: Tensor) -> tuple[Tensor, ...]:
        *data, selector = xs
        kept = selector.detach().flatten().nonzero().squeeze(1)
        return tuple(x.index_select(0, kept) for x in data)

    def lower(self, g: Lowering, *names: str) -> Any:
        *data, selector = names
        kept = g.op("Cast", g.op("Reshape", selector, g.constant([-1])), to=_BOOL)
        return tuple(g.op("Compress", x, kept, axis=0) for x in data)
