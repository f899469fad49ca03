"""Convolution and Deconvolution, N-d, grouped, dilated. Caffe: base_conv_layer.cpp.

LPConvolution is the same layer: the net hands it a weight that is already on the grid. So is
DepthwiseConvolution (yonghenglh6), which is depthwise only where `group` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Shape, canonical_axis, layer
from adaption.layers.spatial import gather_windows, per_axis, window_text
from adaption.layers.traits import Array, ScaleChange, scaled_bias

AXES = (1, 2, 3)  # spatial axes that torch's convolutions take


@dataclass(frozen=True)
class _Geometry:
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    pad_end: tuple[int, ...]  # behind the bottom; equals pad but where a fork says otherwise

    @property
    def is_even(self) -> bool:
        return self.pad == self.pad_end


@layer(
    "Convolution",
    "LPConvolution",
    "DepthwiseConvolution",
    param="convolution_param",
    kind="convolution",
    places="windows",
    bottoms=(1, None),
    tops=(1, None),
    same_tops_as_bottoms=True,
    takes_channels_last=True,
    top_is_free=True,
)
@dataclass(frozen=True)
class Convolution(Layer):
    """top = bottom * W + b over the axes behind `axis` (the channels)."""

    num_output: int
    bias_term: bool
    pad: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pad_h: int | None
    pad_w: int | None
    kernel_h: int | None
    kernel_w: int | None
    stride_h: int | None
    stride_w: int | None
    group: int
    axis: int
    hole: int | None  # DeepLab's name of dilation
    hole_h: int | None
    hole_w: int | None
    pad_l: int  # synopsys-caffe: each side on its own
    pad_r: int
    pad_t: int
    pad_b: int
    weight_filler: Any
    bias_filler: Any

    is_transposed = False

    def check(self) -> None:
        if self.num_output < 1:
            raise FieldError("convolution_param.num_output", self.num_output, "1 or more")
        if self.group < 1 or self.num_output % self.group:
            raise FieldError(
                "convolution_param.group",
                self.group,
                f"a divisor of num_output ({self.num_output})",
            )
        if self._sides and (self.is_transposed or self.pad or self.pad_h or self.pad_w):
            raise FieldError(
                "convolution_param.pad_l, pad_r, pad_t, pad_b",
                list(self._sides),
                "none in a Deconvolution, and none beside pad, pad_h and pad_w",
            )

    def settings(self) -> str:
        outputs = [f"{self.num_output} outputs"] if self.num_output else []
        group = [f"group {self.group}"] if self.group > 1 else []
        return ", ".join([*outputs, *window_text(self.spec.message.convolution_param), *group])

    def rescaled(self, scale: float) -> ScaleChange:
        return scaled_bias(scale, self.bias_term)

    def sums_to_channels(self) -> bool:
        return self.axis == 1

    def shifted(self, blobs: Sequence[Array], shift: Array) -> Mapping[int, Array] | None:
        return {1: blobs[1] + shift} if self.bias_term else None

    def by_output(self, weight: Array) -> Array:
        return weight.reshape(weight.shape[0], -1)

    def from_output(self, rows: Array, shape: Shape) -> Array:
        return rows.reshape(shape)

    @property
    def _sides(self) -> tuple[int, ...]:
        """Padding at the left, right, top and bottom; empty when it is not given side by side."""
        sides = (self.pad_l, self.pad_r, self.pad_t, self.pad_b)
        return sides if any(sides) else ()

    @property
    def filters_come_first(self) -> bool:
        return not self.is_transposed

    def geometry(self, rank: int) -> _Geometry:
        """Kernel, stride, pad and dilation along each spatial axis of a blob of `rank` axes."""
        n = rank - canonical_axis(self.axis, rank) - 1
        if n and n not in AXES:
            raise ShapeError(f"has {n} spatial axes, allowed: 0, {', '.join(map(str, AXES))}")
        # pad_h and stride_h default one by one; kernel_h and kernel_w must both be there.
        pad_hw = (self.pad_h or None, self.pad_w or None)
        pad = per_axis("pad", self.pad, pad_hw, n, 0, 0)
        pad_end = pad
        dilation = self.dilation or (() if self.hole is None else (self.hole,))
        if self._sides:
            if n != 2:
                raise ShapeError(f"pad_l needs 2 spatial axes, this blob has {n}")
            left, right, top, bottom = self._sides
            pad, pad_end = (top, left), (bottom, right)
        return _Geometry(
            per_axis("kernel_size", self.kernel_size, (self.kernel_h, self.kernel_w), n, None, 1),
            per_axis("stride", self.stride, (self.stride_h, self.stride_w), n, 1, 1),
            pad,
            per_axis("dilation", dilation, (self.hole_h, self.hole_w), n, 1, 1),
            pad_end,
        )

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        axis = canonical_axis(self.axis, len(x))
        g = self.geometry(len(x))
        pads = [before + behind for before, behind in zip(g.pad, g.pad_end, strict=True)]
        sizes = zip(x[axis + 1 :], g.kernel, g.stride, pads, g.dilation, strict=True)
        spatial = [self._top_size(*size) for size in sizes]
        if min(spatial, default=1) < 1:
            raise ShapeError(
                f"kernel {g.kernel} with pad {g.pad} does not fit a bottom of shape {x}"
            )
        return (*x[:axis], self._outputs(x[axis]), *spatial)

    def _outputs(self, channels: int) -> int:
        return self.num_output

    def groups(self, channels: int) -> int:
        """Number of groups, given the number of bottom channels."""
        return self.group

    def _top_size(self, size: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
        """Size of the top along one axis; `pad` is that of both sides together."""
        return (size + pad - (dilation * (kernel - 1) + 1)) // stride + 1

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        x = bottoms[0]
        channels = x[canonical_axis(self.axis, len(x))]
        if channels % self.groups(channels):
            raise ShapeError(f"group {self.group} does not divide {channels} bottom channels")
        weight = (*self._weight_channels(channels), *self.geometry(len(x)).kernel)
        return [weight, (self._outputs(channels),)] if self.bias_term else [weight]

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        return self.num_output, channels // self.group

    def pack(self, index: int, blob: Tensor) -> Tensor:
        """Filters in channels-last order: the convolution then computes, and its top stays, so."""
        if index or blob.dim() != 4 or self.is_transposed:
            return blob
        return blob.contiguous(memory_format=torch.channels_last)

    def blob_fillers(self) -> list[Any]:
        return [self.weight_filler, self.bias_filler]

    def forward(self, x: Tensor, w: Tensor, *b: Tensor) -> Tensor:
        axis = canonical_axis(self.axis, x.dim())
        g = self.geometry(x.dim())
        flat = x if axis == 1 else x.reshape(-1, *x.shape[axis:])
        if g.kernel:
            y = self._convolve(flat, w, b[0] if b else None, g)
        else:  # on channels alone: as along one axis of size 1
            one = _Geometry((1,), (1,), (0,), (1,), (0,))
            y = self._convolve(flat[..., None], w[..., None], b[0] if b else None, one)[..., 0]
        return y if axis == 1 else y.view(*x.shape[:axis], *y.shape[1:])

    def _convolve(self, x: Tensor, w: Tensor, b: Tensor | None, g: _Geometry) -> Tensor:
        conv = (F.conv1d, F.conv2d, F.conv3d)[len(g.kernel) - 1]
        pad = g.pad
        if not g.is_even:
            (top, left), (bottom, right) = g.pad, g.pad_end
            x, pad = F.pad(x, (left, right, top, bottom)), (0, 0)
        return conv(x, w, b, g.stride, pad, g.dilation, self.groups(x.shape[1]))

    def sums(self, bottom: Shape) -> int:
        top, axis = self.top_shape(bottom), canonical_axis(self.axis, len(bottom))
        return prod(top[:axis]) * prod(top[axis + 1 :])

    def columns(self, x: Tensor, picks: Tensor) -> Tensor:
        axis, g = canonical_axis(self.axis, x.dim()), self.geometry(x.dim())
        flat = x.reshape(-1, *x.shape[axis:])
        sizes = zip(flat.shape[2:], self.top_shape(tuple(x.shape))[axis + 1 :], strict=True)
        read = [self._read(g, i, size, top) for i, (size, top) in enumerate(sizes)]
        found = gather_windows(flat, picks, read)
        return found.reshape(len(picks), self.groups(flat.shape[1]), -1).transpose(0, 1)

    def _read(self, g: _Geometry, axis: int, size: int, top: int) -> Tensor:
        """Per place of the top and of the kernel the place of the bottom, -1 for padding."""
        taps = torch.arange(g.kernel[axis]) * g.dilation[axis]
        at = torch.arange(top).unsqueeze(1) * g.stride[axis] - g.pad[axis] + taps
        return at.masked_fill((at < 0) | (at >= size), -1)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        return g.product(*names)

    def lower(self, g: Lowering, *names: str) -> str:
        x, w, *b = names
        shape = g.shape(x)
        axis = canonical_axis(self.axis, len(shape))
        form = self.geometry(len(shape))
        flat, is_reshaped = x, axis != 1 or not form.kernel
        if is_reshaped:
            flat = g.op(
                "Reshape", x, g.constant([-1, *shape[axis:], *([] if form.kernel else [1])])
            )
        if not form.kernel:
            w = g.op("Reshape", w, g.constant([*g.shape(w), 1]))
            form = _Geometry((1,), (1,), (0,), (1,), (0,))
        y: str = g.op(
            "ConvTranspose" if self.is_transposed else "Conv",
            flat,
            w,
            *b,
            kernel_shape=list(form.kernel),
            strides=list(form.stride),
            pads=[*form.pad, *form.pad_end],
            dilations=list(form.dilation),
            group=self.groups(shape[axis]),
        )
        if is_reshaped:
            top = self.top_shape(shape)
            y = g.op("Reshape", y, g.constant([*((-1, *top[1:]) if axis else top)]))
        return y

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return sum(
            prod(self._swept(x, y)) * prod(self.blob_shapes(x)[0][1:])
            for x, y in zip(bottoms, tops, strict=True)
        )

    def _swept(self, bottom: Shape, top: Shape) -> Shape:
        """The blob each of whose values meets one whole filter."""
        return top


@layer(
    "Deconvolution",
    param="convolution_param",
    kind="convolution",
    places="spread",
    bottoms=(1, None),
    tops=(1, None),
    same_tops_as_bottoms=True,
    takes_channels_last=True,
    top_is_free=True,
)
@dataclass(frozen=True)
class Deconvolution(Convolution):
    """The transpose of Convolution: its forward is Convolution's data gradient."""

    is_transposed = True

    def _top_size(self, size: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
        return stride * (size - 1) + dilation * (kernel - 1) + 1 - pad

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        return channels, self.num_output // self.group

    def _convolve(self, x: Tensor, w: Tensor, b: Tensor | None, g: _Geometry) -> Tensor:
        deconv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(g.kernel) - 1]
        return deconv(x, w, b, g.stride, g.pad, 0, self.group, g.dilation)

    def _swept(self, bottom: Shape, top: Shape) -> Shape:
        return bottom

    def _read(self, g: _Geometry, axis: int, size: int, top: int) -> Tensor:
        taps = torch.arange(g.kernel[axis]) * g.dilation[axis]
        steps = torch.arange(top).unsqueeze(1) + g.pad[axis] - taps
        at = steps.div(g.stride[axis], rounding_mode="floor")
        is_between = steps % g.stride[axis] != 0
        return at.masked_fill(is_between | (at < 0) | (at >= size), -1)

    def by_output(self, weight: Array) -> Array:
        """Group by group: blob 0 is (C, outputs / group, kernel)."""
        inputs, outputs = weight.shape[0] // self.group, weight.shape[1]
        parts = weight.reshape(self.group, inputs, outputs, -1).swapaxes(1, 2)
        return parts.reshape(self.group * outputs, -1)

    def from_output(self, rows: Array, shape: Shape) -> Array:
        inputs, outputs = shape[0] // self.group, shape[1]
        parts = rows.reshape(self.group, outputs, inputs, prod(shape[2:])).swapaxes(1, 2)
        return parts.reshape(shape)


