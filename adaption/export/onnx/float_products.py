"""Convolutions and deconvolutions of integer codes by float32 kernels, cut so that no sum rounds.

float32 adds integers exactly up to 2^24. Words are cut into digits, balanced around 0: weights of
more than 8 bits into digits to the base 256, bottoms to the base 2^p, p as great as the sums of the
weights' magnitudes allow. onnxruntime's float32 kernels take less than half the time of the one for
ConvInteger, with AVX2 as with AVX-512 VNNI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from adaption.exact.program import Product, Value
from adaption.exact.weights import sums_per_output
from adaption.export.onnx.grids import EXACT_FLOAT
from adaption.export.onnx.integer_codes import Codes
from adaption.numerics.exact import FLOAT64_BITS, bits_of, integer_type

__all__ = ["lower_by_floats"]

FLOAT, DOUBLE = int(TensorProto.FLOAT), int(TensorProto.DOUBLE)
MOST_CONVOLUTIONS = 2  # for each of ConvInteger

Weights = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Cut:
    """Digits of the weights, lowest first; how many of the bottom, of `base_bits` each."""

    weights: tuple[Weights, ...]
    digits: int
    base_bits: int


def lower_by_floats(
    c: Codes, op: Product, op_type: str, x: str, attributes: dict[str, Any]
) -> str | None:
    """The sums of a Conv or ConvTranspose; None where it takes too many."""
    cut = _cut(op, c.bottom(op).bound)
    if cut is None or op.bound >= 1 << (FLOAT64_BITS - 2):  # digits are added up in float64
        return None
    if cut.digits * len(cut.weights) > MOST_CONVOLUTIONS * _pairs_of_bytes(op, c.bottom(op)):
        return None
    weights = [
        c.op(FLOAT, "Cast", c.graph.constant(w.astype(integer_type(_bits(w)))), to=FLOAT)
        for w in cut.weights
    ]
    total = ""
    for i, digit in enumerate(_digits(c, c.cast(x, FLOAT), cut)):
        for j, weight in enumerate(weights):
            y = c.op(FLOAT, op_type, digit, weight, **attributes)
            if cut.digits * len(weights) == 1:
                return y
            y = c.cast(y, DOUBLE)
            if i + j:
                shift = 2.0 ** (i * cut.base_bits + 8 * j)
                y = c.op(DOUBLE, "Mul", y, c.constant(shift, DOUBLE))
            total = c.op(DOUBLE, "Add", total, y) if total else y
    return total


def _cut(op: Product, bound: int) -> _Cut | None:
    weights = _balanced(op.weight) if np.abs(op.weight).max(initial=0) >= 256 else (op.weight,)
    greatest = max(int(sums_per_output(op.form, np.abs(w)).max(initial=1)) for w in weights)
    base_bits = (EXACT_FLOAT // greatest).bit_length()  # a digit is 2^(base_bits - 1) at most
    if base_bits < 2:
        return None
    digits = 1
    while bound * greatest > EXACT_FLOAT:
        bound = (bound >> base_bits) + 1
        digits += 1
    return _Cut(weights, digits, base_bits)


def _balanced(weight: Weights) -> tuple[Weights, ...]:
    """Digits to the base 256, -128..127 but for the last."""
    low = (weight + 128) % 256 - 128
    high = (weight - low) // 256
    return (low, *(_balanced(high) if np.abs(high).max(initial=0) >= 256 else (high,)))


def _digits(c: Codes, x: str, cut: _Cut) -> list[str]:
    """Digits of the bottom, lowest first: what rounding to the next one leaves."""
    found = []
    base = 2.0**cut.base_bits
    for _ in range(cut.digits - 1):
        rest = c.op(FLOAT, "Mul", x, c.graph.constant(1 / base))
        rest = c.op(FLOAT, "Round", rest)
        whole = c.op(FLOAT, "Mul", rest, c.graph.constant(base))
        found.append(c.op(FLOAT, "Sub", x, whole))
        x = rest
    return [*found, x]


def _pairs_of_bytes(op: Product, bottom: Value) -> int:
    """How many products of bytes there would be instead."""
    return -(-bottom.bits // 8) * -(-_bits(op.weight) // 8)


def _bits(w: Weights) -> int:
    return bits_of(int(w.min(initial=0)), int(w.max(initial=0)))
