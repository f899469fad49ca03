"""Number formats: immutable values that know their own grid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from adaption.errors import FieldError
from adaption.numerics.blocks import (
    can_round,
    round_half_away_,
    round_half_even_,
    round_stochastic_,
)
from adaption.numerics.rounding import ROUNDINGS, steps_half_away

__all__ = ["FixedPoint", "Format"]

RANGES = ("symmetric", "full")


class Format(Protocol):
    """What every number format offers; one is applied at each quantization point."""

    @property
    def word_length(self) -> int: ...

    @property
    def is_random(self) -> bool:
        """True when two roundings of one value may differ."""
        ...

    def quantize(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The values of `x` on the grid; same shape and dtype, no gradient."""
        ...


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Fixed point Qm.f; m counts the sign bit, so word_length = m + f (ADaPTION: bd = m, ad = f).

    Source: ADaPTION caffe_cpu_round_fp: clamp(round(x 2^f) / 2^f, -M, M), M = 2^(m-1) - 2^-f.
    `range` "symmetric" leaves out the most negative two's complement code, as the original does.
    """

    word_length: int  # bits, sign included
    frac_length: int  # bits right of the point; below 0 or above word_length is allowed
    rounding: str = "half_away"
    is_signed: bool = True
    range: str = "symmetric"

    def __post_init__(self) -> None:
        if not 1 <= self.word_length <= 64:
            raise FieldError("word_length", self.word_length, "1..64")
        if not -126 <= self.frac_length <= 126:
            raise FieldError("frac_length", self.frac_length, "-126..126")
        if self.rounding not in ROUNDINGS:
            raise FieldError("rounding", self.rounding, ", ".join(ROUNDINGS))
        if self.range not in RANGES:
            raise FieldError("range", self.range, ", ".join(RANGES))

    @classmethod
    def q(cls, text: str, rounding: str = "half_away", range: str = "symmetric") -> Self:
        """The format written as `text`, "Q2.14" or "2.14": sign counted left of the point.

        "uQ2.14" has no sign bit.
        """
        found = re.fullmatch(r"(u?)[Qq]?(-?\d{1,6})\.(-?\d{1,6})", text.strip(), re.ASCII)
        if found is None:
            raise FieldError(
                "Qm.f", text, 'two integers such as "Q2.14" (the sign bit counts in m)'
            )
        m, f = int(found[2]), int(found[3])
        return cls(m + f, f, rounding, not found[1], range)

    @property
    def int_length(self) -> int:
        """m of Qm.f: bits left of the point, sign included; ADaPTION's bd."""
        return self.word_length - self.frac_length

    @property
    def lsb(self) -> float:
        """Step of the grid, 2^-f."""
        return 2.0**-self.frac_length

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

    def codes(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The integers that stand for `x`, as a tensor of x's dtype; NaN stays NaN.

        float32 holds every code up to 24 bits. A wider word of float32 data saturates at the
        float32 nearest to its greatest code, as in the original: Q16.16 at 32768.0.
        """
        if can_round(x, self.frac_length, self.rounding):
            return self.quantize(x, generator).mul_(1 / self.lsb)
        if self.rounding == "half_away" and abs(self.frac_length) <= 64:
            return steps_half_away(x, self.lsb).clamp_(self.min_code, self.max_code)
        # Clamping first gives the same result (the bounds are integers) and keeps infinities out
        # of the rounding.
        scaled = (x * 2.0**self.frac_length).clamp_(self.min_code, self.max_code)
        return ROUNDINGS[self.rounding](scaled, generator)

    def quantize(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """`x` on the grid: rounded, then saturated. Same shape and dtype, no gradient."""
        return self.quantize_(x.detach().clone(), generator)

    def quantize_(
        self, x: Tensor, generator: torch.Generator | None = None, *, then_relu: bool = False
    ) -> Tensor:
        """As `quantize`, in x's own memory; returns `x`. With `then_relu`, ReLU of that."""
        memory = x.detach()
        if not can_round(x, self.frac_length, self.rounding):
            memory.copy_(self.codes(memory, generator).mul_(self.lsb))
        elif self.rounding != "stochastic":
            in_place = round_half_away_ if self.rounding == "half_away" else round_half_even_
            in_place(memory, self.lsb, self.min_code, self.max_code, then_relu=then_relu)
            return x
        else:
            round_stochastic_(memory, self.lsb, self.min_code, self.max_code, generator)
        if then_relu:
            memory.relu_()
        return x

    def __str__(self) -> str:
        sign = "" if self.is_signed else "u"
        return f"{sign}Q{self.int_length}.{self.frac_length}"
