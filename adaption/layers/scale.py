"""Scale and Bias: multiply by, or add, a blob that is broadcast from `axis` on.

Caffe: scale_layer.cpp, bias_layer.cpp. The blob is a learned one, or a second bottom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.errors import FieldError, LayerError, ShapeError
from adaption.later import Tensor, np, torch
from adaption.layers.base import (
    IntegerLowering,
    Layer,
    Lowering,
    Runtime,
    Shape,
    canonical_axis,
    layer,
)
from adaption.layers.traits import Array, ScaleChange, scaled_bias


def _blob_shape(x: Shape, axis: int, num_axes: int) -> Shape:
    first = canonical_axis(axis, len(x))
    if num_axes < -1:
        raise FieldError("num_axes", num_axes, "-1 (all from axis on), 0 (a scalar), or more")
    if num_axes == -1:
        return x[first:]
    if first + num_axes > len(x):
        raise ShapeError(f"axis {axis} and num_axes {num_axes} reach beyond a bottom of {x}")
    return x[first : first + num_axes]


def _why_not_per_channel(axis: int, num_axes: int) -> str:
    fits = (axis, num_axes) == (1, 1)
    return "" if fits else "does not act per channel (axis 1, num_axes 1)"


def _spread(blob: Tensor, x: Tensor, axis: int) -> Tensor:
    """`blob` with as many trailing axes of 1 as broadcasting over x from `axis` needs."""
    first = canonical_axis(axis, x.dim()) if blob.dim() else x.dim()
    behind = x.dim() - first - blob.dim()
    if behind < 0 or tuple(x.shape[first : first + blob.dim()]) != tuple(blob.shape):
        raise ShapeError(
            f"a second bottom of shape {tuple(blob.shape)} does not fit {tuple(x.shape)}"
            f" from axis {first} on"
        )
    return blob.reshape((*blob.shape, *[1] * behind))


def _lower_spread(g: Lowering, blob: str, x: str, axis: int) -> str:
    rank, own = len(g.shape(x)), len(g.shape(blob))
    behind = rank - canonical_axis(axis, rank) - own
    if not own or not behind:
        return blob
    y: str = g.op("Unsqueeze", blob, g.constant(list(range(own, own + behind))))
    return y


def _spread_values(g: IntegerLowering, blob: str, x: str, axis: int) -> Any:
    """Values of a blob as an array that broadcasts over x from `axis` on."""
    rank, values = len(g.shape(x)), g.value(blob)
    first = canonical_axis(axis, rank) if values.ndim else rank
    return values.reshape(*values.shape, *[1] * (rank - first - values.ndim))


@layer(
    "Scale",
    param="scale_param",
    kind="channel affine",
    is_foldable=True,
    channel_factors="free",
    bottoms=(1, 2),
    takes_channels_last=True,
    top_is_free=True,
)
@dataclass(frozen=True)
class Scale(Layer):
    axis: int
    num_axes: int
    filler: Any | None
    bias_term: bool
    bias_filler: Any

    def rescaled(self, scale: float) -> ScaleChange | None:
        return scaled_bias(scale, self.bias_term) if self._learned else None

    def why_not_folded(self, phase: str) -> str:
        return _why_not_per_channel(self.axis, self.num_axes)

    def slope_and_shift(self, blobs: Sequence[Array], outputs: int) -> tuple[Array, Array]:
        return blobs[0].ravel(), blobs[1].ravel() if len(blobs) > 1 else np.zeros(outputs)

    def shifted(self, blobs: Sequence[Array], shift: Array) -> Mapping[int, Array] | None:
        return {1: blobs[1] + shift.reshape(blobs[1].shape)} if len(blobs) > 1 else None

    def with_factors(
        self, blobs: Sequence[Array], below: Array, above: Array
    ) -> Mapping[int, Array]:
        slope, *rest = blobs
        made = {0: slope * (above / below).reshape(slope.shape)}
        for i, shift in enumerate(rest, 1):
            made[i] = shift * above.reshape(shift.shape)
        return made

    @property
    def _learned(self) -> bool:
        return len(self.spec.bottoms) == 1

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        shape = _blob_shape(bottoms[0], self.axis, self.num_axes) if self._learned else bottoms[1]
        return [shape] * (self._learned + self.bias_term)

    def blob_fillers(self) -> list[Any]:
        bias = [self.bias_filler] if self.bias_term else []
        if not self._learned:
            return bias
        filler = self.filler
        if filler is None:
            filler = type(self.bias_filler)()
            filler.type, filler.value = "constant", 1.0  # scale_layer.cpp, LayerSetUp
        return [filler, *bias]

    def forward(self, x: Tensor, scale: Tensor, *bias: Tensor) -> Tensor:
        y = x * _spread(scale, x, self.axis)
        return y.add_(_spread(bias[0], x, self.axis)) if bias else y

    def overwrite(self, runtime: Runtime, x: Tensor, *blobs: Tensor) -> Tensor:
        if torch.is_grad_enabled():  # the gradient of the scale is made of the bottom
            return self.forward(x, *blobs)
        y = x.mul_(_spread(blobs[0], x, self.axis))
        return y.add_(_spread(blobs[1], x, self.axis)) if len(blobs) > 1 else y

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        x, *blobs = names
        if not self._learned:
            return self._lower_product(g, *names)
        return g.affine(x, *(_spread_values(g, b, x, self.axis) for b in blobs))

    def _lower_product(self, g: IntegerLowering, x: str, scale: str, *bias: str) -> str:
        rank = len(g.shape(x))
        if canonical_axis(self.axis, rank):
            raise LayerError(
                f"a bottom as scale from axis {self.axis} on has no integer form", "use axis: 0"
            )
        y = g.multiply(x, g.widen(scale, rank))
        return g.affine(y, 1.0, _spread_values(g, bias[0], x, self.axis)) if bias else y

    def lower(self, g: Lowering, *names: str) -> str:
        x, scale, *bias = names
        y: str = g.op("Mul", x, _lower_spread(g, scale, x, self.axis))
        return g.op("Add", y, _lower_spread(g, bias[0], x, self.axis)) if bias else y

    def macs(self, bottoms: Any, tops: Any) -> int:
        return prod(bottoms[0])


@layer(
    "Bias",
    param="bias_param",
    kind="channel affine",
    is_foldable=True,
    channel_factors="kept",
    bottoms=(1, 2),
    takes_channels_last=True,
    top_is_free=True,
)
@dataclass(frozen=True)
class Bias(Layer):
    axis: int
    num_axes: int
    filler: Any

    def rescaled(self, scale: float) -> ScaleChange | None:
        return scaled_bias(scale, True, index=0) if len(self.spec.bottoms) == 1 else None

    def why_not_folded(self, phase: str) -> str:
        return _why_not_per_channel(self.axis, self.num_axes)

    def slope_and_shift(self, blobs: Sequence[Array], outputs: int) -> tuple[Array, Array]:
        return np.ones(outputs), blobs[0].ravel()

    def shifted(self, blobs: Sequence[Array], shift: Array) -> Mapping[int, Array] | None:
        return {0: blobs[0] + shift.reshape(blobs[0].shape)}

    def with_factors(
        self, blobs: Sequence[Array], below: Array, above: Array
    ) -> Mapping[int, Array]:
        return {0: blobs[0] * above.reshape(blobs[0].shape)}

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        if len(bottoms) == 2:
            return []
        return [_blob_shape(bottoms[0], self.axis, self.num_axes)]

    def blob_fillers(self) -> list[Any]:
        return [self.filler]

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return x + _spread(bias, x, self.axis)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        if len(self.spec.bottoms) == 2:
            return str(super().lower_integer(g, *names))
        return g.affine(names[0], 1.0, _spread_values(g, names[1], names[0], self.axis))

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Add", names[0], _lower_spread(g, names[1], names[0], self.axis))
        return y
