"""Zeros, saturated values and sums of squares of a blob, block by block, each block while it lies
in the processor's cache.

Torch's own operators for them (`count_nonzero`, norms in float64, two comparisons and a sum) pass
over memory once each, at up to fifteen times the cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from adaption.later import Tensor, np, npt, torch
from adaption.numerics import FixedPoint
from adaption.precision.in_threads import in_threads
from adaption.precision.sampling import SAMPLE, as_stored

__all__ = ["RoundingCounts", "count_patterns", "count_rounding", "count_zeros", "round_and_count_"]

_BLOCK = 1 << 15  # values whose squares are summed before they join the total
_ROW = 1 << 13  # values of one dot product: BLAS keeps to one thread, so the order is always one
# Values that are looked at in one go: fewer would cost more in calls, more leave the cache.
_PIECE = 4 * _BLOCK
_SHARE = 1 << 20  # values of a histogram that a thread takes at a time

Values: TypeAlias = "npt.NDArray[Any]"


@dataclass(frozen=True)
class RoundingCounts:
    """What rounding `x` to `y` does: counts of values, and sums of squares in float64."""

    saturated: int
    zeros_before: int
    zeros_after: int
    positive_after: int  # values of y above zero: what ReLU behind it leaves
    signal: float  # of x
    noise: float  # of x - y, as float32 has it


NOTHING = RoundingCounts(0, 0, 0, 0, 0.0, 0.0)


def count_zeros(x: Tensor) -> int:
    """How many values are zero, of either sign. Any shape."""
    if x.device.type != "cpu":
        return x.numel() - int(torch.count_nonzero(x))
    (flat,) = _flat(x)
    is_zero = np.empty(min(_PIECE, flat.size), np.bool_)
    return sum(_zeros(piece, is_zero) for (piece,) in _pieces(flat))


def count_patterns(values: Tensor, bits: int) -> npt.NDArray[np.int64]:
    """How often each pattern of the upper `bits` bits occurs among float32 values, (2^bits,).

    Args:
        values: one axis, contiguous. bits: 1..31.
    """
    size, shift = 1 << bits, 32 - bits
    if values.device.type != "cpu":
        found = values.view(torch.int32).bitwise_right_shift(shift).bitwise_and_(size - 1)
        return np.asarray(torch.bincount(found, minlength=size).cpu().numpy())
    patterns, starts = values.numpy().view(np.uint32), range(0, values.numel(), _SHARE)
    if len(patterns) <= SAMPLE:  # numpy takes a third of the time
        return np.bincount(patterns >> shift, minlength=size)

    def count(part: int, parts: int) -> npt.NDArray[np.int64]:
        held = np.empty(min(_SHARE, len(patterns)), np.uint32)
        made = np.zeros(size, np.int64)
        for start in starts[part::parts]:
            piece = patterns[start : start + _SHARE]
            found = np.right_shift(piece, shift, out=held[: len(piece)]).view(np.int32)
            made += torch.bincount(torch.from_numpy(found), minlength=size).numpy()
        return made

    return np.asarray(np.sum(in_threads(count, len(starts)), axis=0))


def count_rounding(x: Tensor, y: Tensor, least: float, greatest: float) -> RoundingCounts:
    """Compare the values `x` with their rounded values `y`, whose format reaches from `least` to
    `greatest`; what lies beyond counts as saturated, NaN does not.

    Sums go over blocks of 32768 values as they lie in memory, whatever the number of threads.
    """
    if not x.numel():
        return NOTHING
    before, after = _flat(x.cpu(), y.cpu())
    counter = _Counter(before, after, least, greatest)
    for a, b in _pieces(before, after):
        counter.add(a, b)
    return counter.counts()


def round_and_count_(
    x: Tensor, fmt: FixedPoint, generator: torch.Generator | None = None
) -> RoundingCounts:
    """Round `x`, of any shape, in its own memory, and compare it with what it was: the bits of
    `fmt.quantize_` and the counts of `count_rounding`, in one pass over memory."""
    flat = _dense(x)
    if fmt.is_random or flat is None or x.device.type != "cpu" or not x.numel():
        kept = x.clone()  # a draw depends on the place in the tensor
        fmt.quantize_(x, generator)
        return count_rounding(kept, x, fmt.min_value, fmt.max_value)
    kept = flat.new_empty(min(_PIECE, flat.numel()))
    before, after = kept.numpy(), flat.numpy()
    counter = _Counter(before, after, fmt.min_value, fmt.max_value)
    for start in range(0, flat.numel(), _PIECE):
        piece = flat[start : start + _PIECE]
        kept[: len(piece)].copy_(piece)
        fmt.quantize_(piece)
        counter.add(before[: len(piece)], after[start : start + _PIECE])
    return counter.counts()


class _Counter:
    """Adds up what rounding does, `_PIECE` values or fewer at a time."""

    def __init__(self, before: Values, after: Values, least: float, greatest: float) -> None:
        size = min(_PIECE, before.size)
        self.least, self.greatest = least, greatest
        self._counts = [0, 0, 0, 0]
        self.signal = self.noise = 0.0
        self._flags = np.empty(size, np.bool_)
        self._gap = np.empty(size, np.result_type(before, after))
        self._wide = np.empty(size, np.float64)

    def add(self, a: Values, b: Values) -> None:
        """Take in some values and their rounded values."""
        n = len(a)
        flags, gap, wide = self._flags[:n], self._gap[:n], self._wide[:n]
        counts = self._counts
        if not a.min() >= self.least:  # NaN: count to find out
            counts[0] += int(np.count_nonzero(np.less(a, self.least, out=flags)))
        if not a.max() <= self.greatest:
            counts[0] += int(np.count_nonzero(np.greater(a, self.greatest, out=flags)))
        counts[1] += _zeros(a, flags)
        counts[2] += _zeros(b, flags)
        counts[3] += int(np.count_nonzero(np.greater(b, 0, out=flags)))
        wide[:] = a
        self.signal = _plus_squares(self.signal, wide)
        with np.errstate(invalid="ignore", over="ignore"):
            wide[:] = np.subtract(a, b, out=gap)
        self.noise = _plus_squares(self.noise, wide)

    def counts(self) -> RoundingCounts:
        """What was counted so far."""
        saturated, zeros_before, zeros_after, positive_after = self._counts
        return RoundingCounts(
            saturated, zeros_before, zeros_after, positive_after, self.signal, self.noise
        )


def _dense(x: Tensor) -> Tensor | None:
    """All values of `x` as one axis in its own memory; None where they do not lie side by side in
    an order that is known here (NCHW, NHWC)."""
    (x,) = as_stored(x)
    return x.reshape(-1) if x.is_contiguous() else None


def _flat(*tensors: Tensor) -> list[Values]:
    """All values of each as one axis, in the same order; without a copy where the memory of all
    is dense and alike (NCHW, NHWC)."""
    return [x.reshape(-1).numpy() for x in as_stored(*tensors)]


def _pieces(*arrays: Values) -> list[tuple[Values, ...]]:
    return [
        tuple(x[start : start + _PIECE] for x in arrays)
        for start in range(0, arrays[0].size, _PIECE)
    ]


def _zeros(piece: Values, flags: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(np.equal(piece, 0, out=flags[: len(piece)])))


def _plus_squares(total: float, values: npt.NDArray[np.float64]) -> float:
    """`total` and the squares of `values`, block by block, in each block row by row."""
    even = len(values) // _ROW * _ROW
    rows = values[:even].reshape(-1, 1, _ROW)
    squares = (rows @ rows.transpose(0, 2, 1)).ravel().tolist()
    per_block = _BLOCK // _ROW
    rest = values[even:]
    squares.append(float(rest @ rest))
    for start in range(0, len(squares), per_block):
        total += sum(squares[start : start + per_block])
    return total
