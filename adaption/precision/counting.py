"""Zeros, saturated values and sums of squares of a blob, block by block, each block while it lies
in the processor's cache.

Torch's own operators for them (`count_nonzero`, norms in float64, two comparisons and a sum) pass
over memory once each, at up to fifteen times the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from adaption.later import Tensor, np, npt, torch

__all__ = ["RoundingCounts", "count_rounding", "count_zeros"]

_BLOCK = 1 << 15  # values; with their float64 copy they fit into a core's cache
_ROW = 1 << 13  # values of one dot product: BLAS keeps to one thread, so the order is always one

Values: TypeAlias = "npt.NDArray[Any]"


@dataclass(frozen=True)
class RoundingCounts:
    """What rounding `x` to `y` does: counts of values, and sums of squares in float64."""

    saturated: int
    zeros_before: int
    zeros_after: int
    signal: float  # of x
    noise: float  # of x - y, as float32 has it


def count_zeros(x: Tensor) -> int:
    """How many values are zero, of either sign. Any shape."""
    if x.device.type != "cpu":
        return x.numel() - int(torch.count_nonzero(x))
    (flat,) = _flat(x)
    is_zero = np.empty(min(_BLOCK, flat.size), np.bool_)
    return sum(_zeros(block, is_zero) for (block,) in _blocks(flat))


def count_rounding(x: Tensor, y: Tensor, least: float, greatest: float) -> RoundingCounts:
    """Compare the values `x` with their rounded values `y`, whose format reaches from `least` to
    `greatest`; what lies beyond counts as saturated, NaN does not.

    Sums go over blocks of 32768 values as they lie in memory, whatever the number of threads.
    """
    if not x.numel():
        return RoundingCounts(0, 0, 0, 0.0, 0.0)
    before, after = _flat(x.cpu(), y.cpu())
    low, high = (float(value) for value in torch.aminmax(x.detach()))
    reaches_low, reaches_high = not low >= least, not high <= greatest  # NaN: count to find out
    size = min(_BLOCK, before.size)
    flags, gap = np.empty(size, np.bool_), np.empty(size, np.result_type(before, after))
    wide = np.empty(size, np.float64)
    saturated = zeros_before = zeros_after = 0
    signal = noise = 0.0
    for a, b in _blocks(before, after):
        n = len(a)
        if reaches_low:
            saturated += int(np.count_nonzero(np.less(a, least, out=flags[:n])))
        if reaches_high:
            saturated += int(np.count_nonzero(np.greater(a, greatest, out=flags[:n])))
        zeros_before += _zeros(a, flags)
        zeros_after += _zeros(b, flags)
        wide[:n] = a
        signal += _sum_of_squares(wide[:n])
        with np.errstate(invalid="ignore", over="ignore"):
            wide[:n] = np.subtract(a, b, out=gap[:n])
        noise += _sum_of_squares(wide[:n])
    return RoundingCounts(saturated, zeros_before, zeros_after, signal, noise)


def _flat(*tensors: Tensor) -> list[Values]:
    """All values of each as one axis, in the same order; without a copy where the memory of all
    is dense and alike (NCHW, NHWC)."""
    plain = [x.detach() for x in tensors]
    first = plain[0]
    if first.dim() == 4 and all(x.is_contiguous(memory_format=torch.channels_last) for x in plain):
        plain = [x.permute(0, 2, 3, 1) for x in plain]
    return [x.reshape(-1).numpy() for x in plain]


def _blocks(*arrays: Values) -> list[tuple[Values, ...]]:
    return [
        tuple(x[start : start + _BLOCK] for x in arrays)
        for start in range(0, arrays[0].size, _BLOCK)
    ]


def _zeros(block: Values, flags: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(np.equal(block, 0, out=flags[: len(block)])))


def _sum_of_squares(block: npt.NDArray[np.float64]) -> float:
    even = len(block) // _ROW * _ROW
    rows = block[:even].reshape(-1, 1, _ROW)
    rest = block[even:]
    return float((rows @ rows.transpose(0, 2, 1)).sum()) + float(rest @ rest)
