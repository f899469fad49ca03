"""BN: batch normalization with a scale and a shift. PSPNet, TSN, SegNet, CTPN: bn_layer.cpp.

The forks share the type's name and little else:

- pspnet, tsn: slope, bias, moving mean, moving variance; TEST, and `frozen`, use the moving ones.
- segnet: scale and shift; LEARN takes the batch's statistics in every phase, INFERENCE takes none.
  Optional tops are the batch's mean and variance; no gradient passes through them.
- ctpn: scale, shift, moving mean, moving variance; TEST uses the moving ones with moving_average.

A layer without fields is read as pspnet has it; where its moving variance is 0 throughout, no
statistics have been learned or loaded, and TEST takes the batch's as segnet has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError, LayerError, ShapeError
from adaption.graph import LayerSpec
from adaption.later import Tensor, np, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, Shape, layer
from adaption.layers.gradient import own_gradient

_SEGNET_EPS = 1e-9  # SegNet: bn_layer.cpp, LayerSetUp

_MOVING = {"slope_filler", "bias_filler", "momentum", "frozen", "icnet"}
_PLAIN = {"scale_filler", "shift_filler", "bn_mode"}
_CTPN = {"var_eps", "moving_average", "decay", "axis"}


def _given(spec: LayerSpec) -> set[str]:
    return {field.name for field, _ in spec.message.bn_param.ListFields()}


def _check_rank(x: Shape) -> None:
    if not 2 <= len(x) <= 4:
        raise ShapeError(f"bottom has shape {x}, allowed: 2 to 4 axes")


def _statistics(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel, to be broadcast over x."""
    axes = [a for a in range(x.dim()) if a != axis]
    mean = x.mean(axes, keepdim=True)
    return mean, (x - mean).square().mean(axes, keepdim=True)


def _spread(blob: Tensor, x: Tensor, axis: int) -> Tensor:
    return blob.reshape([-1 if a == axis else 1 for a in range(x.dim())])


def _with_batch_gradient(
    x: Tensor, mean: Tensor, variance: Tensor, eps: float, scale: Tensor, shift: Tensor, axis: int
) -> Tensor:
    """Normalization by fixed statistics, whose gradient takes them for the batch's own.

    So the originals compute it in TEST: Backward_cpu does not look at the phase.
    """
    axes = [a for a in range(x.dim()) if a != axis]
    inverse = (_spread(variance, x, axis) + eps).rsqrt()
    normal = ((x - _spread(mean, x, axis)) * inverse).detach()
    slope = _spread(scale.detach(), x, axis)

    def backward(grad: Tensor) -> Sequence[Tensor]:
        inner = grad * slope
        along = normal * (normal * inner).mean(axes, keepdim=True) + inner.mean(axes, keepdim=True)
        into_scale = (normal * grad).sum(axes).view_as(scale)
        return (inner - along) * inverse, into_scale, grad.sum(axes).view_as(shift)

    return own_gradient(normal * slope + _spread(shift, x, axis), backward, x, scale, shift)


def _normalized(x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    return (x - mean) / (variance + eps).sqrt()


def _lower_fixed(
    g: Lowering, x: str, scale: str, shift: str, mean: str, variance: str, eps: float
) -> str:
    flat = [g.constant(g.value(b).reshape(-1)) for b in (scale, shift, mean, variance)]
    y: str = g.op("BatchNormalization", x, *flat, epsilon=eps)
    return y


def _lower_integer(
    g: IntegerLowering,
    x: str,
    scale: str,
    shift: str,
    mean: str,
    variance: str,
    eps: float,
    axis: int,
) -> str:
    """By fixed statistics: one factor and one addend per channel."""
    wide = [-1, *[1] * (len(g.shape(x)) - axis - 1)]
    values = (g.value(b).astype(np.float64).reshape(wide) for b in (scale, shift, mean, variance))
    slope, bias, centre, spread = values
    slope = slope / np.sqrt(spread + eps)
    return g.affine(x, slope, bias - centre * slope)


def _lower_batch(g: Lowering, x: str, scale: str, shift: str, eps: float, axis: int = 1) -> Any:
    """(top, mean, variance) with the statistics of the batch."""
    rank = len(g.shape(x))
    axes = g.constant([a for a in range(rank) if a != axis])
    mean = g.op("ReduceMean", x, axes)
    centred = g.op("Sub", x, mean)
    variance = g.op("ReduceMean", g.op("Mul", centred, centred), axes)
    normal = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.constant(eps))))
    return _lower_affine(g, normal, scale, shift, rank, axis), mean, variance


