"""ProductBuilder: sums of products with weights, their accumulators and scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.errors import FieldError
from adaption.exact.constants import WeightCodes, half_away
from adaption.exact.entries import FloatValue, Pending, Real
from adaption.exact.float_ops import FloatAffine, ScaleSums
from adaption.exact.integers import IntegerBuilder
from adaption.exact.options import ExactOptions
from adaption.exact.program import Accumulate, Dequantize, Op, Product, Value
from adaption.exact.weights import bias_per_output, codes_or_end, sums_per_output
from adaption.layers.base import Shape
from adaption.numerics.accumulator import Accumulator
from adaption.numerics.exact import MOST_BITS, bits_of

__all__ = ["ProductBuilder"]

Floats = npt.NDArray[np.float32]


class ProductBuilder(IntegerBuilder):
    """IntegerBuilder, and products.

    scales_sums: as in nets with formats of WRPN, whose steps are no powers of two. Sums become
    float32 there, by one scale, and what is added to them is added in float32: only where points
    round to multiples of a sum's own step does a bias rounded to odd move nothing across.
    """

    def __init__(self, options: ExactOptions, *, scales_sums: bool = False) -> None:
        super().__init__(options)
        self.scales_sums = scales_sums
        self.float_shapes: dict[str, Shape] = {}
        self.scaled: list[str] = []  # layers whose sums are scaled in float32

    def product(self, x: str, w: str, *bias: str) -> str:
        layer, formats = self.member.node.layer, self.member.node.formats
        is_behind = any(isinstance(op, Product) for op in self.ops)
        made = codes_or_end(self.blobs[w], formats.weight, is_behind=is_behind)
        codes = self.narrowed(
            self._codes(x), self.options.word_length, "before its weights meet them"
        )
        weight, weight_frac = made.codes, made.frac_length
        up, down = (sums_per_output(layer, half(weight, 0)) for half in (np.maximum, np.minimum))
        low, high = min(codes.low, 0), max(codes.high, 0)
        ends = [up * low + down * high, up * high + down * low]
        bound = int((up - down).max(initial=0)) * codes.bound
        frac = codes.frac_length + weight_frac
        if bits_of(-bound, bound) > MOST_BITS:
            raise FieldError(
                "accumulator bits", bits_of(-bound, bound), f"{MOST_BITS} or less",
                "give the layer's bottom or its weights a shorter word",
            )  # fmt: skip
        accumulator = formats.accumulator or self.options.accumulator
        shift = accumulator.shift_from(frac) if accumulator else 0
        per_product = accumulator is not None and accumulator.per_product
        top = replace(
            codes,
            name=self.free("product"),
            shape=layer.top_shape(codes.shape),
            frac_length=frac,
            divisor=codes.divisor * made.divisor,
            low=min(int(ends[0].min()), 0),
            high=max(int(ends[1].max()), 0),
        )
        if per_product:
            taps = prod(weight.shape)  # each product may lose a whole step
            top = replace(
                top,
                frac_length=frac - shift,
                low=(top.low >> shift) - taps,
                high=(top.high >> shift) + taps,
            )
        self._add(
            Product, [codes], [top],
            form=layer, codes=weight, weight_frac_length=weight_frac, bound=bound,
            shift=shift if per_product else 0,
            rounding=accumulator.rounding if accumulator else "floor",
        )  # fmt: skip
        shifts = bias_per_output(layer, self.blobs[bias[0]], codes.shape) if bias else np.zeros(())
        left = 0 if per_product else shift
        if self.scales_sums:
            if accumulator is not None:
                top = self._accumulated(top, accumulator, left, np.zeros(()))
            return self.name(self._scaled_sums(top, made, shifts, codes.shape))
        if accumulator is None:
            return self.name(Pending(self.member.spec.name, top, None, shifts))
        return self.name(self._accumulated(top, accumulator, left, shifts))

    def affine(self, x: str, scale: Any, shift: Any = 0.0) -> str:
        if not self.scales_sums or not np.any(shift):
            return super().affine(x, scale, shift)
        v = self.to_floats(self._codes(x))
        a, b = (np.asarray(value, np.float64).astype(np.float32) for value in (scale, shift))
        names = (v.name,), (self.free("affine"),)
        op = FloatAffine(self.member.spec.name, *names, multiplier=a, addend=b)
        shape = np.broadcast_shapes(v.shape, a.shape, b.shape)
        return self.name(self.add_floats(op, [shape], v.reason)[0])

    # -- float32 -----------------------------------------------------------------------------

    def add_floats(
        self, op: Op, shapes: Sequence[Shape], reason: str = "", differs: str = ""
    ) -> list[FloatValue]:
        """An operation whose tops are float32; `reason` and `differs` as FloatValue has them."""
        self.ops.append(op)
        pairs = zip(op.outputs, shapes, strict=True)
        tops = [FloatValue(name, tuple(shape), reason, differs) for name, shape in pairs]
        self.float_shapes.update((top.name, top.shape) for top in tops)
        return tops

    def to_floats(self, codes: Value) -> FloatValue:
        """The values of codes."""
        op = Dequantize(self.member.spec.name, (codes.name,), (self.free("float"),), value=codes)
        return self.add_floats(op, [codes.shape], "behind codes")[0]

    def _scaled_sums(self, v: Value, weight: WeightCodes, bias: Real, bottom: Shape) -> FloatValue:
        layer = self.member.spec.name
        own = np.ones((), np.float32) if weight.scale is None else weight.scale
        per_output = own if not own.ndim else bias_per_output(self.member.node.layer, own, bottom)
        scale = np.asarray(per_output.astype(np.float64) * v.scale, np.float32)
        names: tuple[tuple[str, ...], tuple[str, ...]] = (v.name,), (self.free("scaled"),)
        (top,) = self.add_floats(ScaleSums(layer, *names, scale=scale), [v.shape])
        self.scaled.append(layer)
        self.is_lossless = False
        if not bias.any():
            return top
        names = (top.name,), (self.free("biased"),)
        shift = bias.astype(np.float32)
        op = FloatAffine(layer, *names, multiplier=None, addend=shift)
        return self.add_floats(op, [v.shape])[0]

    # -- inner -------------------------------------------------------------------------------

    def _accumulated(self, v: Value, unit: Accumulator, shift: int, bias: Real) -> Value:
        frac = v.frac_length - shift
        addend = half_away(np.ldexp(bias * v.divisor, frac))
        half = 1 << (unit.word_length - 1)
        top = replace(v, name=self.free("accumulator"), frac_length=frac, low=-half, high=half - 1)
        self.is_lossless = False
        return self._add(
            Accumulate, [v], [top],
            shift=shift, rounding=unit.rounding, addend=addend,
            word_length=unit.word_length, overflow=unit.overflow,
        )  # fmt: skip
