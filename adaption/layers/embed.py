"""Embed: a learned vector for each index, as InnerProduct of one-hot vectors. embed_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError
from adaption.later import F, Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer

_INT64 = 7  # onnx.TensorProto.INT64


@layer("Embed", param="embed_param", kind="other", drawn_as="inner product", no_gradient=(0,))
@dataclass(frozen=True)
class Embed(Layer):
    num_output: int
    input_dim: int
    bias_term: bool
    weight_filler: Any
    bias_filler: Any

    def check(self) -> None:
        for name in ("num_output", "input_dim"):
            if getattr(self, name) < 1:
                raise FieldError(f"embed_param.{name}", getattr(self, name), "1 or more")

    def top_shape(self, *bottoms: Shape) -> Shape:
        return (*bottoms[0], self.num_output)

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        weight = (self.input_dim, self.num_output)
        return [weight, (self.num_output,)] if self.bias_term else [weight]

    def blob_fillers(self) -> list[Any]:
        return [self.weight_filler, self.bias_filler]

    def forward(self, x: Tensor, w: Tensor, *b: Tensor) -> Tensor:
        index = x.detach().long()
        bad = (index < 0) | (index >= self.input_dim)
        if bool(bad.any()):
            raise FieldError("index", int(index[bad][0]), f"0..{self.input_dim - 1}")
        y = F.embedding(index, w)
        return y + b[0] if b else y

    def lower(self, g: Lowering, *names: str) -> str:
        x, w, *b = names
        y: str = g.op("Gather", w, g.op("Cast", x, to=_INT64), axis=0)
        return g.op("Add", y, b[0]) if b else y
