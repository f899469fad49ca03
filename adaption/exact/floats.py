"""FloatBuilder: layers on float32 values, as operations that give the same bits everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adaption.errors import LayerError
from adaption.exact.entries import FloatValue
from adaption.exact.float_ops import (
    FloatAffine,
    FloatClip,
    FloatMean,
    FloatMultiply,
    FloatProduct,
    FloatSlope,
    FloatSum,
    has_ordered_product,
)
from adaption.exact.products import ProductBuilder
from adaption.exact.program import FloatLayer, Op
from adaption.exact.reference import without_activation
from adaption.exact.selection import Member
from adaption.exact.weights import bias_per_output
from adaption.layers.base import Shape
from adaption.layers.pooling import Pooling

__all__ = ["FloatBuilder"]


class FloatBuilder:
    """Implements layers.base.IntegerLowering on float32 values, for the layer of `member`.

    What a layer lowers to is the same as on codes; each operation is one of `float_ops`, or the
    layer itself where it moves, picks or compares values. What has no such form raises LayerError.
    """

    def __init__(self, builder: ProductBuilder, member: Member) -> None:
        self.b = builder
        self.member = member
        self.shape, self.value = builder.shape, builder.value

    def lowered(self, bottoms: Sequence[FloatValue]) -> list[FloatValue] | None:
        """The tops of the layer on these bottoms; None where it has no such form."""
        b, layer = self.b, self.member.node.layer
        before = len(b.ops)
        names = [b.name(x) for x in bottoms]
        blobs = list(b.blobs) if self.member is b.member else []
        try:
            if layer.same_tops_as_bottoms:
                made: Any = tuple(layer.lower_integer(self, x, *blobs) for x in names)
            else:
                made = layer.lower_integer(self, *names, *blobs)
        except LayerError:
            del b.ops[before:]
            return None
        tops = [self._float(n) for n in (made if isinstance(made, tuple) else (made,))]
        return tops

    # -- layers.base.IntegerLowering ---------------------------------------------------------

    def apply(self, *names: str) -> Any:
        b, node = self.b, self.member.node
        xs = [self._float(n) for n in names]
        shapes = node.layer.top_shapes(*(x.shape for x in xs))
        tops = tuple(b.free("float") for _ in shapes)
        bare = without_activation(node, None)
        op = FloatLayer(self.member.spec.name, tuple(x.name for x in xs), tops, bare)
        made = b.add_floats(op, shapes, *_history(xs))
        found = tuple(b.name(top) for top in made)
        return found if len(found) > 1 else found[0]

    def product(self, x: str, w: str, *bias: str) -> str:
        layer = self.member.node.layer
        v = self._float(x)
        if not has_ordered_product(layer, v.shape):
            raise LayerError("sums in an order of its own")
        shape = layer.top_shape(v.shape)
        top = self._add(FloatProduct, [v], shape, form=layer, weight=self.value(w))
        if not bias:
            return top
        return self.affine(top, 1.0, bias_per_output(layer, self.value(bias[0]), v.shape))

    def affine(self, x: str, scale: Any, shift: Any = 0.0) -> str:
        v = self._float(x)
        a, b = (np.asarray(value, np.float64).astype(np.float32) for value in (scale, shift))
        multiplier, addend = None if (a == 1).all() else a, b if b.any() else None
        if multiplier is None and addend is None:
            return x
        shape = np.broadcast_shapes(v.shape, a.shape, b.shape)
        return self._add(FloatAffine, [v], shape, multiplier=multiplier, addend=addend)

    def slope(self, x: str, slopes: Any) -> str:
        v = self._float(x)
        return self._add(FloatSlope, [v], v.shape, slopes=np.asarray(slopes, np.float32))

    def clip(self, x: str, low: float | None, high: float | None) -> str:
        v = self._float(x)
        return self._add(FloatClip, [v], v.shape, low=low, high=high)

    def max_pool(self, x: str) -> str:
        return str(self.apply(x))

    def mean_pool(self, x: str, sizes: Any) -> str:
        layer = self.member.node.layer
        assert isinstance(layer, Pooling)
        v = self._float(x)
        real = np.asarray(sizes, np.float32)
        return self._add(FloatMean, [v], layer.top_shapes(v.shape)[0], form=layer, sizes=real)

    def add(self, *names: str) -> str:
        xs = [self._float(n) for n in names]
        return self._add(FloatSum, xs, xs[0].shape)

    def multiply(self, *names: str) -> str:
        xs = [self._float(n) for n in names]
        return self._add(FloatMultiply, xs, xs[0].shape)

    def widen(self, x: str, rank: int) -> str:
        raise LayerError("spreads a bottom")

    def function(self, x: str) -> str:
        raise LayerError("computes a function, whose last bits differ between programs")

    def normalize(self, x: str, windows: Sequence[int | None], factor: Any) -> str:
        raise LayerError("sums in an order of its own")

    # -- inner -------------------------------------------------------------------------------

    def _float(self, name: str) -> FloatValue:
        found = self.b.entries[name]
        assert isinstance(found, FloatValue), "the walk hands floats to float layers"
        return found

    def _add(self, kind: type[Op], xs: Sequence[FloatValue], shape: Shape, **fields: Any) -> str:
        b = self.b
        names = tuple(x.name for x in xs), (b.free("float"),)
        op = kind(self.member.spec.name, *names, **fields)
        (top,) = b.add_floats(op, [shape], *_history(xs))
        return b.name(top)


def _history(xs: Sequence[FloatValue]) -> tuple[str, str]:
    """Why values made of these are no codes, and the first layer that differs among programs."""
    reason = next((x.reason for x in xs if x.reason), "")
    return reason, next((x.differs for x in xs if x.differs), "")
