"""Accumulator: the register in which a weight layer sums its products, where it has a limit."""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError

__all__ = ["Accumulator"]

OVERFLOWS = ("saturate", "wrap")
ROUNDINGS = ("half_away", "half_even", "floor")


@dataclass(frozen=True)
class Accumulator:
    """A two's complement accumulator of `word_length` bits.

    The exact sum of all products is formed, shifted to `frac_length`, the bias is added on that
    grid (rounded half away from zero), and the result saturates or wraps, once. Wrapping at every
    addition gives the same, in any order; saturating at every addition depends on the order and
    is not modelled.

    Args:
        frac_length: fractional bits kept; None: those of the products.
        rounding: of the shift; "floor" drops bits, as most hardware does.
        per_product: shift every product before it is added, instead of their sum.
    """

    word_length: int
    frac_length: int | None = None
    overflow: str = "saturate"
    rounding: str = "floor"
    per_product: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.word_length <= 62:
            raise FieldError("word_length", self.word_length, "2..62")
        if self.overflow not in OVERFLOWS:
            raise FieldError("overflow", self.overflow, ", ".join(OVERFLOWS))
        if self.rounding not in ROUNDINGS:
            raise FieldError("rounding", self.rounding, ", ".join(ROUNDINGS))
        if self.per_product and self.frac_length is None:
            raise FieldError("per_product", True, "false without a frac_length to shift to")

    def shift_from(self, frac_length: int) -> int:
        """Bits that products with `frac_length` fractional bits lose. Raises: FieldError."""
        if self.frac_length is None:
            return 0
        if self.frac_length > frac_length:
            raise FieldError(
                "accumulator.frac_length",
                self.frac_length,
                f"{frac_length} (the products') or less",
            )
        return frac_length - self.frac_length

    def __str__(self) -> str:
        f = "" if self.frac_length is None else f", {self.frac_length} fractional"
        where = " of every product" if self.per_product else ""
        shift = "" if self.frac_length is None else f", shift{where} {self.rounding}"
        return f"{self.word_length} bits{f}{shift}, {self.overflow}"
