"""CropCenter: cuts the same number of positions off both ends of each axis. lltcggie's caffe."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer(
    "CropCenter",
    param="crop_center_param",
    kind="arrangement",
    works_on_codes=True,
)
@dataclass(frozen=True)
class CropCenter(Layer):
    crop_size: tuple[int, ...]

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if len(self.crop_size) != len(x):
            raise FieldError(
                "crop_center_param.crop_size", list(self.crop_size), f"one per axis ({len(x)})"
            )
        top = tuple(size - 2 * cut for size, cut in zip(x, self.crop_size, strict=True))
        if min(top) < 1:
            raise ShapeError(f"crop_size {list(self.crop_size)} leaves nothing of a bottom of {x}")
        return top

    def forward(self, x: Tensor) -> Tensor:
        for axis, cut in enumerate(self.crop_size):
            x = x.narrow(axis, cut, x.shape[axis] - 2 * cut)
        return x.contiguous()

    def lower(self, g: Lowering, *names: str) -> str:
        cuts = [(axis, cut) for axis, cut in enumerate(self.crop_size) if cut]
        if not cuts:
            return names[0]
        shape = g.shape(names[0])
        y: str = g.op(
            "Slice",
            names[0],
            g.constant([cut for _, cut in cuts]),
            g.constant([shape[axis] - cut for axis, cut in cuts]),
            g.constant([axis for axis, _ in cuts]),
        )
        return y
