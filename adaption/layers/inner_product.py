"""InnerProduct: y = x Wᵀ + b over all axes from `axis` on. Caffe: inner_product_layer.cpp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.errors import FieldError
from adaption.later import F, Tensor
from adaption.layers.base import IntegerLowering, Layer, Lowering, Shape, canonical_axis, layer
from adaption.layers.traits import Array, ScaleChange, scaled_bias


@layer(
    "InnerProduct",
    "LPInnerProduct",
    param="inner_product_param",
    kind="inner product",
    top_is_free=True,
)
@dataclass(frozen=True)
class InnerProduct(Layer):
    num_output: int
    bias_term: bool
    axis: int
    transpose: bool
    weight_filler: Any
    bias_filler: Any

    def check(self) -> None:
        if self.num_output < 1:
            raise FieldError("inner_product_param.num_output", self.num_output, "1 or more")

    def settings(self) -> str:
        return f"{self.num_output} outputs" if self.num_output else ""

    def rescaled(self, scale: float) -> ScaleChange:
        return scaled_bias(scale, self.bias_term)

    def sums_to_channels(self) -> bool:
        return self.axis == 1

    def shifted(self, blobs: Sequence[Array], shift: Array) -> Mapping[int, Array] | None:
        return {1: blobs[1] + shift} if self.bias_term else None

    def by_output(self, weight: Array) -> Array:
        rows = weight.reshape(weight.shape[-2], weight.shape[-1])
        return rows.T if self.transpose else rows

    def from_output(self, rows: Array, shape: Shape) -> Array:
        return (rows.T if self.transpose else rows).reshape(shape)

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        return (*x[: canonical_axis(self.axis, len(x))], self.num_output)

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        x = bottoms[0]
        n, k = self.num_output, prod(x[canonical_axis(self.axis, len(x)) :])
        return [(k, n) if self.transpose else (n, k), *([(n,)] if self.bias_term else [])]

    def blob_fillers(self) -> list[Any]:
        return [self.weight_filler, self.bias_filler]

    @property
    def filters_come_first(self) -> bool:
        return not self.transpose

    def forward(self, x: Tensor, w: Tensor, *b: Tensor) -> Tensor:
        axis = canonical_axis(self.axis, x.dim())
        rows = x.reshape(-1, prod(x.shape[axis:]))
        y = F.linear(rows, w.t() if self.transpose else w, *b)
        return y.view(*x.shape[:axis], self.num_output)

    def sums(self, bottom: Shape) -> int:
        return prod(bottom[: canonical_axis(self.axis, len(bottom))])

    def columns(self, x: Tensor, picks: Tensor) -> Tensor:
        rows = x.reshape(self.sums(tuple(x.shape)), -1)
        return rows[picks].unsqueeze(0)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        return g.product(*names)

    def lower(self, g: Lowering, *names: str) -> str:
        x, w, *b = names
        shape = g.shape(x)
        axis = canonical_axis(self.axis, len(shape))
        k = prod(shape[axis:])
        rows = g.op("Reshape", x, g.constant([-1, k]))
        y: str = g.op("Gemm", rows, w, *b, transB=0 if self.transpose else 1)
        if axis != 1:
            outer = (-1, *shape[1:axis]) if axis else ()
            y = g.op("Reshape", y, g.constant([*outer, self.num_output]))
        return y

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return prod(bottoms[0]) * self.num_output
