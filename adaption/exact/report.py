"""ExactReport: what exact arithmetic found out about a net's accumulators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.table import columns

__all__ = ["AccumulatorRow", "ExactReport"]

FLOAT32_BITS = 25  # sign included: float32 sums of integers below 2^24 are exact


@dataclass(frozen=True)
class AccumulatorRow:
    """The accumulator of one weight layer: the sum of its products, without the bias.

    `bits`: word length, sign included, that no input can overflow. `measured_bits`: what the
    data that ran needed; None before a run. `overflows`: values that an accumulator of stated
    width could not hold.
    """

    layer: str
    frac_length: int
    bits: int
    measured_bits: int | None
    overflows: int = 0

    @property
    def is_float32_exact(self) -> bool:
        """Whether a float32 simulation sums without rounding error on any data."""
        return self.bits <= FLOAT32_BITS


@dataclass(frozen=True)
class ExactReport:
    """Accumulators of all weight layers in order; `notes` say where values had to be rounded that
    the simulation does not round, and `is_lossless` that there is no such place."""

    accumulators: tuple[AccumulatorRow, ...]
    is_lossless: bool
    notes: tuple[str, ...]

    def wider_than(self, bits: int, *, measured: bool = False) -> tuple[str, ...]:
        """Layers whose sums may leave (or, `measured`, have left) a word of so many bits."""
        return tuple(
            row.layer
            for row in self.accumulators
            if ((row.measured_bits or 0) if measured else row.bits) > bits
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "accumulators": [vars(row) for row in self.accumulators],
            "is_lossless": self.is_lossless,
            "wider_than_32_bits": list(self.wider_than(32)),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        rows = [("layer", "fraction", "bits, worst case", "bits, measured", "overflows")]
        rows += [
            (
                row.layer,
                str(row.frac_length),
                str(row.bits),
                "-" if row.measured_bits is None else str(row.measured_bits),
                str(row.overflows) if row.overflows else "",
            )
            for row in self.accumulators
        ]
        if not any(row.overflows for row in self.accumulators):
            lines = columns([row[:-1] for row in rows], 1)
        else:
            lines = columns(rows, 1)
        wide = self.wider_than(32)
        if wide:
            lines.append(f"may overflow 32 bits: {', '.join(wide)}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])
