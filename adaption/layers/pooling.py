"""Pooling: MAX and AVE with Caffe's geometry. Caffe: pooling_layer.cpp.

The top size is rounded up; with padding the last window is dropped when it would start outside
the image plus leading pad. AVE divides by the window clipped to the padded image, so it counts
padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError, LayerError, ShapeError
from adaption.later import F, Tensor, np, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Runtime, Shape, layer
from adaption.layers.spatial import per_axis, window_text


@dataclass(frozen=True)
class _Window:
    """Pooling along one axis of a bottom of `size`."""

    size: int
    kernel: int
    stride: int
    pad: int
    pad_end: int  # behind the image; equals pad but where a fork says otherwise
    is_floor: bool = False  # forks: round the top size down
    counts_pad: bool = True  # Intel: AVE may leave padding out of its divisor

    @property
    def top(self) -> int:
        steps = (self.size + self.pad + self.pad_end - self.kernel) / self.stride
        top = (math.floor(steps) if self.is_floor else math.ceil(steps)) + 1
        if (self.pad or self.pad_end) and (top - 1) * self.stride >= self.size + self.pad:
            top -= 1
        return top

    @property
    def pad_after(self) -> int:
        """Padding behind the image so that the last window fits; negative: unread border."""
        return self.pad_behind(self.top)

    def pad_behind(self, count: int) -> int:
        """The same for the first `count` windows."""
        return (count - 1) * self.stride + self.kernel - self.size - self.pad

    @property
    def inside(self) -> int:
        """Number of windows that begin on the image or in the padding before it."""
        return min(self.top, math.ceil((self.size + self.pad) / self.stride))

    @property
    def clipped(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Length of each window, clipped to the image, with its padding where that counts."""
        start = np.arange(self.top) * self.stride - self.pad
        behind = self.pad_end if self.counts_pad else 0
        end = np.minimum(start + self.kernel, self.size + behind)
        if not self.counts_pad:
            start = np.maximum(start, 0)
        return (end - start).astype(np.float32)


