"""Eltwise: sum, product or maximum of bottoms of one shape. Caffe: eltwise_layer.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, torch
from adaption.layers.base import IntegerLowering, Layer, Lowering, Shape, layer


@layer(
    "Eltwise",
    param="eltwise_param",
    kind="arrangement",
    places="kept",
    bottoms=(2, None),
    takes_channels_last=True,
    top_is_free=True,
    ignores=("stable_prod_grad",),
)
@dataclass(frozen=True)
class Eltwise(Layer):
    operation: str
    coeff: tuple[float, ...]

    def check(self) -> None:
        if self.coeff and len(self.coeff) != len(self.spec.bottoms):
            raise FieldError(
                "eltwise_param.coeff",
                list(self.coeff),
                f"none, or one per bottom ({len(self.spec.bottoms)})",
            )
        if self.coeff and self.operation == "PROD":
            raise FieldError("eltwise_param.coeff", list(self.coeff), "none with operation: PROD")

    def hands_scale_on(self) -> bool:
        return self.operation != "PROD"

    def keeps_grid(self) -> bool:
        return self.hands_scale_on() and all(c in (-1.0, 1.0) for c in self.coeff)

    def settings(self) -> str:
        return self.operation

    def top_shape(self, *bottoms: Shape) -> Shape:
        if len(set(bottoms)) > 1:
            raise ShapeError(f"bottoms have shapes {', '.join(map(str, bottoms))}, allowed: equal")
        return bottoms[0]

    def forward(self, *xs: Tensor) -> Tensor:
        if self.operation == "PROD":
            return reduce(torch.mul, xs)
        if self.operation == "MAX":
            # Ties give the gradient to the later of the first two, then to the one that stands.
            y = torch.where(xs[0] > xs[1], xs[0], xs[1])
            return reduce(lambda top, x: torch.where(x > top, x, top), xs[2:], y)
        if not self.coeff:
            return reduce(torch.add, xs)
        return reduce(torch.add, (x * c for x, c in zip(xs, self.coeff, strict=True)))

    def lower_integer(self, g: IntegerLowering, *names: str) -> str:
        if self.operation == "PROD":
            return g.multiply(*names)
        if self.operation == "MAX":
            return str(g.apply(*names))
        coeff = self.coeff or (1.0,) * len(names)
        return g.add(*(n if c == 1 else g.affine(n, c) for n, c in zip(names, coeff, strict=True)))

    def lower(self, g: Lowering, *names: str) -> str:
        if self.operation == "MAX":
            y: str = g.op("Max", *names)
            return y
        op = "Mul" if self.operation == "PROD" else "Add"
        if self.coeff:
            names = tuple(
                n if c == 1 else g.op("Mul", n, g.constant(float(c)))
                for n, c in zip(names, self.coeff, strict=True)
            )
        return reduce(lambda a, b: g.op(op, a, b), names)
