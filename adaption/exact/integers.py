"""IntegerBuilder: integer operations and values of a growing program; what layers lower to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd, lcm, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.errors import FieldError
from adaption.exact.constants import bounds_of, half_away, multiplier
from adaption.exact.entries import Entry, FloatValue, Pending
from adaption.exact.options import ExactOptions
from adaption.exact.program import (
    Add,
    Apply,
    Clamp,
    MaxPool,
    Multiply,
    MultiplyAdd,
    Op,
    Round,
    Slope,
    Value,
    WindowSum,
)
from adaption.exact.selection import Member
from adaption.layers.base import Shape
from adaption.layers.pooling import Pooling
from adaption.numerics import FixedPoint
from adaption.numerics.exact import FLOAT64_BITS, MOST_BITS, bits_of, grid_of, round_to_odd

__all__ = ["IntegerBuilder"]

ZERO = np.zeros((), np.int64)
ALIGNED_BITS = 45  # of very wide values that are to be aligned with others


class IntegerBuilder:
    """Implements layers.base.IntegerLowering for the layer of `member`, one layer after another;
    products are ProductBuilder's, what is not linear FunctionBuilder's.

    `entries` are what the names handed to layers stand for. `is_lossless` and `notes` as in
    Program.
    """

    def __init__(self, options: ExactOptions) -> None:
        self.options = options
        self.ops: list[Op] = []
        self.values: dict[str, Value] = {}
        self.entries: dict[str, Entry] = {}
        self.notes: list[str] = []
        self.is_lossless = True
        self.member: Member
        self.blobs: dict[str, npt.NDArray[np.float32]] = {}
        self._resolved: dict[Pending, Value] = {}
        self._count = 0

    # -- layers.base.IntegerLowering ---------------------------------------------------------

    def shape(self, name: str) -> Shape:
        if name in self.blobs:
            return self.blobs[name].shape
        entry = self.entries[name]
        return entry.base.shape if isinstance(entry, Pending) else entry.shape

    def value(self, name: str) -> npt.NDArray[np.float32]:
        return self.blobs[name]

    def apply(self, *names: str) -> Any:
        layer = self.member.node.layer
        xs = self._aligned([self._codes(n) for n in names])
        low, high = min(x.low for x in xs), max(x.high for x in xs)
        shapes = layer.top_shapes(*(x.shape for x in xs))
        tops = [replace(xs[0], name=self.free(), shape=s, low=low, high=high) for s in shapes]
        self._add(Apply, xs, tops, form=layer)
        made = tuple(self.name(t) for t in tops)
        return made if len(made) > 1 else made[0]

    def affine(self, x: str, scale: Any, shift: Any = 0.0) -> str:
        entry = self.entries[x]
        layer = self.member.spec.name
        a, b = np.asarray(scale, np.float64), np.asarray(shift, np.float64)
        if isinstance(entry, Pending):
            a0 = np.ones(()) if entry.scale is None else entry.scale
            return self.name(Pending(layer, entry.base, a0 * a, entry.shift * a + b))
        return self.name(Pending(layer, self._codes(x), a, b))

    def slope(self, x: str, slopes: Any) -> str:
        v = self._codes(x)
        real = np.asarray(slopes, np.float64)
        v, room = self._room_for_factor(v)
        both = multiplier(np.concatenate([[1.0], real.ravel()]), room)
        self._say_multiplier(both.is_exact, room)
        positive, negative = int(both.codes[0]), both.codes[1:].reshape(real.shape)
        below = bounds_of(min(v.low, 0), 0, negative, ZERO)
        top = replace(
            v,
            name=self.free("slope"),
            frac_length=v.frac_length + both.frac_length,
            low=min(below[0], 0),
            high=max(v.high * positive, below[1]),
        )
        return self.name(self._add(Slope, [v], [top], positive=positive, negative=negative))

    def clip(self, x: str, low: float | None, high: float | None) -> str:
        v = self._codes(x)
        given = np.array([e for e in (low, high) if e is not None], np.float64) * v.divisor
        finer = 0  # 0 lies on every grid
        if given.any():
            finer = max(0, multiplier(given, FLOAT64_BITS).frac_length - v.frac_length)
        v = self._scaled(v, 1 << min(finer, max(0, MOST_BITS - v.bits)))
        least, most = (
            None
            if e is None
            else int(half_away(np.ldexp(np.float64(e) * v.divisor, v.frac_length)))
            for e in (low, high)
        )
        bounds = [_clamped(e, least, most) for e in (v.low, v.high)]
        top = replace(v, name=self.free("clamp"), low=bounds[0], high=bounds[1])
        return self.name(self._add(Clamp, [v], [top], low=least, high=most))

    def max_pool(self, x: str) -> str:
        layer = self.member.node.layer
        v = self.narrowed(self._codes(x), FLOAT64_BITS, "before pooling")
        top = replace(v, name=self.free("max"), shape=layer.top_shapes(v.shape)[0])
        return self.name(self._add(MaxPool, [v], [top], form=layer))

    def mean_pool(self, x: str, sizes: Any) -> str:
        layer = self.member.node.layer
        assert isinstance(layer, Pooling)
        v = self._codes(x)
        h, w = layer.windows(v.shape)
        taps = h.kernel * w.kernel
        v = self.narrowed(v, FLOAT64_BITS - taps.bit_length(), "before pooling")
        common = lcm(*(int(n) for n in np.unique(sizes)))
        total = replace(
            v,
            name=self.free("sum"),
            shape=layer.top_shapes(v.shape)[0],
            low=min(v.low, 0) * taps,
            high=max(v.high, 0) * taps,
        )
        self._add(WindowSum, [v], [total], form=layer)
        if (sizes != common).any():
            total = self._scaled(total, common // np.asarray(sizes, np.int64))
        twos = (common & -common).bit_length() - 1
        mean = replace(
            total, divisor=total.divisor * (common >> twos), frac_length=total.frac_length + twos
        )
        self.values[mean.name] = mean
        return self.name(mean)

    def add(self, *names: str) -> str:
        xs = self._aligned([self._codes(n) for n in names])
        low, high = sum(x.low for x in xs), sum(x.high for x in xs)
        top = replace(xs[0], name=self.free("sum"), low=low, high=high)
        return self.name(self._add(Add, xs, [top]))

    def multiply(self, *names: str) -> str:
        most = MOST_BITS // len(names)
        xs = [self.narrowed(self._codes(n), most, "before they are multiplied") for n in names]
        low, high = xs[0].low, xs[0].high
        for x in xs[1:]:
            ends = [a * b for a in (low, high) for b in (x.low, x.high)]
            low, high = min(ends), max(ends)
        top = replace(
            xs[0],
            name=self.free("product"),
            frac_length=sum(x.frac_length for x in xs),
            divisor=prod(x.divisor for x in xs),
            low=low,
            high=high,
        )
        return self.name(self._add(Multiply, xs, [top]))

    # -- for the walk over the net -----------------------------------------------------------

    def free(self, kind: str = "") -> str:
        """A name that no value has yet."""
        self._count += 1
        return f"{self.member.spec.name}/{kind or self.member.spec.type}:{self._count}"

    def name(self, entry: Entry) -> str:
        """A name that stands for `entry`, for handing to a layer."""
        if isinstance(entry, Value | FloatValue):
            handle = entry.name
        else:
            self._count += 1
            handle = f"pending:{self._count}"
        self.entries[handle] = entry
        return handle

    def resolved(self, entry: Value | Pending) -> Value:
        """The codes of an entry; what was pending is computed, once."""
        if isinstance(entry, Value):
            return entry
        if entry not in self._resolved:
            self._resolved[entry] = self._computed(entry)
        return self._resolved[entry]

    def resolved_for_output(self, entry: Value | Pending) -> Value:
        """The codes of an entry that no point rounds any more: a bias off the grid of its sum gets
        the fractional bits it needs, as far as there is room."""
        if isinstance(entry, Pending) and entry.scale is None and self.options.biases == "odd":
            v = entry.base
            finer = grid_of(entry.shift * v.divisor) - v.frac_length
            finer = min(finer, MOST_BITS - 1 - v.bits)
            if finer > 0 and entry not in self._resolved:
                fine = self._scaled(v, 1 << finer)
                self._resolved[entry] = self._computed(replace(entry, base=fine))
        return self.resolved(entry)

    def where_resolved(self, entry: Pending) -> Value | None:
        """The codes of a pending entry if anything computed them."""
        return self._resolved.get(entry)

    def rounded(self, v: Value, fmt: FixedPoint) -> Value:
        """The quantization point: codes of `fmt`."""
        fmt = self.options.at_point(fmt)
        shift = v.frac_length - fmt.frac_length
        common = gcd(v.divisor, fmt.divisor)
        factor = (fmt.divisor // common) << max(0, -shift)
        divisor = (v.divisor // common) << max(0, shift)
        if divisor.bit_length() > MOST_BITS:
            raise FieldError(
                "fractional bits to drop", shift, f"{MOST_BITS - v.divisor.bit_length()} or less",
                "give the layer's weights a format with fewer fractional bits",
            )  # fmt: skip
        if v.bits + factor.bit_length() > MOST_BITS:
            # What is beyond saturates anyway; kept apart, it cannot overflow int64.
            most = (max(fmt.max_code, -fmt.min_code) + 1) * divisor // factor + 1
            v = self._limited(v, most)
        low, high = fmt.min_code, fmt.max_code
        top = Value(self.free("code"), v.shape, fmt.frac_length, low, high, fmt.divisor)
        return self._add(
            Round, [v], [top],
            factor=factor, divisor=divisor, rounding=fmt.rounding, low=low, high=high,
        )  # fmt: skip

    def narrowed(self, v: Value, bits: int, why: str) -> Value:
        """`v`, rounded half away from zero to as many bits where it has more; says so."""
        if v.bits <= bits:
            return v
        divisor = v.divisor
        while bits_of(v.low // divisor, -(-v.high // divisor)) > bits:
            divisor *= 2
        shift = (divisor // v.divisor).bit_length() - 1
        low, high = v.low // divisor, -(-v.high // divisor)
        top = Value(self.free("narrow"), v.shape, v.frac_length - shift, low, high)
        self.is_lossless = False
        self.notes.append(
            f'layer "{self.member.spec.name}": codes of {v.bits} bits are rounded to {bits}'
            f" ({top.frac_length} fractional bits) {why}, since no format is stated there"
        )
        return self._add(
            Round, [v], [top],
            factor=1, divisor=divisor, rounding="half_away", low=None, high=None,
        )  # fmt: skip

    # -- inner -------------------------------------------------------------------------------

    def _codes(self, name: str) -> Value:
        entry = self.entries[name]
        assert isinstance(entry, Value | Pending), "the walk hands no floats to integer layers"
        return self.resolved(entry)

    def _add(
        self, kind: type[Op], xs: Sequence[Value], tops: Sequence[Value], **fields: Any
    ) -> Value:
        self.ops.append(
            kind(
                self.member.spec.name,
                tuple(x.name for x in xs),
                tuple(t.name for t in tops),
                **fields,
            )
        )
        self.values.update((t.name, t) for t in tops)
        return tops[0]

    def _computed(self, entry: Pending) -> Value:
        """One MultiplyAdd for a pending scale and shift."""
        v, scale, shift = entry.base, entry.scale, entry.shift
        room = 0
        if scale is not None:
            v, room = self._room_for_factor(v)
        while True:
            factor = multiplier(np.ones(()) if scale is None else scale, room or 1)
            frac = v.frac_length + factor.frac_length
            real = np.ldexp(shift * v.divisor, frac)
            is_on_grid = bool((real == np.floor(real)).all())
            by_odd = not is_on_grid and factor.is_exact and self.options.biases == "odd"
            codes = factor.codes * (1 + by_odd)
            peak = float(np.abs(real).max(initial=0.0))
            if peak < 2.0 ** (MOST_BITS - 1):
                addend = round_to_odd(real) if by_odd else half_away(real)
                low, high = bounds_of(v.low, v.high, codes, addend)
                if bits_of(low, high) <= MOST_BITS:
                    break
            if room <= 8:
                raise FieldError(
                    "bias", f"{float(np.abs(shift).max()):g}", "less, against weights this small"
                )
            room -= 1
        if scale is not None:
            self._say_multiplier(factor.is_exact, room)
        if not is_on_grid and not by_odd:
            self.is_lossless = False
            if scale is None:
                self._note("its bias is rounded to the grid of the products")
        if (codes == 1).all() and not addend.any():
            return v
        shape = np.broadcast_shapes(v.shape, codes.shape, addend.shape)
        top = replace(
            v, name=self.free("affine"), shape=shape, frac_length=frac + by_odd, low=low, high=high
        )
        return self._add(MultiplyAdd, [v], [top], multiplier=codes, addend=addend)

    def _aligned(self, xs: Sequence[Value]) -> list[Value]:
        """The values on one scale: the finest frac_length, the least common divisor; with room for
        their sum."""
        room = MOST_BITS - len(xs).bit_length()
        factors = _factors_to_align(xs)
        if any(x.bits + f.bit_length() - 1 > room for x, f in zip(xs, factors, strict=True)):
            xs = [self.narrowed(x, ALIGNED_BITS, "to be brought to one scale") for x in xs]
            factors = _factors_to_align(xs)
        if any(x.bits + f.bit_length() - 1 > room for x, f in zip(xs, factors, strict=True)):
            raise FieldError(
                "binary points",
                [x.frac_length for x in xs],
                f"closer together, so that {room} bits hold all values",
            )
        return [self._scaled(x, f) for x, f in zip(xs, factors, strict=True)]

    def _scaled(self, v: Value, factor: Any) -> Value:
        """The same value on a grid that is finer by `factor` (an integer, or one per element)."""
        codes = np.asarray(factor, np.int64)
        if (codes == 1).all():
            return v
        low, high = bounds_of(v.low, v.high, codes, ZERO)
        finest = int(codes.max())
        twos = (finest & -finest).bit_length() - 1
        top = replace(v, name=self.free("scale"), low=low, high=high)
        if codes.ndim == 0:
            top = replace(
                top, frac_length=v.frac_length + twos, divisor=v.divisor * (finest >> twos)
            )
        return self._add(MultiplyAdd, [v], [top], multiplier=codes, addend=ZERO)

    def _limited(self, v: Value, most: int) -> Value:
        if most >= v.bound:
            return v
        top = replace(v, name=self.free("clamp"), low=max(v.low, -most), high=min(v.high, most))
        return self._add(Clamp, [v], [top], low=-most, high=most)

    def _room_for_factor(self, v: Value) -> tuple[Value, int]:
        """`v`, and how many bits a factor may have; very wide values are rounded to make room."""
        v = self.narrowed(v, MOST_BITS - 20, "to leave room for a factor of 20 bits")
        return v, min(31, MOST_BITS - v.bits)

    def _say_multiplier(self, is_exact: bool, bits: int) -> None:
        if not is_exact:
            self.is_lossless = False
            self._note(f"its factors are rounded to {bits} bits")

    def _note(self, fact: str, member: Member | None = None) -> None:
        note = f'layer "{(member or self.member).spec.name}": {fact}'
        if note not in self.notes:
            self.notes.append(note)


def _factors_to_align(xs: Sequence[Value]) -> list[int]:
    frac = max(x.frac_length for x in xs)
    divisor = lcm(*(x.divisor for x in xs))
    return [(divisor // x.divisor) << (frac - x.frac_length) for x in xs]


def _clamped(x: int, low: int | None, high: int | None) -> int:
    x = x if low is None else max(x, low)
    return x if high is None else min(x, high)
