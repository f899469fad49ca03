"""BatchNorm: (x - mean) / sqrt(variance + eps) per channel, no scale. Caffe: batch_norm_layer.cpp.

Blobs: accumulated mean, accumulated variance, and the factor that both are to be divided by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adaption.errors import FieldError, WeightsError
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, Shape, layer
from adaption.layers.traits import Array, ScaleChange


@layer(
    "BatchNorm",
    param="batch_norm_param",
    kind="channel affine",
    is_foldable=True,
    writes_blobs=True,
    takes_channels_last=True,
    top_is_free=True,
)
@dataclass(frozen=True)
class BatchNorm(Layer):
    use_global_stats: bool | None
    moving_average_fraction: float
    eps: float

    def rescaled(self, scale: float) -> ScaleChange:
        if scale == 1:
            return ScaleChange(False)
        text = f"mean x {scale:.6g}, variance and eps x {scale**2:.6g}"
        blobs = {0: scale, 1: scale**2}
        return ScaleChange(False, blobs, text, "batch_norm_param", "eps", scale**2, 1e-5)

    def why_not_folded(self, phase: str) -> str:
        computes = phase == "TEST" and self.use_global_stats is False
        return "computes its statistics from each batch" if computes else ""

    def slope_and_shift(self, blobs: Sequence[Array], outputs: int) -> tuple[Array, Array]:
        if len(blobs) != 3:
            raise WeightsError(f'"{self.spec.name}" has {len(blobs)} blobs, allowed: 3')
        mean, variance, accumulated = blobs
        total = float(accumulated.ravel()[0])
        scale = 0.0 if total == 0 else 1.0 / total  # batch_norm_layer.cpp
        slope = 1.0 / np.sqrt(variance.ravel() * scale + self.eps)
        return slope, -mean.ravel() * scale * slope

    def check(self) -> None:
        if not self.eps >= 0 or math.isinf(self.eps):
            raise FieldError("batch_norm_param.eps", self.eps, "0 or more")
        if not 0 <= self.moving_average_fraction <= 1:
            raise FieldError(
                "batch_norm_param.moving_average_fraction", self.moving_average_fraction, "0..1"
            )

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
        return [(channels,), (channels,), (1,)]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x, mean, variance, factor = tensors
        columns = x if x.dim() > 1 else x.unsqueeze(1)
        fixed = not runtime.training if self.use_global_stats is None else self.use_global_stats
        if fixed:
            scale = 0.0 if float(factor) == 0 else 1.0 / float(factor)
            y = F.batch_norm(columns, mean * scale, variance * scale, eps=self.eps)
            return y.view_as(x)
        return self._train(columns, mean, variance, factor).view_as(x)

    def _train(self, x: Tensor, mean: Tensor, variance: Tensor, factor: Tensor) -> Tensor:
        axes = [0, *range(2, x.dim())]
        batch_mean = x.mean(axes, keepdim=True)
        centred = x - batch_mean
        batch_variance = centred.square().mean(axes, keepdim=True)
        count = x.numel() // x.shape[1]
        with torch.no_grad():
            keep = self.moving_average_fraction
            factor.mul_(keep).add_(1)
            mean.mul_(keep).add_(batch_mean.flatten())
            correction = count / (count - 1) if count > 1 else 1.0
            variance.mul_(keep).add_(batch_variance.flatten(), alpha=correction)
        return centred / (batch_variance + self.eps).sqrt()

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        x, mean, variance, factor = names
        if self.use_global_stats is False:
            return str(super().lower_integer(g, *names))
        accumulated = float(g.value(factor)[0])
        scale = 0.0 if accumulated == 0 else 1.0 / accumulated
        wide = [-1, *[1] * (max(len(g.shape(x)), 2) - 2)]
        spread = [g.value(b).astype(np.float64).reshape(wide) * scale for b in (mean, variance)]
        inverse = 1.0 / np.sqrt(spread[1] + self.eps)
        return g.affine(x, inverse, -spread[0] * inverse)

    def lower(self, g: Lowering, *names: str) -> str:
        x, mean, variance, factor = names
        if self.use_global_stats is False:
            return self._lower_batch_statistics(g, x)
        accumulated = float(g.value(factor)[0])
        scale = np.float32(0.0 if accumulated == 0 else 1.0 / accumulated)
        channels, rank = g.shape(mean)[0], len(g.shape(x))
        y: str = g.op(
            "BatchNormalization",
            x if rank > 1 else g.op("Reshape", x, g.constant([-1, 1])),
            g.constant(np.ones(channels, np.float32)),
            g.constant(np.zeros(channels, np.float32)),
            g.constant(g.value(mean) * scale),
            g.constant(g.value(variance) * scale),
            epsilon=self.eps,
        )
        return y if rank > 1 else str(g.op("Reshape", y, g.constant([-1])))

    def _lower_batch_statistics(self, g: Lowering, x: str) -> str:
        axes = g.constant([0, *range(2, len(g.shape(x)))])
        centred = g.op("Sub", x, g.op("ReduceMean", x, axes))
        variance = g.op("ReduceMean", g.op("Mul", centred, centred), axes)
        deviation = g.op("Sqrt", g.op("Add", variance, g.constant(float(self.eps))))
        y: str = g.op("Div", centred, deviation)
        return y
