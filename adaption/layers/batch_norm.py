"""BatchNorm: (x - mean) / sqrt(variance + eps) per channel. Caffe: batch_norm_layer.cpp.

Blobs: accumulated mean, accumulated variance, and the factor that both are to be divided by.

NVCaffe's `scale_bias`, which either of its fillers stands for, adds blobs 3 and 4, a scale and a
bias per channel. Mean and variance are then moving averages that begin with those of the first
pass; the factor is 1 and not read; eps is 1e-5 or more. Sources: NVCaffe, batch_norm_layer.cpp, and
for training cudnn_batch_norm_layer.cu: cudnnBatchNormalizationForwardTraining (unbiased variance).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adaption.errors import FieldError, WeightsError
from adaption.io.upgrade import has_scale_bias
from adaption.io.weights import WeightBlob
from adaption.later import F, Tensor, np, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, Shape, layer
from adaption.layers.traits import Array, ScaleChange

LEAST_EPS = 1e-5  # NVCaffe: batch_norm_layer.cpp, LayerSetUp


def in_order(blobs: Sequence[WeightBlob]) -> list[WeightBlob]:
    """Five blobs of a file as NVCaffe holds them today, whatever axes of 1 they have there; DIGITS'
    older files have scale, bias, mean, variance and one value more.

    NVCaffe: Net::CopyTrainedLayersFrom.
    """
    if len(blobs) != 5:
        return list(blobs)
    flat = [replace(blob, shape=(blob.count,), legacy=False) for blob in blobs]
    if flat[4].count == 1 and flat[0].count != 1:
        scale, bias, mean, variance, factor = flat
        return [mean, variance, factor, scale, bias]
    return flat


def statistics(blobs: Sequence[Any], eps: float) -> tuple[Any, Any, float]:
    """Mean, variance and eps that TEST normalizes by, of a layer's blobs as arrays or tensors."""
    mean, variance, factor, *affine = blobs
    if affine:
        return mean, variance, max(eps, LEAST_EPS)
    total = float(factor.reshape(-1)[0])
    scale = 0.0 if total == 0 else 1.0 / total
    return mean * scale, variance * scale, eps


