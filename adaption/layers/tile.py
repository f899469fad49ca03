"""Tile: the bottom repeated along one axis; gradients add up. Caffe: tile_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError
from adaption.later import Tensor, np
from adaption.layers.base import Layer, Lowering, Shape, canonical_axis, layer


@layer("Tile", param="tile_param", kind="arrangement", works_on_codes=True)
@dataclass(frozen=True)
class Tile(Layer):
    axis: int
    tiles: int | None

    def check(self) -> None:
        if self.tiles is None or self.tiles < 1:
            raise FieldError(
                "tile_param.tiles", "missing" if self.tiles is None else self.tiles, "1 or more"
            )

    def _repeats(self, rank: int) -> list[int]:
        repeats = [1] * rank
        repeats[canonical_axis(self.axis, rank)] = self.tiles or 1
        return repeats

    def top_shape(self, *bottoms: Shape) -> Shape:
        x = bottoms[0]
        return tuple(size * n for size, n in zip(x, self._repeats(len(x)), strict=True))

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(self._repeats(x.dim()))

    def lower(self, g: Lowering, *names: str) -> str:
        repeats = self._repeats(len(g.shape(names[0])))
        y: str = g.op("Tile", names[0], g.constant(np.array(repeats)))
        return y
