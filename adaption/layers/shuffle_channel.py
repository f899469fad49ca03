"""ShuffleChannel: channel (i, j) of (group, C / group) goes to (j, i). ShuffleNet's caffe."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer


@layer(
    "ShuffleChannel",
    param="shuffle_channel_param",
    kind="arrangement",
    works_on_codes=True,
)
@dataclass(frozen=True)
class ShuffleChannel(Layer):
    group: int

    def check(self) -> None:
        if self.group < 1:
            raise FieldError("shuffle_channel_param.group", self.group, "1 or more")

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        if len(x) < 2 or x[1] % self.group:
            raise ShapeError(f"group {self.group} does not divide the channels of a bottom of {x}")
        return x

    def forward(self, x: Tensor) -> Tensor:
        groups = x.reshape(x.shape[0], self.group, x.shape[1] // self.group, -1)
        return groups.transpose(1, 2).reshape(x.shape)

    def lower(self, g: Lowering, *names: str) -> str:
        shape = g.shape(names[0])
        split = [0, self.group, shape[1] // self.group, -1]
        groups = g.op("Reshape", names[0], g.constant(split))
        mixed = g.op("Transpose", groups, perm=[0, 2, 1, 3])
        y: str = g.op("Reshape", mixed, g.constant([0, *shape[1:]]))
        return y