@layer(
    "Pooling",
    param="pooling_param",
    kind="pooling",
    places="windows",
    is_homogeneous=True,
    tops=(1, 2),
    takes_channels_last=True,
)
@dataclass(frozen=True)
class Pooling(Layer):
    pool: str
    pad: int
    kernel_size: int | None
    stride: int
    pad_h: int | None
    pad_w: int | None
    kernel_h: int | None
    kernel_w: int | None
    stride_h: int | None
    stride_w: int | None
    global_pooling: bool
    round_mode: str  # MobileNet-YOLO, waifu2x: CEIL or FLOOR
    ceil_mode: bool  # synopsys-caffe: the same as a bool
    avg_include_pad: bool  # Intel
    pad_l: int  # synopsys-caffe: each side on its own
    pad_r: int
    pad_t: int
    pad_b: int

    def check(self) -> None:
        if len(self.spec.tops) == 2 and self.pool != "MAX":
            raise LayerError(f"has 2 tops, allowed: 1 with pool: {self.pool}")
        message = self.spec.message.pooling_param
        for name in ("kernel_size", "kernel_h", "kernel_w"):
            if self.global_pooling and message.HasField(name):
                raise FieldError(
                    f"pooling_param.{name}",
                    getattr(message, name),
                    "none with global_pooling: true, which takes the whole bottom",
                )

    def keeps_codes(self) -> bool:
        return self.pool == "MAX"

    def keeps_grid(self) -> bool:
        return True

    def settings(self) -> str:
        message = self.spec.message.pooling_param
        return ", ".join(
            [self.pool, *(["global"] if self.global_pooling else window_text(message))]
        )

    @property
    def is_mean(self) -> bool:
        """Whether each value is the mean of its window."""
        return self.pool in ("AVE", "AVE_EXC_PAD")

    def windows(self, shape: Shape) -> tuple[_Window, _Window]:
        """The pooling windows along height and width of a bottom of shape (N, C, H, W)."""
        if len(shape) != 4:
            raise ShapeError(f"bottom has shape {shape}, allowed: 4 axes (N, C, H, W)")
        size = shape[2:]
        if self.global_pooling:
            kernel: tuple[int, ...] = size
        else:
            one = () if self.kernel_size is None else (self.kernel_size,)
            kernel = per_axis("kernel_size", one, (self.kernel_h, self.kernel_w), 2, None, 1)
        message = self.spec.message.pooling_param
        pad = (
            (self.pad_h or 0, self.pad_w or 0)
            if message.HasField("pad_h") or message.HasField("pad_w")
            else (self.pad, self.pad)
        )
        stride = (
            (self.stride_h or 1, self.stride_w or 1)
            if message.HasField("stride_h") or message.HasField("stride_w")
            else (self.stride, self.stride)
        )
        if self.global_pooling and (any(pad) or stride != (1, 1)):
            raise FieldError("pooling_param.pad", pad, "0, and stride 1, with global_pooling: true")
        if min(stride) < 1:
            raise FieldError("pooling_param.stride", stride, "1 or more")
        end = pad
        if any((self.pad_l, self.pad_r, self.pad_t, self.pad_b)):
            if any(pad):
                raise FieldError("pooling_param.pad", pad, "0 beside pad_l, pad_r, pad_t, pad_b")
            pad, end = (self.pad_t, self.pad_l), (self.pad_b, self.pad_r)
        if any(max(p) >= k for p, k in zip(zip(pad, end, strict=True), kernel, strict=True)):
            raise FieldError("pooling_param.pad", pad, f"less than the kernel {kernel}")
        is_floor = self.round_mode == "FLOOR" or not self.ceil_mode
        counts_pad = self.avg_include_pad and self.pool != "AVE_EXC_PAD"
        h, w = (
            _Window(*each, is_floor, counts_pad)
            for each in zip(size, kernel, stride, pad, end, strict=True)
        )
        if h.top < 1 or w.top < 1:
            raise ShapeError(f"kernel {kernel} with pad {pad} does not fit a bottom of {shape}")
        return h, w

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        h, w = self.windows(bottoms[0])
        return [(*bottoms[0][:2], h.top, w.top)] * len(self.spec.tops)

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        x = tensors[0]
        h, w = self.windows(tuple(x.shape))
        if self.pool == "MAX":
            y, mask = self._max(x, h, w)
            return (y, mask) if len(self.spec.tops) == 2 else y
        if self.is_mean:
            return self._average(x, h, w)
        return self._stochastic(x, h, w, runtime)

    def _max(self, x: Tensor, h: _Window, w: _Window) -> tuple[Tensor, Tensor | None]:
        kernel, stride = (h.kernel, w.kernel), (h.stride, w.stride)
        wants_mask = len(self.spec.tops) == 2
        if _torch_agrees(h) and _torch_agrees(w):
            pad = (h.pad, w.pad)
            if not wants_mask:
                return F.max_pool2d(x, kernel, stride, pad, ceil_mode=True), None
            y, at = F.max_pool2d(x, kernel, stride, pad, ceil_mode=True, return_indices=True)
            return y, at.to(x.dtype)
        lowest = torch.finfo(x.dtype).min  # what a window without any pixel gives
        padded = F.pad(x, (w.pad, w.pad_after, h.pad, h.pad_after), value=lowest)
        y, at = F.max_pool2d(padded, kernel, stride, return_indices=True)
        row = at // padded.shape[3] - h.pad
        column = at % padded.shape[3] - w.pad
        return y, (row * x.shape[3] + column).to(x.dtype)

    def _average(self, x: Tensor, h: _Window, w: _Window) -> Tensor:
        kernel, stride = (h.kernel, w.kernel), (h.stride, w.stride)
        if _torch_agrees(h) and _torch_agrees(w):
            return F.avg_pool2d(x, kernel, stride, (h.pad, w.pad), ceil_mode=True)
        return self.window_sums(x) / torch.from_numpy(np.outer(h.clipped, w.clipped)).to(x.device)

    def window_sums(self, x: Tensor) -> Tensor:
        """The sum of each window."""
        h, w = self.windows(tuple(x.shape))
        padded = F.pad(x, (w.pad, w.pad_after, h.pad, h.pad_after))
        return F.avg_pool2d(padded, (h.kernel, w.kernel), (h.stride, w.stride), divisor_override=1)

    def _stochastic(self, x: Tensor, h: _Window, w: _Window, runtime: Runtime) -> Tensor:
        """Zeiler & Fergus 2013: one pixel drawn with odds by value in TRAIN, their mean in TEST."""
        if h.pad or w.pad:
            raise FieldError("pooling_param.pad", (h.pad, w.pad), "0 with pool: STOCHASTIC")
        padded = F.pad(x, (0, w.pad_after, 0, h.pad_after))
        patches = padded.unfold(2, h.kernel, h.stride).unfold(3, w.kernel, w.stride).flatten(-2)
        total = patches.sum(-1)
        if not runtime.training:
            return patches.square().sum(-1) / total.clamp_min(torch.finfo(x.dtype).tiny)
        draw = torch.rand(total.shape, generator=runtime.generator, device=x.device)
        chosen = (patches.cumsum(-1) < (draw * total).unsqueeze(-1)).sum(-1, keepdim=True)
        last = patches.shape[-1] - 1
        return patches.gather(-1, chosen.clamp_max(last)).squeeze(-1)

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        x = names[0]
        if len(self.spec.tops) == 2:
            raise LayerError("a Pooling layer with a mask top has no integer form")
        h, w = self.windows(g.shape(x))
        if h.inside != h.top or w.inside != w.top:
            raise LayerError("a Pooling window without any pixel has no integer form")
        if self.pool == "MAX":
            return g.max_pool(x)
        if not self.is_mean:
            raise LayerError(f"pool: {self.pool} has no integer form")
        return g.mean_pool(x, np.outer(h.clipped, w.clipped).astype(np.int64))

    def lower(self, g: Lowering, *names: str) -> str:
        x = names[0]
        if len(self.spec.tops) == 2:
            raise LayerError("a Pooling layer with a mask top has no ONNX form")
        h, w = self.windows(g.shape(x))
        form: dict[str, Any] = {
            "kernel_shape": [h.kernel, w.kernel],
            "strides": [h.stride, w.stride],
        }
        # ONNX's ceil_mode counts windows differently: only those that begin on the image are left
        # to it, all explicit; behind them there is nothing to look at.
        inside = [p.inside for p in (h, w)]
        behind = [p.pad_behind(count) for p, count in zip((h, w), inside, strict=True)]
        if min(behind) < 0:
            ends = [p.size + min(0, after) for p, after in zip((h, w), behind, strict=True)]
            x = g.op("Slice", x, g.constant([0, 0]), g.constant(ends), g.constant([2, 3]))
        form["pads"] = [h.pad, w.pad, *(max(0, after) for after in behind)]
        missing = g.constant([0] * 6 + [h.top - inside[0], w.top - inside[1]])
        y: str
        if self.pool == "MAX":
            y = g.op("MaxPool", x, **form)
            if inside != [h.top, w.top]:
                y = g.op("Pad", y, missing, g.constant(float(np.finfo(np.float32).min)))
            return y
        if not self.is_mean:
            raise FieldError("pooling_param.pool", self.pool, "MAX, AVE, AVE_EXC_PAD in ONNX")
        y = g.op("AveragePool", x, count_include_pad=1, **form)
        if inside != [h.top, w.top]:
            y = g.op("Pad", y, missing, g.constant(0.0))
        full = np.float32(h.kernel * w.kernel)
        with np.errstate(divide="ignore"):  # an empty window gives 0 / 0, here as in Caffe
            share = full / np.outer(h.clipped, w.clipped)
        if (share != 1).any():
            y = g.op("Mul", y, g.constant(share.astype(np.float32)))
        return y


def _torch_agrees(window: _Window) -> bool:
    """True where torch's ceil_mode has the same windows: it wants pad <= kernel / 2, and drops a
    last window that starts behind the image also when there is no padding."""
    if window.pad != window.pad_end or window.is_floor or not window.counts_pad:
        return False
    starts_inside = (window.top - 1) * window.stride < window.size + window.pad
    return window.pad * 2 <= window.kernel and starts_inside
