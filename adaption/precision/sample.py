"""What is kept of a tensor in one pass, until its statistics are made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from adaption.later import Tensor, torch
from adaption.precision.sampling import in_memory_order, sample_of
from adaption.precision.statistics import TensorStats

__all__ = ["Sample", "together"]


@dataclass
class Sample:
    """The extremes of all values and a sample of them, or the finished statistics.

    Counting a sample between two layers, whose blobs have driven code and tables out of the
    processor's caches, takes several times as long as counting all samples behind the last layer.
    """

    count: int
    stride: int = 1
    extremes: tuple[Tensor, Tensor] | None = None
    values: Tensor | None = None  # None: `stats` are finished
    source: Sample | None = None  # whose max(x, 0) this is; `values` are the source's

    @classmethod
    def of(cls, x: Tensor, turn: int) -> Self:
        """Keep what the statistics of `x` in this turn need; see TensorStats.of."""
        flat = in_memory_order(x)
        if not flat.numel():
            return cls.finished(TensorStats())
        values, stride = sample_of(flat, turn)
        own = values.clone() if stride == 1 else values
        return cls(flat.numel(), stride, torch.aminmax(flat), own)

    @classmethod
    def finished(cls, stats: TensorStats) -> Self:
        """What nothing is left to do for."""
        made = cls(stats.count, stats.stride)
        made.stats = stats
        return made

    @cached_property
    def stats(self) -> TensorStats:
        """The statistics of all values; not to be changed."""
        assert self.values is not None and self.extremes is not None
        if self.source is None:
            return TensorStats.of_sample(self.values, self.count, self.stride, *self.extremes)
        known = self.source.stats.rectified()
        if known is not None:
            return known
        least, greatest = (value.relu() for value in self.extremes)
        return TensorStats.of_sample(self.values.relu(), self.count, self.stride, least, greatest)

    def rectified(self) -> Sample | None:
        """What is kept of max(x, 0), given this of x; None where it does not follow."""
        if self.values is not None:
            return Sample(self.count, self.stride, self.extremes, self.values, self)
        known = self.stats.rectified()
        return None if known is None else Sample.finished(known)


def together(parts: Iterable[Sample]) -> TensorStats:
    """The statistics of all parts."""
    first, *rest = parts
    made = first.stats.copy()
    for part in rest:
        made.add(part.stats)
    return made
