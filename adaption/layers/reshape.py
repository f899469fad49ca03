"""Reshape: the same values under another shape. Caffe: reshape_layer.cpp.

In `shape`, 0 copies the bottom's axis and -1 takes what is left. A fork's `pixelshuffler: r` makes
blocks of r x r pixels of r^2 channels instead: (N, r^2 C, H, W) becomes (N, C, r H, r W), channel
c r^2 + i r + j pixel (i, j) of channel c's blocks (Shi et al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer(
    "Reshape",
    param="reshape_param",
    kind="arrangement",
    rearranges=True,
    works_on_codes=True,
)
@dataclass(frozen=True)
class Reshape(Layer):
    shape: Any
    axis: int
    num_axes: int
    pixelshuffler: int

    def check(self) -> None:
        if self.pixelshuffler < 1:
            raise FieldError("reshape_param.pixelshuffler", self.pixelshuffler, "1 or more")
        dims = list(self.shape.dim)
        if dims.count(-1) > 1 or any(d < -1 for d in dims):
            raise FieldError("reshape_param.shape", dims, "sizes, 0 to copy, -1 once at most")

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if self.pixelshuffler > 1:
            r = self.pixelshuffler
            if len(x) != 4 or x[1] % r**2:
                raise ShapeError(f"bottom has shape {x}, allowed: (N, {r**2} C, H, W)")
            return x[0], x[1] // r**2, x[2] * r, x[3] * r
        first = self.axis if self.axis >= 0 else len(x) + self.axis + 1
        if not 0 <= first <= len(x):
            raise FieldError("reshape_param.axis", self.axis, f"{-len(x) - 1}..{len(x)}")
        last = len(x) if self.num_axes == -1 else first + self.num_axes
        if self.num_axes < -1 or last > len(x):
            raise FieldError("reshape_param.num_axes", self.num_axes, f"-1..{len(x) - first}")
        dims = [int(d) for d in self.shape.dim]
        for i, d in enumerate(dims):
            if d == 0:
                if first + i >= len(x):
                    raise ShapeError(f"dim {i} copies axis {first + i}, the bottom has {len(x)}")
                dims[i] = x[first + i]
        top = [*x[:first], *dims, *x[last:]]
        if -1 in top:
            known = prod(d for d in top if d != -1)
            if known == 0 or prod(x) % known:
                raise ShapeError(f"{x} does not divide into shape {top}")
            top[top.index(-1)] = prod(x) // known
        if prod(top) != prod(x):
            raise ShapeError(f"{x} holds {prod(x)} values, shape {tuple(top)} holds {prod(top)}")
        return tuple(top)

    def forward(self, x: Tensor) -> Tensor:
        if self.pixelshuffler > 1:
            return F.pixel_shuffle(x, self.pixelshuffler)
        return x.reshape(self.top_shape(tuple(x.shape)))

    def lower(self, g: Lowering, *names: str) -> str:
        if self.pixelshuffler > 1:
            return str(g.op("DepthToSpace", names[0], blocksize=self.pixelshuffler, mode="CRD"))
        x = g.shape(names[0])
        first = self.axis if self.axis >= 0 else len(x) + self.axis + 1
        last = len(x) if self.num_axes == -1 else first + self.num_axes
        # 0 and -1 mean the same in ONNX, counted over all axes; here `shape` starts at `first`.
        dims = [*[0] * first, *(int(d) for d in self.shape.dim), *x[last:]]
        if last == 0 and x and -1 not in dims:
            dims[-len(x)] = -1  # axes were put before the batch axis
        y: str = g.op("Reshape", names[0], g.constant(dims))
        return y
