"""Integer arithmetic without rounding error: int64 codes, products in float64 below 2^53.

A value is an integer code and a binary point. Between two quantization points nothing is rounded:
a product of codes with f and g fractional bits has f + g, sums keep theirs. Rounding is division of
integers, `round_divide`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.errors import FieldError
from adaption.later import Tensor, torch

__all__ = [
    "FLOAT64_BITS",
    "MOST_BITS",
    "as_codes",
    "bits_of",
    "exact_product",
    "grid_of",
    "integer_type",
    "interpolated",
    "node_places",
    "overflowed",
    "round_divide",
    "round_to_odd",
    "short_codes",
    "window_sums",
]

MOST_BITS = 61  # of a code, sign aside, that `round_divide` may double in int64
FLOAT64_BITS = 53  # float64 holds every integer up to 2^53

_EXACT = ("floor", "half_away", "half_even")

Codes = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.signedinteger[Any]]
_PIECE = 1 << 20


def bits_of(low: int, high: int) -> int:
    """Least word length, sign bit included, of a two's complement word that holds low..high."""
    return 1 + max(high.bit_length(), (~low if low < 0 else low).bit_length())


def integer_type(word_length: int) -> type[np.signedinteger[Any]]:
    """The shortest of int8, int16, int32, int64 that holds such a word."""
    for kind in (np.int8, np.int16, np.int32):
        if word_length <= np.iinfo(kind).bits:
            return kind
    return np.int64


def round_divide(x: Tensor, divisor: int, rounding: str) -> Tensor:
    """`x / divisor` rounded to an integer, exactly; int64, |x| below 2^61, divisor 1 or more.

    Args:
        rounding: "half_away", "half_even" or "floor", as in numerics.rounding.
    Raises: FieldError on any other rounding: it has no exact form.
    """
    if divisor > 1 and not divisor & (divisor - 1) and rounding in _EXACT:
        return _divide_by_power(x, divisor.bit_length() - 1, rounding)
    if rounding == "floor":
        return torch.div(x, divisor, rounding_mode="floor")
    if rounding == "half_away":
        if divisor == 1:
            return x
        doubled = x.abs().mul_(2).add_(divisor)
        return torch.div(doubled, 2 * divisor, rounding_mode="floor").mul_(x.sign())
    if rounding == "half_even":
        low = torch.div(x, divisor, rounding_mode="floor")
        rest = (x - low * divisor).mul_(2)
        up = (rest > divisor) | ((rest == divisor) & (low % 2 == 1))
        return low + up.to(low.dtype)
    raise FieldError("rounding", rounding, "half_away, half_even, floor in exact arithmetic")


def _divide_by_power(x: Tensor, bits: int, rounding: str) -> Tensor:
    """`round_divide` by 2^bits, bits above 0: the processor divides int64 one by one, and shifts
    several at once."""
    if rounding == "floor":
        return torch.bitwise_right_shift(x, bits)
    half = 1 << (bits - 1)
    if rounding == "half_away":
        return x.abs().add_(half).bitwise_right_shift_(bits).mul_(x.sign())
    # One less than half, and one more where the floor is odd: half itself carries only then.
    is_odd = torch.bitwise_right_shift(x, bits).bitwise_and_(1)
    return is_odd.add_(x).add_(half - 1).bitwise_right_shift_(bits)


def round_to_odd(x: npt.NDArray[np.float64]) -> Codes:
    """Codes on a grid of half steps: 2x where x is an integer, else the odd one beside 2x.

    Whatever integer or half integer x lies between, the code lies between, too. So a sum of
    integers and x compares with every such threshold as its code does, and rounds to the same.
    """
    low = np.floor(x)
    return np.asarray(2 * low.astype(np.int64) + (x != low), np.int64)


def grid_of(values: npt.NDArray[np.float64], most: int = 1100) -> int:
    """Least f for which all values are multiples of 2^-f; may be negative, 0 for zeros.

    Returns `most` + 1 where more than `most` fractional bits are needed.
    """
    live = values[values != 0]
    if not live.size:
        return 0
    mantissa, exponent = np.frexp(live)
    odd = (mantissa * 2.0**53).astype(np.int64)
    zeros = np.log2((odd & -odd).astype(np.float64)).astype(np.int64)
    return min(int((53 - exponent - zeros).max()), most + 1)


