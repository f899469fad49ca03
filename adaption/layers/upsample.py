"""Upsample: back to the places that a pooling mask names, or each value s x s times.

segnet: two bottoms, values and the mask of a MAX pooling layer. SegNet, ENet: upsample_layer.cpp.
darknet: one bottom, nearest neighbour. MobileNet-YOLO: upsample_layer.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, LayerError, ShapeError
from adaption.graph import LayerSpec
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Lowering, Shape, layer
from adaption.layers.gradient import own_gradient

_INT64 = 7  # onnx.TensorProto.INT64


@layer(
    "Upsample",
    param="upsample_param",
    dialect="segnet",
    kind="arrangement",
    drawn_as="pooling",
    is_homogeneous=True,
    bottoms=2,
    no_gradient=(1,),
)
@dataclass(frozen=True)
class Unpool(Layer):
    """Writes each value to its index within the plane of its channel, zeros elsewhere.

    Of values with the same index the last stays, and each of them gets the whole gradient.
    """

    scale: int
    scale_h: int | None
    scale_w: int | None
    pad_out_h: bool
    pad_out_w: bool
    upsample_h: int | None
    upsample_w: int | None

    @classmethod
    def claims(cls, spec: LayerSpec) -> bool:
        return len(spec.bottoms) == 2

    def check(self) -> None:
        if None not in (self.upsample_h, self.upsample_w):
            self._above_1("upsample_h", self.upsample_h)
            self._above_1("upsample_w", self.upsample_w)
            return
        if (self.scale_h is None) != (self.scale_w is None):
            raise LayerError("gives one of scale_h and scale_w, allowed: both, or scale")
        if self.scale_h is not None and self.spec.message.upsample_param.HasField("scale"):
            raise LayerError("gives scale, and scale_h and scale_w, allowed: one form")
        for axis, (scale, pad_out) in enumerate(self._scales()):
            letter = "hw"[axis]
            self._above_1("scale" if self.scale_h is None else f"scale_{letter}", scale)
            if pad_out and scale != 2:
                raise FieldError(f"upsample_param.pad_out_{letter}", True, "true with scale 2 only")

    def _above_1(self, name: str, found: int | None) -> None:
        if found is None or found < 2:
            raise FieldError(f"upsample_param.{name}", found, "2 or more")

    def _scales(self) -> list[tuple[int, bool]]:
        h = self.scale if self.scale_h is None else self.scale_h
        w = self.scale if self.scale_w is None else self.scale_w
        return [(h, self.pad_out_h), (w, self.pad_out_w)]

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, mask = bottoms
        if len(x) != 4 or mask != x:
            raise ShapeError(f"bottoms have shapes {x} and {mask}, allowed: equal, (N, C, H, W)")
        if self.upsample_h is not None and self.upsample_w is not None:
            return (*x[:2], self.upsample_h, self.upsample_w)
        sizes = [s * scale - pad for s, (scale, pad) in zip(x[2:], self._scales(), strict=True)]
        return (*x[:2], *sizes)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        shape = self.top_shape(tuple(x.shape), tuple(mask.shape))
        index = mask.detach().long().flatten(2)
        places = shape[2] * shape[3]
        if bool(((index < 0) | (index >= places)).any()):
            bad = int(index[(index < 0) | (index >= places)][0])
            raise FieldError(
                "mask index",
                bad,
                f"0..{places - 1}, the places of a {shape[2]} x {shape[3]} plane",
                "make upsample_h and upsample_w the size that the pooling layer has read",
            )
        order = torch.arange(index.shape[2], device=x.device).expand_as(index)
        last = torch.full((*shape[:2], places), -1, device=x.device)
        last.scatter_reduce_(2, index, order, "amax")
        values = x.detach().flatten(2).gather(2, last.clamp_min(0))
        y = torch.where(last >= 0, values, values.new_zeros(())).view(shape)
        return own_gradient(y, lambda grad: (grad.flatten(2).gather(2, index).view(x.shape),), x)

    def lower(self, g: Lowering, *names: str) -> str:
        """ScatterElements; indices must differ, as those of windows that do not overlap do."""
        x, mask = names
        shape = self.top_shape(g.shape(x), g.shape(mask))
        flat = g.constant([0, 0, -1])
        batch = g.op("Shape", x, start=0, end=2)
        size = g.op("Concat", batch, g.constant([shape[2] * shape[3]]), axis=0)
        y = g.op(
            "ScatterElements",
            g.op("Expand", g.constant(np.zeros(1, np.float32)), size),
            g.op("Cast", g.op("Reshape", mask, flat), to=_INT64),
            g.op("Reshape", x, flat),
            axis=2,
        )
        top: str = g.op("Reshape", y, g.constant([0, 0, *shape[2:]]))
        return top


@layer(
    "Upsample",
    param="upsample_param",
    dialect="darknet",
    kind="arrangement",
    drawn_as="pooling",
    works_on_codes=True,
    reads=("scale",),
)
@dataclass(frozen=True)
class UpsampleNearest(Layer):
    """Nearest neighbour by a whole factor, 1 when none is given."""

    @classmethod
    def claims(cls, spec: LayerSpec) -> bool:
        return len(spec.bottoms) == 1

    @property
    def _scale(self) -> int:
        param = self.spec.message.upsample_param
        return int(param.scale) if param.HasField("scale") else 1

    def check(self) -> None:
        if self._scale < 1:
            raise FieldError("upsample_param.scale", self._scale, "1 or more")

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if len(x) != 4:
            raise ShapeError(f"bottom has shape {x}, allowed: (N, C, H, W)")
        return (*x[:2], x[2] * self._scale, x[3] * self._scale)

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self._scale, 2).repeat_interleave(self._scale, 3)

    def lower(self, g: Lowering, *names: str) -> str:
        scales = np.full(2, self._scale, np.float32)
        y: str = g.op(
            "Resize",
            names[0],
            "",
            g.constant(scales),
            axes=[2, 3],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return y
