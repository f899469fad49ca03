"""LRN: local response normalization, across channels or within one. Caffe: lrn_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, np, npt
from adaption.layers.base import IntegerLowering, Layer, Lowering, Shape, layer


@layer("LRN", param="lrn_param", kind="normalization")
@dataclass(frozen=True)
class LRN(Layer):
    local_size: int
    alpha: float
    beta: float
    norm_region: str
    k: float

    def check(self) -> None:
        if self.local_size % 2 == 0:
            raise FieldError("lrn_param.local_size", self.local_size, "an odd number")

    def top_shape(self, *bottoms: Shape) -> Shape:
        if len(bottoms[0]) != 4:
            raise ShapeError(f"bottom has shape {bottoms[0]}, allowed: 4 axes (N, C, H, W)")
        return bottoms[0]

    def forward(self, x: Tensor) -> Tensor:
        n, half = self.local_size, self.local_size // 2
        if self.norm_region == "ACROSS_CHANNELS":
            squares = x.square().unsqueeze(1)
            mean = F.avg_pool3d(
                F.pad(squares, (0, 0, 0, 0, half, half)), (n, 1, 1), stride=1
            ).squeeze(1)
            return x * (self.k + self.alpha * mean).pow(-self.beta)
        # Within a channel the original leaves k out: it builds 1 + alpha * mean.
        mean = F.avg_pool2d(x.square(), n, stride=1, padding=half)
        return x * (1 + self.alpha * mean).pow(-self.beta)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        n = self.local_size
        across = self.norm_region == "ACROSS_CHANNELS"
        k, count = (self.k, n) if across else (1.0, n * n)

        def factor(squares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.asarray((k + self.alpha / count * squares) ** -self.beta, np.float64)

        return g.normalize(names[0], (n, 1, 1) if across else (1, n, n), factor)

    def lower(self, g: Lowering, *names: str) -> str:
        x = names[0]
        if self.norm_region == "ACROSS_CHANNELS":
            y: str = g.op(
                "LRN", x, size=self.local_size, alpha=self.alpha, beta=self.beta, bias=self.k
            )
            return y
        half = self.local_size // 2
        mean = g.op(
            "AveragePool",
            g.op("Mul", x, x),
            kernel_shape=[self.local_size] * 2,
            pads=[half] * 4,
            count_include_pad=1,
        )
        scale = g.op("Add", g.op("Mul", mean, g.constant(self.alpha)), g.constant(1.0))
        y = g.op("Mul", x, g.op("Pow", scale, g.constant(-self.beta)))
        return y