def exact_product(
    compute: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, bound: int
) -> Tensor:
    """A convolution or matrix product of codes, as int64, without rounding error.

    float64 sums of integers are exact in any order while no partial sum exceeds 2^53. Wider sums
    are computed from the two halves of x.

    Args:
        compute: bilinear; works on float64 tensors.
        x: int64 codes; w: float64 codes.
        bound: no sum, and no part of one, is greater in magnitude.
    """
    if bound <= 1 << FLOAT64_BITS:
        return compute(x.double(), w).to(torch.int64)
    assert bound < 1 << 63, "the caller checks the bound"
    high = torch.div(x, 1 << 16, rounding_mode="floor")
    low = x - high * (1 << 16)
    return compute(high.double(), w).to(torch.int64) * (1 << 16) + compute(low.double(), w).to(
        torch.int64
    )


def overflowed(x: Tensor, word_length: int, overflow: str) -> Tensor:
    """`x` in a two's complement word: "saturate" at its ends, or "wrap" around modulo 2^w."""
    half = 1 << (word_length - 1)
    if overflow == "saturate":
        return x.clamp(-half, half - 1)
    return torch.remainder(x + half, 2 * half) - half


def window_sums(x: Tensor, axis: int, size: int) -> Tensor:
    """Sums over a window of odd `size` around each place of an axis, zeros outside."""
    shape = list(x.shape)
    shape[axis] = size // 2
    border = x.new_zeros(shape)
    wide = torch.cat([border, x, border], axis)
    return wide.unfold(axis, size, 1).sum(-1)


def node_places(greatest: int, segment_bits: int) -> Codes:
    """Where the nodes of `interpolated` lie, for x in 0..greatest: all integers of up to
    segment_bits + 1 bits, and from there 2^segment_bits between a power of two and the next; one
    lies beyond `greatest`."""
    half = 1 << segment_bits
    octaves = max(0, greatest.bit_length() - segment_bits - 1)
    places = [np.arange(2 * half), *(np.arange(half, 2 * half) << e for e in range(1, octaves + 1))]
    end = np.array([2 * half << octaves])
    whole = np.concatenate([*places, end]).astype(np.int64)
    return whole[: int(np.searchsorted(whole, greatest, side="right")) + 1]


def interpolated(x: Tensor, nodes: Tensor, segment_bits: int) -> Tensor:
    """A falling function of integers x >= 0, by chords between its values at `node_places`.

    With P = segment_bits: e = max(0, bit length of x - P - 1), m = floor(x / 2^e), r = x - m 2^e,
    i = e 2^P + m; the result is nodes[i] - floor((nodes[i] - nodes[i + 1]) r / 2^e). The caller
    has checked that the product stays below 2^63.
    """
    leading, shift = x, torch.zeros_like(x)
    for step in (32, 16, 8, 4, 2, 1):
        large = leading >= 1 << (segment_bits + step)
        shift = shift + large * step
        leading = torch.where(large, leading >> step, leading)
    index = (shift << segment_bits) + leading
    left = nodes[index]
    fall = (left - nodes[index + 1]) * (x - (leading << shift))
    return left - (fall >> shift)


def short_codes(values: npt.NDArray[np.float32], factor: int, frac_length: int) -> Shorts:
    """`as_codes` of a weight's values times `factor`, where float32 holds them rounded once, in the
    shortest of int16, int32 and int64 in which no code is the least; any shape.

    The weights of one layer can be a hundred million, so no more than a piece is wide at a time.
    """
    greatest = max(abs(float(end)) for end in (values.min(initial=0), values.max(initial=0)))
    peak = float(np.ldexp(greatest * factor, frac_length)) + 1
    kinds = (kind for kind in (np.int16, np.int32) if peak <= np.iinfo(kind).max)
    flat, made = values.reshape(-1), np.empty(values.size, next(kinds, np.int64))
    for start in range(0, flat.size, _PIECE):
        wide = flat[start : start + _PIECE].astype(np.float64)
        if factor != 1:
            codes = as_codes(np.rint(np.ldexp(wide * factor, frac_length)), 0)
        else:
            codes = as_codes(wide, frac_length)
        made[start : start + _PIECE] = codes
    return np.asarray(made.reshape(values.shape))


def as_codes(values: Any, frac_length: int) -> Codes:
    """Integer codes of values that lie on the grid 2^-frac_length."""
    codes = np.ldexp(np.asarray(values, np.float64), frac_length)
    whole = np.rint(codes)
    assert (whole == codes).all(), "the values are on the grid"
    return np.asarray(whole, np.int64)
