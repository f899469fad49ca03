"""Share of weights that start in the zero level of their format: of a filler, or of values."""

from __future__ import annotations

import math
from math import prod
from typing import Any

from adaption.errors import AdaptionError
from adaption.later import np, npt, torch
from adaption.layers.base import Shape
from adaption.net.fillers import FILLERS, fan_of, fill
from adaption.numerics import Format, Wrpn
from adaption.numerics.arrays import quantize_array
from adaption.proto import caffe_pb2

__all__ = ["share_of_filler", "share_of_values"]

NEEDS_SHAPE = ("xavier", "msra", "tnvs", "positive_unitball", "bilinear")


def share_of_values(fmt: Format, values: npt.NDArray[np.float32]) -> float:
    """Share of values that the format rounds to 0."""
    rounded = quantize_array(fmt, np.array(values))
    return 1.0 - float(np.count_nonzero(rounded)) / max(1, values.size)


def share_of_filler(
    fmt: Format, filler: caffe_pb2.FillerParameter, shape: Shape | None
) -> float | None:
    """The same of what a filler draws, by its distribution.

    Args:
        shape: of the weight; None where it is not known.
    Returns: None where the filler needs a shape that is not known, or is no filler of ours.
    """
    if filler.type not in FILLERS or (shape is None and filler.type in NEEDS_SHAPE):
        return None
    if not isinstance(fmt, Wrpn):  # one bit: a sign has no zero level
        return 0.0
    half = fmt.lsb / 2  # a tie goes to the even code, 0
    if filler.type == "constant":
        return float(abs(filler.value) <= half)
    if filler.type == "uniform":
        return _uniform(filler.min, filler.max, half)
    if filler.type == "gaussian":
        share = _normal(filler.mean, filler.std, half)
        if filler.sparse < 0 or shape is None:
            return share if filler.sparse < 0 else None
        kept = min(1.0, filler.sparse / shape[0])
        return 1 - kept + kept * share
    assert shape is not None
    if filler.type not in ("xavier", "msra", "tnvs"):
        return _drawn(fmt, filler, shape)
    if filler.type == "xavier":
        scale = math.sqrt(3 / fan_of(shape, filler))
        return _uniform(-scale, scale, half)
    if filler.type == "msra":
        return _normal(0, math.sqrt(2 / fan_of(shape, filler)), half)
    deviation = math.sqrt(filler.variance_scale * shape[0] / prod(shape))
    return min(1.0, _normal(0, deviation, half) / math.erf(math.sqrt(1.5)))  # cut at sqrt(3)


def _uniform(low: float, high: float, half: float) -> float:
    if high <= low:
        return float(abs(low) <= half)
    return max(0.0, min(high, half) - max(low, -half)) / (high - low)


def _normal(mean: float, deviation: float, half: float) -> float:
    if deviation <= 0:
        return float(abs(mean) <= half)
    low, high = ((end - mean) / (deviation * math.sqrt(2)) for end in (-half, half))
    return (math.erf(high) - math.erf(low)) / 2


def _drawn(fmt: Format, filler: Any, shape: Shape) -> float | None:
    """Of fillers that make a pattern of the whole weight: the share in it."""
    blob = torch.zeros(shape)
    try:
        fill(blob, filler, torch.Generator().manual_seed(0))
    except AdaptionError:  # a shape that the filler refuses, as the net will
        return None
    return share_of_values(fmt, blob.numpy())
