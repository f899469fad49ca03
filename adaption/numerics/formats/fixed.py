"""FIXED: fixed point Qm.f, ADaPTION's format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.numerics.blocks import (
    can_round,
    round_half_away_,
    round_half_even_,
    round_stochastic_,
)
from adaption.numerics.formats.base import NumberFields, check_common, format_kind
from adaption.numerics.rounding import ROUNDINGS, steps_half_away

__all__ = ["FixedPoint"]


@format_kind("FIXED")
@dataclass(frozen=True, slots=True)
class FixedPoint(NumberFields):
    """Fixed point Qm.f; m counts the sign bit, so word_length = m + f (ADaPTION: bd = m, ad = f).

    Source: ADaPTION caffe_cpu_round_fp: clamp(round(x 2^f) / 2^f, -M, M), M = 2^(m-1) - 2^-f.
    `range` "symmetric" leaves out the most negative two's complement code, as the original does.
    """

    word_length: int  # bits, sign included
    frac_length: int  # bits right of the point; below 0 or above word_length is allowed
    rounding: str = "half_away"
    is_signed: bool = True
    range: str = "symmetric"
    mask_saturated: bool = False  # no gradient where a value was beyond min_value..max_value
    divisor: int = 1  # odd; the grid is codes 2^-f / divisor, see Wrpn

    hidden: ClassVar[tuple[str, ...]] = ("divisor",)
    stated: ClassVar[tuple[str, ...]] = ("word_length", "rounding", "is_signed", "range")

    def __post_init__(self) -> None:
        if not 1 <= self.word_length <= 64:
            raise FieldError("word_length", self.word_length, "1..64")
        if not -127 <= self.frac_length <= 126:
            raise FieldError("frac_length", self.frac_length, "-127..126")
        check_common(self.rounding, self.range)
        assert self.divisor > 0 and self.divisor % 2, "powers of two belong to frac_length"

    @classmethod
    def q(cls, text: str, rounding: str = "half_away", range: str = "symmetric") -> Self:
        """The format written as `text`, "Q2.14" or "2.14": sign counted left of the point.

        "uQ2.14" has no sign bit.
        """
        found = re.fullmatch(r"(u?)[Qq]?(-?\d{1,6})\.(-?\d{1,6})", text.strip(), re.ASCII)
        if found is None:
            allowed = 'two integers such as "Q2.14" (the sign bit counts in m)'
            raise FieldError("Qm.f", text, allowed, _written(text))
        m, f = int(found[2]), int(found[3])
        return cls(m + f, f, rounding, not found[1], range)

    @classmethod
    def from_fields(cls, kind: str, values: Mapping[str, Any]) -> Self:
        return super(FixedPoint, cls).from_fields(kind, {"frac_length": 0, **values})

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        return cls.q(text) if re.match(r"u?Q", text) else None

    @property
    def int_length(self) -> int:
        """m of Qm.f: bits left of the point, sign included; ADaPTION's bd."""
        return self.word_length - self.frac_length

    @property
    def lsb(self) -> float:
        """Step of the grid, 2^-f (over the divisor, where there is one)."""
        return 2.0**-self.frac_length / self.divisor

    @property
    def is_binary(self) -> bool:
        """Whether it is plain fixed point, whose step is a power of two, as devices and ONNX scales
        of ours need it."""
        return self.divisor == 1

    @property
    def scale_text(self) -> str:
        return f"2^{-self.frac_length}"

    @property
    def max_code(self) -> int:
        return (1 << (self.word_length - self.is_signed)) - 1

    @property
    def min_code(self) -> int:
        if not self.is_signed:
            return 0
        return -self.max_code - (self.range == "full")

    @property
    def max_value(self) -> float:
        """Greatest value; ADaPTION's MAXVAL when signed."""
        return self.max_code * self.lsb

    @property
    def min_value(self) -> float:
        return self.min_code * self.lsb

    @property
    def is_random(self) -> bool:
        return self.rounding == "stochastic"

    @property
    def follows_tensor(self) -> bool:
        return False

    def at(self, x: Tensor) -> FixedPoint:
        """Itself: the grid is a constant."""
        return self

    def inside(self, x: Tensor) -> Tensor:
        """Bool, where min_value <= x <= max_value."""
        return (x >= self.min_value) & (x <= self.max_value)

    def codes(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The integers that stand for `x`, as a tensor of x's dtype; NaN stays NaN.

        float32 holds every code up to 24 bits. A wider word of float32 data saturates at the
        float32 nearest to its greatest code, as in the original: Q16.16 at 32768.0.
        """
        step = 2.0**-self.frac_length
        if can_round(x, self.frac_length, self.rounding) and self.divisor == 1:
            return self.quantize(x, generator).mul_(1 / step)
        if self.rounding == "half_away" and abs(self.frac_length) <= 64 and self.divisor == 1:
            return steps_half_away(x, step).clamp_(float(self.min_code), float(self.max_code))
        # Clamping first gives the same result (the bounds are integers) and keeps infinities out
        # of the rounding.
        scaled = (x * (self.divisor / step)).clamp_(float(self.min_code), float(self.max_code))
        return ROUNDINGS[self.rounding](scaled, generator)

    def quantize(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """`x` on the grid: rounded, then saturated. Same shape and dtype, no gradient."""
        return self.quantize_(x.detach().clone(), generator)

    def quantize_(
        self, x: Tensor, generator: torch.Generator | None = None, *, then_relu: bool = False
    ) -> Tensor:
        """As `quantize`, in x's own memory; returns `x`. With `then_relu`, ReLU of that."""
        memory, step = x.detach(), 2.0**-self.frac_length
        ends = float(self.min_code), float(self.max_code)  # int64 does not hold 2^64 - 1
        if not can_round(x, self.frac_length, self.rounding):
            memory.copy_(self.codes(memory, generator).mul_(step).div_(self.divisor))
        elif self.rounding != "stochastic":
            in_place = round_half_away_ if self.rounding == "half_away" else round_half_even_
            in_place(memory, step, *ends, then_relu=then_relu, divisor=self.divisor)
            return x
        else:
            round_stochastic_(memory, step, *ends, generator, divisor=self.divisor)
        if then_relu:
            memory.relu_()
        return x

    def __str__(self) -> str:
        sign = "" if self.is_signed else "u"
        return f"{sign}Q{self.int_length}.{self.frac_length}"


def _written(text: str) -> str:
    """How a format is written that a text may stand for."""
    numbers = re.findall(r"(?<!\d)-?\d{1,6}", text, re.ASCII)  # the dash of 2-14 is no sign
    if len(numbers) == 2:
        unsigned = "u" if text.strip().startswith("u") else ""
        return f"did you mean {unsigned}Q{'.'.join(numbers)}?"
    return "write m and f with a point between: 16 bits may be Q2.14, Q9.7, ..."
