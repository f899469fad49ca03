"""The rules of per-tensor fixed point: from statistics of a float run to word lengths.

Ranges r and steps (LSBs) are powers of two, given by their logarithms to base 2. A tensor with
range r and step LSB has log2(r / LSB) + 1 bits; signed it holds [-r, r - LSB], unsigned
[0, 2 r - LSB]. Names of criteria are the paper's. Source: Sakr, Shanbhag (ICLR 2019); constants
from the authors' program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from adaption.errors import FieldError
from adaption.numerics import FixedPoint

__all__ = [
    "LEAST_SIGNED",
    "accumulator_bits",
    "accumulator_lsb_log2",
    "activation_grad_lsb_log2",
    "bits_of",
    "bound",
    "clipped_share",
    "gradient_range_log2",
    "lsb_bias",
    "offsets",
    "range_log2",
    "signed",
    "unsigned",
    "weight_grad_lsb_log2",
]

LEAST_SIGNED = 2  # bits: two's complement of one bit holds no positive value

FACTORS = {"weight_grad": 2, "activation_grad": 4}  # of the greatest sigma: criterion GC
LEGACY_FACTORS = {"weight_grad": 2, "activation_grad": 8}
LEGACY_SCALE = 10**0.5  # the authors' program divides sigma by sqrt(1 - 0.9)


def signed(bits: int, range_log2: int) -> FixedPoint:
    """Two's complement of [-r, r - LSB], ties away from zero."""
    return FixedPoint(bits, bits - 1 - range_log2, range="full")


def unsigned(bits: int, range_log2: int) -> FixedPoint:
    """[0, 2 r - LSB], ties away from zero; the leading bit counts r."""
    return FixedPoint(bits, bits - 1 - range_log2, is_signed=False, range="full")


def bits_of(range_log2: int, lsb_log2: int) -> int:
    """Bits of a tensor with this range and step."""
    return range_log2 - lsb_log2 + 1


def range_log2(least: float, greatest: float) -> tuple[int, bool]:
    """The range that holds values of least..greatest, and whether they need a sign.

    The last step before the range's end saturates, as the 2 of clip(x, 0, 2) does.
    """
    if least < 0:
        return _ceil_log2(max(-least, greatest)), True
    return _ceil_log2(greatest) - 1, False


def _ceil_log2(value: float) -> int:
    return math.ceil(math.log2(value)) if value > 0 else 0


def offsets(gains: Sequence[float], ranges_log2: Sequence[int] = ()) -> list[int]:
    """Bits of each tensor beyond the least one's, so that all add the same noise: criterion EFQN.

    Args:
        gains: noise gains E of all weights and activations. One of 0, of a tensor that no class
            score depends on, has the offset 0.
        ranges_log2: of each; all 1 where none are given.
    """
    scaled = [gain * 4.0**r for gain, r in zip(gains, ranges_log2 or [0] * len(gains), strict=True)]
    positive = [gain for gain in scaled if gain > 0]
    if not positive:
        return [0] * len(scaled)
    least = min(positive)
    return [math.floor(0.5 + 0.5 * math.log2(gain / least)) if gain > 0 else 0 for gain in scaled]


def bound(gains: Sequence[float], bits: Sequence[int], ranges_log2: Sequence[int] = ()) -> float:
    """The greatest share of mismatches that Chebyshev's inequality leaves; often far above 1.

    Args:
        gains: E with the /2 of their definition. bits: of each tensor.
    """
    ranges = ranges_log2 or [0] * len(gains)
    steps = (2.0 ** (r + 1 - b) for r, b in zip(ranges, bits, strict=True))
    return sum(gain * step * step / 12 for gain, step in zip(gains, steps, strict=True))


def gradient_range_log2(kind: str, sigma_max: float, *, legacy: bool = False) -> int:
    """Range of a gradient: few of its values are clipped, criterion GC.

    Args:
        kind: "weight_grad" or "activation_grad".
        sigma_max: greatest running standard deviation of the run.
        legacy: as the authors' program computes it, with more bits.
    Raises: FieldError when it is 0.
    """
    factor = (LEGACY_FACTORS if legacy else FACTORS)[kind]
    scale = LEGACY_SCALE if legacy else 1.0
    return math.ceil(math.log2(factor * scale * _positive("sigma_max", sigma_max)))


def weight_grad_lsb_log2(sigma_min: float) -> int:
    """Step of a weight gradient: the first level above 0 is hardly biased, criterion RQB.

    Raises: FieldError when the least running standard deviation is 0.
    """
    return math.floor(math.log2(_positive("sigma_min", sigma_min) / 4))


def activation_grad_lsb_log2(weight_grad_lsb_log2: int, jacobian: float) -> int:
    """Step of an activation gradient: its noise in the weight gradient is no more than that one's
    own, criterion BQN.

    Args:
        jacobian: sum of the squared Jacobian of the weight gradient with respect to the activation
            gradient, over the number of weights; or its greatest singular value.
    """
    lsb = 2.0**weight_grad_lsb_log2
    return math.floor(math.log2(lsb / math.sqrt(_positive("jacobian", jacobian))))


def accumulator_lsb_log2(rate: float, weight_grad_lsb_log2: int) -> int:
    """Step of a weight accumulator: the least update is representable, criterion AS.

    Args:
        rate: the smallest learning rate that is used, with the weight's lr_mult.
    """
    return math.floor(math.log2(_positive("lr_min", rate) * 2.0**weight_grad_lsb_log2))


def accumulator_bits(weight_bits: int, rate: float, weight_grad_lsb_log2: int) -> int:
    """Bits of a weight accumulator, whose range is half a step of its weight, 2^-weight_bits."""
    bits = bits_of(-weight_bits, accumulator_lsb_log2(rate, weight_grad_lsb_log2))
    return max(bits, LEAST_SIGNED)


def clipped_share(ratio: float) -> float:
    """Share of a Gaussian's values beyond `ratio` times its standard deviation."""
    return math.erfc(ratio / math.sqrt(2))


def lsb_bias(ratio: float) -> float:
    """Relative bias of the first level above 0, for a Gaussian with standard deviation 1 and a step
    of `ratio`: |LSB - m| / m with m the mean of the values that are rounded to it."""
    low, high = ratio / 2, 3 * ratio / 2
    weight = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    moment = (math.exp(-low * low / 2) - math.exp(-high * high / 2)) / math.sqrt(2 * math.pi)
    mean = moment / weight
    return abs(ratio - mean) / mean


def _positive(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise FieldError(name, value, "a number above 0")
    return value
