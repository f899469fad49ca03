"""Axpy: a x + y with one factor per channel of each sample. SENet: axpy_layer.cpp.

Bottoms: a (N, C) or (N, C, 1, ...), x, y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from adaption.errors import ShapeError
from adaption.later import Tensor
from adaption.layers.base import IntegerLowering, Layer, Lowering, Shape, layer


@layer("Axpy", kind="arrangement", bottoms=3)
@dataclass(frozen=True)
class Axpy(Layer):
    def top_shape(self, *bottoms: Shape) -> Shape:
        a, x, y = bottoms
        if len(x) < 2 or y != x:
            raise ShapeError(f"x and y have shapes {x} and {y}, allowed: equal, (N, C, ...)")
        if a[:2] != x[:2] or prod(a) != prod(x[:2]):
            raise ShapeError(f"a has shape {a}, allowed: ({x[0]}, {x[1]}, 1, ...)")
        return x

    def forward(self, a: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return a.reshape(*x.shape[:2], *[1] * (x.dim() - 2)) * x + y

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        a, x, y = names
        return g.add(g.multiply(x, g.widen(a, len(g.shape(x)))), y)

    def lower(self, g: Lowering, *names: str) -> str:
        a, x, y = names
        rank = len(g.shape(x))
        if len(g.shape(a)) != rank:
            a = g.op("Reshape", a, g.constant([0, 0, *[1] * (rank - 2)]))
        top: str = g.op("Add", g.op("Mul", a, x), y)
        return top

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return prod(tops[0])