@layer("Convolution3D", param="convolution_param", kind="convolution", ignores=("filter_group",))
@dataclass(frozen=True)
class Convolution3D(Convolution):
    """Over (N, C, time, height, width), one kernel size for both of the latter. C3D (Tran et al.
    2015): convolution3d_layer.cpp. Its filter_group says in how many parts it is computed."""

    kernel_depth: int | None
    temporal_stride: int
    temporal_pad: int

    def geometry(self, rank: int) -> _Geometry:
        if rank != 5:
            raise ShapeError(f"bottom has {rank} axes, allowed: 5, (N, C, time, height, width)")

        def both(name: str, values: tuple[int, ...], default: int | None, least: int) -> int:
            return per_axis(name, values, (None, None), 1, default, least)[0]

        depth = both("kernel_depth", (self.kernel_depth,) if self.kernel_depth else (), None, 1)
        size = both("kernel_size", self.kernel_size, None, 1)
        stride, pad = both("stride", self.stride, 1, 1), both("pad", self.pad, 0, 0)
        pads = (self.temporal_pad, pad, pad)
        return _Geometry(
            (depth, size, size), (self.temporal_stride, stride, stride), pads, (1, 1, 1), pads
        )


@layer(
    "ConvolutionDepthwise",
    param="convolution_param",
    kind="convolution",
    bottoms=1,
    tops=1,
    same_tops_as_bottoms=False,
)
@dataclass(frozen=True)
class ConvolutionDepthwise(Convolution):
    """One filter per channel, whatever num_output and group say. caffe-mobilenet: conv_dw_layer."""

    def check(self) -> None:
        """Nothing: num_output and group are not read."""

    def top_shape(self, *bottoms: Shape) -> Shape:
        if len(bottoms[0]) != 4 or self.axis != 1:
            raise ShapeError(f"bottom has shape {bottoms[0]}, allowed: (N, C, H, W), axis 1")
        return super().top_shape(*bottoms)

    def _outputs(self, channels: int) -> int:
        return channels

    def groups(self, channels: int) -> int:
        return channels

    def _weight_channels(self, channels: int) -> tuple[int, int]:
        return channels, 1
