"""C types of codes and of float32, and C literals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = [
    "FLOAT",
    "INT32",
    "INT64",
    "STORED",
    "CType",
    "computed_in",
    "float_literal",
    "literal",
    "stored_in",
]


@dataclass(frozen=True)
class CType:
    """One type: `short` names it in functions and members, `size` is in bytes."""

    name: str
    short: str
    size: int
    low: int = 0
    high: int = 0

    def holds(self, low: int, high: int) -> bool:
        return self.low <= low and high <= self.high


def _integer(bits: int, *, is_signed: bool) -> CType:
    name = f"int{bits}_t" if is_signed else f"uint{bits}_t"
    short = f"{'i' if is_signed else 'u'}{bits}"
    low = -(1 << bits - 1) if is_signed else 0
    return CType(name, short, bits // 8, low, (1 << bits - is_signed) - 1)


INT32, INT64 = _integer(32, is_signed=True), _integer(64, is_signed=True)
FLOAT = CType("float", "f32", 4)
STORED = (
    _integer(8, is_signed=True),
    _integer(8, is_signed=False),
    _integer(16, is_signed=True),
    _integer(16, is_signed=False),
    INT32,
    INT64,
)
"""Types of codes in memory, the one to prefer first."""


def stored_in(low: int, high: int) -> CType:
    """The shortest type in memory for codes low..high."""
    return next(kind for kind in STORED if kind.holds(low, high))


def computed_in(*codes: int) -> CType:
    """int32_t where it holds all of these codes, else int64_t."""
    return INT32 if INT32.holds(min(codes), max(codes)) else INT64


def float_literal(value: float) -> str:
    """The float32 nearest to a number, as a constant without a rounding of its own."""
    number = float(np.float32(value))
    assert math.isfinite(number), "C99 has no literal of infinity"
    return f"{number.hex()}f"


def literal(code: int, kind: CType = INT32) -> str:
    """An integer constant of a type no longer than `kind`."""
    if kind is not INT64:
        # The number behind a minus sign is a constant of its own, which 32 bits may not hold.
        return f"(-{INT32.high} - 1)" if code == INT32.low else str(code)
    return f"(-INT64_C({INT64.high}) - 1)" if code == INT64.low else f"INT64_C({code})"