def _lower_affine(g: Lowering, x: str, scale: str, shift: str, rank: int, axis: int = 1) -> str:
    wide = [-1 if a == axis else 1 for a in range(rank)]
    scale, shift = (g.constant(g.value(b).reshape(wide)) for b in (scale, shift))
    y: str = g.op("Add", g.op("Mul", x, scale), shift)
    return y


@layer("BN", param="bn_param", dialect="pspnet", kind="channel affine", writes_blobs=True)
@dataclass(frozen=True)
class MovingBN(Layer):
    """Scales by moving statistics in TEST, by the batch's in TRAIN. PSPNet: bn_layer.cpp."""

    slope_filler: Any
    bias_filler: Any
    momentum: float
    eps: float
    frozen: bool

    @classmethod
    def claims(cls, spec: LayerSpec) -> bool:
        given = _given(spec)
        if given & _CTPN or len(spec.tops) > 1:
            return False
        return bool(given & _MOVING) or not given & _PLAIN

    def top_shape(self, *bottoms: Shape) -> Shape:
        _check_rank(bottoms[0])
        return bottoms[0]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [(1, bottoms[0][1], 1, 1)] * 4

    def blob_fillers(self) -> list[Any]:
        one = type(self.slope_filler)(type="constant", value=float(self.frozen))
        return [self.slope_filler, self.bias_filler, None, one]

    def is_learned(self, index: int) -> bool:
        return index < 2 and not self.frozen

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x, slope, bias, mean, variance = tensors
        if runtime.training and not self.frozen:
            batch_mean, batch_variance = _statistics(x, 1)
            with torch.no_grad():
                for moving, now in ((mean, batch_mean), (variance, batch_variance)):
                    moving.mul_(self.momentum).add_(now.view_as(moving), alpha=1 - self.momentum)
            y = _normalized(x, batch_mean, batch_variance, self.eps)
        elif self._has_no_statistics(variance.any().item()):
            y = _normalized(x, *_statistics(x, 1), _SEGNET_EPS)
        elif runtime.original_semantics and not self.frozen:
            return _with_batch_gradient(x, mean, variance, self.eps, slope, bias, 1)
        else:
            y = _normalized(x, _spread(mean, x, 1), _spread(variance, x, 1), self.eps)
        return y * _spread(slope, x, 1) + _spread(bias, x, 1)

    def _has_no_statistics(self, found: bool | float) -> bool:
        return not found and not _given(self.spec)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        if self._has_no_statistics(bool(g.value(names[4]).any())):
            return str(super().lower_integer(g, *names))
        x, slope, bias, mean, variance = names
        return _lower_integer(g, x, slope, bias, mean, variance, self.eps, 1)

    def lower(self, g: Lowering, *names: str) -> str:
        x, slope, bias, mean, variance = names
        if self._has_no_statistics(bool(g.value(variance).any())):
            y: str = _lower_batch(g, x, slope, bias, _SEGNET_EPS)[0]
            return y
        return _lower_fixed(g, x, slope, bias, mean, variance, self.eps)


@layer("BN", param="bn_param", dialect="tsn", kind="channel affine", writes_blobs=True)
@dataclass(frozen=True)
class SegmentBN(MovingBN):
    """The same with blobs of two axes. TSN (yjxiong): bn_layer.cpp."""

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [(1, bottoms[0][1])] * 4


