"""Measures of what quantization does to a tensor. Shares are fractions 0..1."""

from __future__ import annotations

import math

from adaption.errors import ShapeError
from adaption.later import Tensor, torch
from adaption.numerics.formats import FixedPoint

__all__ = [
    "NO_SIGNAL_DB",
    "divergence",
    "saturated_share",
    "sqnr_db",
    "stated_db",
    "zero_share",
]

NO_SIGNAL_DB = -200.0  # stated where noise stands against no signal, or a value is NaN


def sqnr_db(reference: Tensor, quantized: Tensor) -> float:
    """Signal-to-quantization-noise ratio.

    Args:
        reference: float values, any shape.
        quantized: same shape, values on a format's grid.
    Returns: 10 log10(sum(reference²) / sum((reference - quantized)²)) in dB; inf when equal,
        -inf when the reference is all zero and the quantized values are not, or when they are
        infinite; nan when a value is nan.
    Raises: ShapeError when the two shapes differ.
    """
    if reference.shape != quantized.shape:
        raise ShapeError(f"shapes differ: {tuple(reference.shape)} and {tuple(quantized.shape)}")
    wide = reference.double()
    noise = float((wide - quantized.double()).square().sum())
    if noise == 0.0:
        return math.inf
    signal = float(wide.square().sum())
    ratio = signal / noise
    return 10.0 * math.log10(ratio) if ratio != 0.0 else -math.inf


def stated_db(sqnr_db: float) -> float | None:
    """An SQNR as files state it: None where nothing is lost, and a number in every other case."""
    if sqnr_db == math.inf:
        return None
    return sqnr_db if sqnr_db > NO_SIGNAL_DB else NO_SIGNAL_DB  # NaN is not greater


def saturated_share(x: Tensor, fmt: FixedPoint) -> float:
    """Share of the values that lie outside the format's range, min_value..max_value."""
    outside = (x > fmt.max_value) | (x < fmt.min_value)
    return float(torch.count_nonzero(outside)) / max(1, x.numel())


def zero_share(x: Tensor) -> float:
    """Share of exact zeros; 0 of nothing."""
    return float(x.numel() - torch.count_nonzero(x)) / max(1, x.numel())


def divergence(
    scores: Tensor, wanted: Tensor, temperature: float, axis: int
) -> tuple[Tensor, Tensor]:
    """How far class scores are from a teacher's: T^2 KL(softmax(t / T) || softmax(s / T)).

    Args:
        scores, wanted: s and t, of one shape, before any Softmax.
        temperature: T, above 0; the greater, the more the scores of wrong classes count.
        axis: of the classes.
    Returns: the divergence at each place, of the shape without `axis`; and the gradient of their
        sum by the scores.
    """
    own = torch.log_softmax(scores / temperature, axis)
    want = torch.log_softmax(wanted / temperature, axis)
    apart = (want.exp() * (want - own)).sum(axis)
    return temperature * temperature * apart, temperature * (own.exp() - want.exp())
