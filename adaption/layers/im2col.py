"""Im2col: every patch a convolution would meet, as a column of channels. Caffe: im2col_layer.cpp.

(.., C, spatial...) becomes (.., C * prod(kernel), patches along each spatial axis...).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from adaption.errors import ShapeError
from adaption.later import F, Tensor, np
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer
from adaption.layers.spatial import per_axis, window_text


@layer(
    "Im2col",
    param="convolution_param",
    kind="arrangement",
    drawn_as="convolution",
    places="windows",
    is_homogeneous=True,
    ignores=("num_output", "bias_term", "group", "weight_filler", "bias_filler"),
)
@dataclass(frozen=True)
class Im2col(Layer):
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
    axis: int

    def settings(self) -> str:
        return ", ".join(window_text(self.spec.message.convolution_param))

    def _geometry(self, rank: int) -> list[tuple[int, int, int, int]]:
        """(kernel, stride, pad, dilation) along each spatial axis."""
        n = rank - canonical_axis(self.axis, rank) - 1
        if n < 1:
            raise ShapeError(f"has {n} spatial axes, allowed: 1 or more")
        pad_hw = (self.pad_h or None, self.pad_w or None)  # pad_h defaults to 0 in the proto
        return list(
            zip(
                per_axis(
                    "kernel_size", self.kernel_size, (self.kernel_h, self.kernel_w), n, None, 1
                ),
                per_axis("stride", self.stride, (self.stride_h, self.stride_w), n, 1, 1),
                per_axis("pad", self.pad, pad_hw, n, 0, 0),
                per_axis("dilation", self.dilation, (None, None), n, 1, 1),
                strict=True,
            )
        )

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        axis = canonical_axis(self.axis, len(x))
        form = self._geometry(len(x))
        patches = [
            (size + 2 * pad - (dilation * (kernel - 1) + 1)) // stride + 1
            for size, (kernel, stride, pad, dilation) in zip(x[axis + 1 :], form, strict=True)
        ]
        if min(patches) < 1:
            raise ShapeError(f"kernel {[f[0] for f in form]} does not fit a bottom of shape {x}")
        return (*x[:axis], x[axis] * prod(f[0] for f in form), *patches)

    def forward(self, x: Tensor) -> Tensor:
        top = self.top_shape(tuple(x.shape))
        axis = canonical_axis(self.axis, x.dim())
        form = self._geometry(x.dim())
        y = F.pad(x, [p for _, _, pad, _ in reversed(form) for p in (pad, pad)])
        for i, (kernel, stride, _, dilation) in enumerate(form, axis + 1):
            extent = dilation * (kernel - 1) + 1
            y = y.unfold(i, extent, stride)[..., ::dilation]
        spatial = range(axis + 1, x.dim())
        places = range(x.dim(), y.dim())
        return y.permute(*range(axis + 1), *places, *spatial).reshape(top)

    def lower(self, g: Lowering, *names: str) -> str:
        """A grouped convolution with one-hot filters."""
        shape = g.shape(names[0])
        axis = canonical_axis(self.axis, len(shape))
        kernel, stride, pad, dilation = (
            list(v) for v in zip(*self._geometry(len(shape)), strict=True)
        )
        channels, taps = shape[axis], prod(kernel)
        one_hot = np.tile(
            np.eye(taps, dtype=np.float32).reshape(taps, 1, *kernel),
            (channels, *[1] * (len(kernel) + 1)),
        )
        x = names[0] if axis == 1 else g.op("Reshape", names[0], g.constant([-1, *shape[axis:]]))
        y: str = g.op(
            "Conv",
            x,
            g.constant(one_hot),
            kernel_shape=kernel,
            strides=stride,
            pads=[*pad, *pad],
            dilations=dilation,
            group=channels,
        )
        return y if axis == 1 else g.op("Reshape", y, g.constant(list(self.top_shape(shape))))