@layer("BN", param="bn_param", dialect="segnet", kind="channel affine", tops=(1, 3))
@dataclass(frozen=True)
class BatchBN(Layer):
    """Scales by the batch's statistics, or by none. SegNet, ENet: bn_layer.cpp."""

    scale_filler: Any
    shift_filler: Any
    bn_mode: str

    @classmethod
    def claims(cls, spec: LayerSpec) -> bool:
        given = _given(spec)
        if given & _CTPN or given & _MOVING:
            return False
        return bool(given & _PLAIN) or not given - {"eps"}

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        _check_rank(bottoms[0])
        statistic = (1, bottoms[0][1], 1, 1)
        return [bottoms[0], statistic, statistic][: len(self.spec.tops)]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [(1, bottoms[0][1], 1, 1)] * 2

    def blob_fillers(self) -> list[Any]:
        return [self.scale_filler, self.shift_filler]

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Any:
        if self.bn_mode == "INFERENCE":
            mean, variance = x.new_zeros(scale.shape), x.new_zeros(scale.shape)
            y = x
        else:
            mean, variance = _statistics(x, 1)
            y = _normalized(x, mean, variance, _SEGNET_EPS)
        y = y * _spread(scale, x, 1) + _spread(shift, x, 1)
        extra = (mean.detach().view_as(scale), variance.detach().view_as(scale))
        return y if len(self.spec.tops) == 1 else (y, *extra)[: len(self.spec.tops)]

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        if self.bn_mode != "INFERENCE" or len(self.spec.tops) > 1:
            return str(super().lower_integer(g, *names))
        x, scale, shift = names
        wide = [-1, *[1] * (len(g.shape(x)) - 2)]
        return g.affine(x, *(g.value(b).reshape(wide) for b in (scale, shift)))

    def lower(self, g: Lowering, *names: str) -> Any:
        x, scale, shift = names
        rank, wide = len(g.shape(x)), g.shape(scale)
        if self.bn_mode == "INFERENCE":
            zeros = g.constant(np.zeros(wide, np.float32))
            made = (_lower_affine(g, x, scale, shift, rank), zeros, zeros)
        else:
            top, *extra = _lower_batch(g, x, scale, shift, _SEGNET_EPS)
            made = (top, *(g.op("Reshape", e, g.constant(list(wide))) for e in extra))
        return made[0] if len(self.spec.tops) == 1 else made[: len(self.spec.tops)]


@layer("BN", param="bn_param", dialect="ctpn", kind="channel affine", writes_blobs=True)
@dataclass(frozen=True)
class AveragedBN(Layer):
    """Scales by the batch's statistics, in TEST by averaged ones if asked for. CTPN's caffe."""

    scale_filler: Any
    shift_filler: Any
    var_eps: float
    moving_average: bool
    decay: float
    axis: float

    @classmethod
    def claims(cls, spec: LayerSpec) -> bool:
        return bool(_given(spec) & _CTPN)

    def check(self) -> None:
        if self.axis not in (1, 2):
            raise FieldError("bn_param.axis", self.axis, "1, 2")

    def top_shape(self, *bottoms: Shape) -> Shape:
        _check_rank(bottoms[0])
        if self.axis >= len(bottoms[0]):
            raise ShapeError(f"bottom has shape {bottoms[0]}, allowed: {int(self.axis) + 1} axes")
        return bottoms[0]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        axis = int(self.axis)
        return [tuple(bottoms[0][axis] if a == axis else 1 for a in range(4))] * 4

    def blob_fillers(self) -> list[Any]:
        return [self.scale_filler, self.shift_filler, None, None]

    def is_learned(self, index: int) -> bool:
        return index < 2

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x, scale, shift, mean, variance = tensors
        axis = int(self.axis)
        if not runtime.training and self.moving_average:
            if runtime.original_semantics:
                return _with_batch_gradient(x, mean, variance, self.var_eps, scale, shift, axis)
            used = _spread(mean, x, axis), _spread(variance, x, axis)
        else:
            used = _statistics(x, axis)
        if runtime.training:
            with torch.no_grad():
                for moving, now in zip((mean, variance), used, strict=True):
                    moving.mul_(1 - self.decay).add_(now.view_as(moving), alpha=self.decay)
        y = _normalized(x, *used, self.var_eps)
        return y * _spread(scale, x, axis) + _spread(shift, x, axis)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        if not self.moving_average:
            return str(super().lower_integer(g, *names))
        x, scale, shift, mean, variance = names
        return _lower_integer(g, x, scale, shift, mean, variance, self.var_eps, int(self.axis))

    def lower(self, g: Lowering, *names: str) -> str:
        x, scale, shift, mean, variance = names
        axis = int(self.axis)
        if not self.moving_average:
            y: str = _lower_batch(g, x, scale, shift, self.var_eps, axis)[0]
            return y
        if axis == 1:
            return _lower_fixed(g, x, scale, shift, mean, variance, self.var_eps)
        raise LayerError("layer type BN has no ONNX form with moving_average and axis 2")