@layer(
    "BatchNorm",
    param="batch_norm_param",
    kind="channel affine",
    is_foldable=True,
    channel_factors="ended",
    reads=("scale_bias",),
    writes_blobs=True,
    takes_channels_last=True,
    top_is_free=True,
)
@dataclass(frozen=True)
class BatchNorm(Layer):
    use_global_stats: bool | None
    moving_average_fraction: float
    eps: float
    scale_filler: Any | None
    bias_filler: Any | None

    @property
    def has_scale_bias(self) -> bool:
        """Whether the layer has a scale and a bias of its own, as NVCaffe's may."""
        return has_scale_bias(self.spec.message)

    def rescaled(self, scale: float) -> ScaleChange | None:
        if scale == 1:
            return ScaleChange(False)
        if self.has_scale_bias and max(self.eps, LEAST_EPS) * scale**2 < LEAST_EPS:
            return None  # NVCaffe's layer would take a greater eps than the scaled one
        text = f"mean x {scale:.6g}, variance and eps x {scale**2:.6g}"
        blobs = {0: scale, 1: scale**2}
        return ScaleChange(False, blobs, text, "batch_norm_param", "eps", scale**2, 1e-5)

    def why_not_folded(self, phase: str) -> str:
        computes = phase == "TEST" and self.use_global_stats is False
        return "computes its statistics from each batch" if computes else ""

    def slope_and_shift(self, blobs: Sequence[Array], outputs: int) -> tuple[Array, Array]:
        want = 5 if self.has_scale_bias else 3
        if len(blobs) != want:
            raise WeightsError(f'"{self.spec.name}" has {len(blobs)} blobs, allowed: {want}')
        mean, variance, eps = statistics([blob.ravel() for blob in blobs], self.eps)
        slope = 1.0 / np.sqrt(variance + eps)
        if want == 3:
            return slope, -mean * slope
        slope = slope * blobs[3].ravel()
        return slope, blobs[4].ravel() - mean * slope

    def shifted(self, blobs: Sequence[Array], shift: Array) -> Mapping[int, Array] | None:
        if self.has_scale_bias:
            return {4: blobs[4] + shift.reshape(blobs[4].shape)}
        mean, (total, _) = blobs[0], self._total_and_eps(blobs)
        if total == 0:  # the mean counts as 0, whatever it is
            return None
        slope, _ = self.slope_and_shift(blobs, mean.size)
        return {0: mean - (shift / slope * total).reshape(mean.shape)}

    def with_factors(
        self, blobs: Sequence[Array], below: Array, above: Array
    ) -> Mapping[int, Array]:
        mean, variance = blobs[:2]
        total, eps = self._total_and_eps(blobs)
        spread = variance.ravel() + eps * total  # as eps counts for each channel alike
        made = below**2 * spread - eps * total
        return {0: mean * below.reshape(mean.shape), 1: made.reshape(variance.shape)}

    def least_factors(self, blobs: Sequence[Array]) -> Array:
        total, eps = self._total_and_eps(blobs)  # eps times total stays under the root
        return np.sqrt(eps * total / (blobs[1].ravel() + eps * total))

    def _total_and_eps(self, blobs: Sequence[Array]) -> tuple[float, float]:
        """What mean and variance are to be divided by, and the eps that counts."""
        if self.has_scale_bias:
            return 1.0, max(self.eps, LEAST_EPS)
        return float(blobs[2].ravel()[0]), self.eps

    def statistics_kept(self) -> float | None:
        is_fixed = self.use_global_stats or self.has_scale_bias  # NVCaffe's has no sums to restart
        return None if is_fixed else self.moving_average_fraction

    def averaging_all(self) -> BatchNorm:
        made = replace(self, moving_average_fraction=1.0)
        object.__setattr__(made, "spec", self.spec)
        return made

    def check(self) -> None:
        if not self.eps >= 0 or math.isinf(self.eps):
            raise FieldError("batch_norm_param.eps", self.eps, "0 or more")
        if not 0 <= self.moving_average_fraction <= 1:
            raise FieldError(
                "batch_norm_param.moving_average_fraction", self.moving_average_fraction, "0..1"
            )

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
        affine: list[Shape] = [(channels,)] * 2 if self.has_scale_bias else []
        return [(channels,), (channels,), (1,), *affine]

    def blob_fillers(self) -> list[Any]:
        if not self.has_scale_bias:
            return []
        filler = type(self.spec.message.batch_norm_param.scale_filler)
        one = filler(type="constant", value=1.0)
        return [None, None, one, self.scale_filler or one, self.bias_filler]

    def is_learned(self, index: int) -> bool:
        return index > 2

    def arranged(self, blobs: Sequence[Any]) -> Sequence[Any]:
        return in_order(blobs) if self.has_scale_bias else blobs

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x, *blobs = tensors
        columns = x if x.dim() > 1 else x.unsqueeze(1)
        fixed = not runtime.training if self.use_global_stats is None else self.use_global_stats
        if fixed:
            mean, variance, eps = statistics(blobs, self.eps)
            scale, bias = blobs[3:] or (None, None)
            return F.batch_norm(columns, mean, variance, scale, bias, eps=eps).view_as(x)
        if self.has_scale_bias:
            return self._train_moving(runtime, columns, blobs).view_as(x)
        return self._train(columns, *blobs).view_as(x)

    def _train(self, x: Tensor, mean: Tensor, variance: Tensor, factor: Tensor) -> Tensor:
        centred, batch_mean, batch_variance, unbiased = _of_batch(x)
        with torch.no_grad():
            keep = self.moving_average_fraction
            factor.mul_(keep).add_(1)
            mean.mul_(keep).add_(batch_mean.flatten())
            variance.mul_(keep).add_(batch_variance.flatten(), alpha=unbiased)
        return centred / (batch_variance + self.eps).sqrt()

    def _train_moving(self, runtime: Runtime, x: Tensor, blobs: Sequence[Tensor]) -> Tensor:
        mean, variance, _, scale, bias = blobs
        centred, batch_mean, batch_variance, unbiased = _of_batch(x)
        with torch.no_grad():
            keep = self.moving_average_fraction if runtime.state.get("has_statistics") else 0.0
            mean.mul_(keep).add_(batch_mean.flatten(), alpha=1 - keep)
            variance.mul_(keep).add_(batch_variance.flatten(), alpha=unbiased * (1 - keep))
            runtime.state["has_statistics"] = True
        normal = centred / (batch_variance + max(self.eps, LEAST_EPS)).sqrt()
        return normal * scale.view_as(batch_mean) + bias.view_as(batch_mean)

    def save_state(self, runtime: Runtime) -> dict[str, Any]:
        return {"has_statistics": True} if runtime.state.get("has_statistics") else {}

    def load_state(self, runtime: Runtime, state: Mapping[str, Any]) -> None:
        runtime.state["has_statistics"] = bool(state.get("has_statistics"))

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        x, *blobs = names
        if self.use_global_stats is False:
            return str(super().lower_integer(g, *names))
        wide = [-1, *[1] * (max(len(g.shape(x)), 2) - 2)]
        values = [g.value(b).astype(np.float64) for b in blobs]
        mean, variance, eps = statistics(values, self.eps)
        slope = 1.0 / np.sqrt(variance.reshape(wide) + eps)
        if not self.has_scale_bias:
            return g.affine(x, slope, -mean.reshape(wide) * slope)
        slope = slope * values[3].reshape(wide)
        return g.affine(x, slope, values[4].reshape(wide) - mean.reshape(wide) * slope)

    def lower(self, g: Lowering, *names: str) -> str:
        x, *blobs = names
        if self.use_global_stats is False:
            return self._lower_batch_statistics(g, x, blobs)
        values = [g.value(b) for b in blobs]
        mean, variance, eps = statistics(values, self.eps)
        rank, count = len(g.shape(x)), len(values[0])
        plain = [np.ones(count, np.float32), np.zeros(count, np.float32)]
        y: str = g.op(
            "BatchNormalization",
            x if rank > 1 else g.op("Reshape", x, g.constant([-1, 1])),
            *(g.constant(v) for v in (values[3:] or plain)),
            g.constant(mean.astype(np.float32)),
            g.constant(variance.astype(np.float32)),
            epsilon=eps,
        )
        return y if rank > 1 else str(g.op("Reshape", y, g.constant([-1])))

    def _lower_batch_statistics(self, g: Lowering, x: str, blobs: Sequence[str]) -> str:
        rank = len(g.shape(x))
        axes = g.constant([0, *range(2, rank)])
        centred = g.op("Sub", x, g.op("ReduceMean", x, axes))
        variance = g.op("ReduceMean", g.op("Mul", centred, centred), axes)
        eps = max(self.eps, LEAST_EPS) if self.has_scale_bias else float(self.eps)
        y: str = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.constant(eps))))
        if self.has_scale_bias:
            wide = [-1, *[1] * max(rank - 2, 0)]
            scale, bias = (g.constant(g.value(b).reshape(wide)) for b in blobs[3:])
            y = g.op("Add", g.op("Mul", y, scale), bias)
        return y


def _of_batch(x: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
    """x without its mean, mean and biased variance of each channel, and what makes the variance an
    unbiased one."""
    axes = [0, *range(2, x.dim())]
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    variance = centred.square().mean(axes, keepdim=True)
    count = x.numel() // x.shape[1]
    return centred, mean, variance, count / (count - 1) if count > 1 else 1.0
