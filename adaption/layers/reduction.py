"""Reduction of the axes from `axis` on: SUM, ASUM, SUMSQ or MEAN. Caffe: reduction_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer("Reduction", param="reduction_param", kind="arrangement")
@dataclass(frozen=True)
class Reduction(Layer):
    operation: str
    axis: int
    coeff: float

    def top_shape(self, *bottoms: Shape) -> Shape:
        return bottoms[0][: canonical_axis(self.axis, len(bottoms[0]))]

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(*x.shape[: canonical_axis(self.axis, x.dim())], -1)
        if self.operation == "ASUM":
            rows = rows.abs()
        elif self.operation == "SUMSQ":
            rows = rows.square()
        y = rows.mean(-1) if self.operation == "MEAN" else rows.sum(-1)
        return y * self.coeff

    def lower(self, g: Lowering, *names: str) -> str:
        rank = len(g.shape(names[0]))
        axes = g.constant(list(range(canonical_axis(self.axis, rank), rank)))
        op = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare"}.get(
            self.operation, "ReduceMean"
        )
        y: str = g.op(op, names[0], axes, keepdims=0)
        return y if self.coeff == 1 else g.op("Mul", y, g.constant(float(self.coeff)))
