"""Normalize: x / sqrt(sum x² + eps), scaled per channel or by one number. SSD: normalize_layer.cpp.

The sum runs over channels, and over positions too with across_spatial. A layer without norm_param
also reads as the parameterless Normalize of yjxiong's fork: the same numbers with a scale of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adaption.errors import ShapeError
from adaption.later import Tensor, np, npt
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, Shape, layer
from adaption.layers.gradient import own_gradient


@layer("Normalize", param="norm_param", kind="normalization")
@dataclass(frozen=True)
class Normalize(Layer):
    across_spatial: bool
    scale_filler: Any | None
    channel_shared: bool
    eps: float

    def top_shape(self, *bottoms: Shape) -> Shape:
        if len(bottoms[0]) < 2:
            raise ShapeError(f"bottom has shape {bottoms[0]}, allowed: 2 axes or more")
        return bottoms[0]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [() if self.channel_shared else (bottoms[0][1],)]

    def blob_fillers(self) -> list[Any]:
        if self.scale_filler is not None:
            return [self.scale_filler]
        one = type(self.spec.message.norm_param.scale_filler)()
        one.type, one.value = "constant", 1.0  # normalize_layer.cpp, LayerSetUp
        return [one]

    def _axes(self, rank: int) -> list[int]:
        return list(range(1, rank)) if self.across_spatial else [1]

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return x / self._norm(x) * self._spread(scale, x)

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x, scale = tensors
        if not runtime.original_semantics or self.channel_shared:
            return self.forward(x, scale)
        norm, spread = self._norm(x.detach()), self._spread(scale.detach(), x)
        y = x.detach() / norm

        def backward(grad: Tensor) -> Sequence[Tensor]:
            # Right only for a shared scale: the dot product should see the scaled gradient.
            weighted = y * grad
            along = weighted.sum(self._axes(x.dim()), keepdim=True)
            into_scale = weighted.sum([0, *range(2, x.dim())])
            return spread * (grad - y * along) / norm, into_scale

        return own_gradient(y * spread, backward, x, scale)

    def _norm(self, x: Tensor) -> Tensor:
        return (x.square().sum(self._axes(x.dim()), keepdim=True) + self.eps).sqrt()

    def _spread(self, scale: Tensor, x: Tensor) -> Tensor:
        return scale.view(-1, *[1] * (x.dim() - 2))

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        x, scale = names
        rank = len(g.shape(x))
        windows = [None if axis in self._axes(rank) else 1 for axis in range(1, rank)]

        def factor(squares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.asarray(1 / np.sqrt(squares + self.eps), np.float64)

        scales = g.value(scale).reshape(-1, *[1] * (rank - 2))
        return g.affine(g.normalize(x, windows, factor), scales)

    def lower(self, g: Lowering, *names: str) -> str:
        x, scale = names
        rank = len(g.shape(x))
        axes = g.constant(self._axes(rank))
        total = g.op("ReduceSum", g.op("Mul", x, x), axes, keepdims=1)
        norm = g.op("Sqrt", g.op("Add", total, g.constant(float(self.eps))))
        scales = g.op("Reshape", scale, g.constant(np.array([-1] + [1] * (rank - 2))))
        y: str = g.op("Mul", g.op("Div", x, norm), scales)
        return y
