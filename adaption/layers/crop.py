"""Crop: the first bottom, cut to the size of the second from `axis` on. Caffe: crop_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer(
    "Crop",
    param="crop_param",
    kind="arrangement",
    places="cut",
    bottoms=2,
    no_gradient=(1,),
    works_on_codes=True,
)
@dataclass(frozen=True)
class Crop(Layer):
    axis: int
    offset: tuple[int, ...]  # none: 0; one for all axes, or one per axis

    def _offsets(self, rank: int) -> tuple[int, list[int]]:
        axis = canonical_axis(self.axis, rank)
        count = rank - axis
        if len(self.offset) not in (0, 1, count):
            raise FieldError(
                "crop_param.offset", list(self.offset), f"none, one, or one per axis ({count})"
            )
        offsets = list(self.offset or (0,))
        return axis, offsets * count if len(offsets) == 1 else offsets

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, reference = bottoms
        axis, offsets = self._offsets(len(x))
        if len(reference) != len(x):
            raise ShapeError(f"bottoms have shapes {x} and {reference}, allowed: as many axes")
        for i, offset in enumerate(offsets, axis):
            if x[i] - offset < reference[i]:
                raise ShapeError(
                    f"axis {i} of size {x[i]} cannot be cropped to {reference[i]} from offset"
                    f" {offset}"
                )
        return (*x[:axis], *reference[axis:])

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        top = self.top_shape(tuple(x.shape), tuple(reference.shape))
        axis, offsets = self._offsets(x.dim())
        for i, offset in enumerate(offsets, axis):
            x = x.narrow(i, offset, top[i])
        return x.contiguous()

    def lower(self, g: Lowering, *names: str) -> str:
        x, reference = names
        top = self.top_shape(g.shape(x), g.shape(reference))
        axis, offsets = self._offsets(len(top))
        y: str = g.op(
            "Slice",
            x,
            g.constant(np.array(offsets)),
            g.constant(np.add(offsets, top[axis:])),
            g.constant(np.arange(axis, len(top))),
        )
        return y
