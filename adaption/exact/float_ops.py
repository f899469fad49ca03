"""float32 operations of a program, made so that every implementation gives the same bits.

A sum of WRPN codes is scaled by 1 / (n_w n_a), which no float holds, so that exactness ends there:
from the sum on values are float32, up to the next point, which rounds them to codes. Each operation
here is one IEEE operation per value, or several in the order that is stated, rounded after each; no
multiplication is fused with an addition. Torch and onnxruntime agree in every bit therefore, the
sign of a zero aside.

    ScaleSums      codes to float32: float32(x) · scale
    FloatAffine    x · multiplier, then + addend; either may be missing
    FloatSum       ((x0 + x1) + x2) + ...; FloatMultiply: likewise
    FloatSlope     x where x > 0, else x · slope
    FloatClip      min(max(x, low), high)
    FloatMean      sums of windows, along the height and then along the width, over their sizes
    FloatProduct   convolution or inner product: products of float32 are exact in float64, in which
                   they are added in the order of the weight's memory, from 0 on; rounded once
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from adaption.exact.program import Op
from adaption.layers.base import Layer, Shape, canonical_axis
from adaption.layers.convolution import Convolution
from adaption.layers.inner_product import InnerProduct
from adaption.layers.pooling import Pooling

__all__ = [
    "FloatAffine", "FloatClip", "FloatMean", "FloatMultiply", "FloatOp", "FloatProduct",
    "FloatSlope", "FloatSum", "ScaleSums", "has_ordered_product",
]  # fmt: skip

Floats = npt.NDArray[np.float32]


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


class FloatOp(Op):
    """One of these operations: its tops are float32."""


@dataclass(frozen=True)
class ScaleSums(FloatOp):
    """`scale` broadcasts against one sample."""

    scale: Floats

    def run(self, *xs: Tensor) -> Tensor:
        return xs[0].float() * _tensor(self.scale)


@dataclass(frozen=True)
class FloatAffine(FloatOp):
    """Both broadcast against one sample."""

    multiplier: Floats | None
    addend: Floats | None

    def run(self, *xs: Tensor) -> Tensor:
        y = xs[0] if self.multiplier is None else xs[0] * _tensor(self.multiplier)
        return y if self.addend is None else y + _tensor(self.addend)


@dataclass(frozen=True)
class FloatSum(FloatOp):
    def run(self, *xs: Tensor) -> Tensor:
        return reduce(torch.add, xs)


@dataclass(frozen=True)
class FloatMultiply(FloatOp):
    def run(self, *xs: Tensor) -> Tensor:
        return reduce(torch.mul, xs)


@dataclass(frozen=True)
class FloatSlope(FloatOp):
    slopes: Floats

    def run(self, *xs: Tensor) -> Tensor:
        return torch.where(xs[0] > 0, xs[0], xs[0] * _tensor(self.slopes))


@dataclass(frozen=True)
class FloatClip(FloatOp):
    low: float | None
    high: float | None

    def run(self, *xs: Tensor) -> Tensor:
        return xs[0].clamp(self.low, self.high)


@dataclass(frozen=True)
class FloatMean(FloatOp):
    """`sizes` (H, W): of the windows of `form`."""

    form: Pooling
    sizes: Floats

    def run(self, *xs: Tensor) -> Tensor:
        h, w = self.form.windows(tuple(xs[0].shape))
        x = F.pad(xs[0], (w.pad, w.pad_after, h.pad, h.pad_after))
        for axis, window in ((2, h), (3, w)):
            last = (window.top - 1) * window.stride + 1
            starts = torch.arange(0, last, window.stride, device=x.device)
            parts = [x.index_select(axis, starts + i) for i in range(window.kernel)]
            x = reduce(torch.add, parts)
        return x / _tensor(self.sizes)


@dataclass(frozen=True)
class FloatProduct(FloatOp):
    """`form` is a Convolution or an InnerProduct with its geometry, without a bias; `weight` in the
    blob's shape."""

    form: Layer
    weight: Floats

    def run(self, *xs: Tensor) -> Tensor:
        x, w = xs[0], self.by_tap()
        taps = self._taps(x)  # (N, groups, taps, places)
        n, groups, count, places = taps.shape
        total = torch.zeros((n, groups, w.shape[1], places), dtype=torch.float64)
        weight = torch.from_numpy(w).double()
        for k in range(count):
            # A product of two float32 is exact in float64, so that a fused step rounds alike.
            total.addcmul_(taps[:, :, k : k + 1].double(), weight[:, :, k : k + 1])
        top: Shape = self.form.top_shape(tuple(x.shape))
        return total.float().reshape(top)

    def by_tap(self) -> Floats:
        """The weight as (groups, outputs of a group, taps)."""
        form = self.form
        if isinstance(form, InnerProduct):
            rows = self.weight.reshape(self.weight.shape[-2:])
            return np.ascontiguousarray(rows.T if form.transpose else rows)[None]
        return self.weight.reshape(self.groups, len(self.weight) // self.groups, -1)

    @property
    def groups(self) -> int:
        form = self.form
        if not isinstance(form, Convolution):
            return 1
        return form.groups(len(self.weight))  # of a depthwise layer as many as filters

    def _taps(self, x: Tensor) -> Tensor:
        form = self.form
        if isinstance(form, InnerProduct):
            axis = canonical_axis(form.axis, x.dim())
            return x.reshape(-1, 1, int(np.prod(x.shape[axis:])), 1)
        assert isinstance(form, Convolution)
        g = form.geometry(4)
        (top, left), (bottom, right) = g.pad, g.pad_end
        x = F.pad(x, (left, right, top, bottom))
        found = F.unfold(x, g.kernel, g.dilation, 0, g.stride)
        return found.reshape(len(x), self.groups, -1, found.shape[-1])


def has_ordered_product(form: Layer, bottom: Sequence[int]) -> bool:
    """Whether FloatProduct computes a layer: inner products, and convolutions in two dimensions."""
    if isinstance(form, InnerProduct):
        return True
    is_plain = isinstance(form, Convolution) and not form.is_transposed
    return is_plain and len(bottom) == 4 and canonical_axis(form.axis, 4) == 1  # type: ignore[attr-defined]
