"""AbsVal: |x|; the gradient at 0 is 0. Caffe: absval_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import LayerError
from adaption.later import Tensor
from adaption.layers.base import IntegerLowering, Layer, Lowering, layer


@layer("AbsVal", kind="function", is_homogeneous=True, is_pointwise=True)
@dataclass(frozen=True)
class AbsVal(Layer):
    def check(self) -> None:
        if self.spec.is_in_place:
            raise LayerError(
                "runs in place, allowed: a top of its own", "give the top another name"
            )

    def forward(self, x: Tensor) -> Tensor:
        return x.abs()

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        return g.slope(names[0], -1.0)

    def lower(self, g: Lowering, *names: str) -> str:
        y: str = g.op("Abs", names[0])
        return y
