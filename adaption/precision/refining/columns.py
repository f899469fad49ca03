"""A sample of the columns that a weight layer reads, in two nets at the same places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from adaption.layers.base import Layer

__all__ = ["MOST_COLUMNS", "picked_columns", "spread", "spread_over"]

MOST_COLUMNS = 60_000
PIECE = 8192  # columns that are gathered at a time
VALUES = 1 << 24  # of them at a time, where columns are long


def spread(count: int, most: int, seed: int) -> Tensor:
    """At most `most` of the numbers below `count`, rising, one at random of each of `most` parts.

    The same for the same arguments, on every machine.
    """
    if count <= most:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(seed)
    at = torch.arange(most, dtype=torch.float64)
    at += torch.rand(most, generator=generator, dtype=torch.float64)
    return (at * (count / most)).long().clamp_max(count - 1)


def spread_over(counts: Sequence[int], most: int, seed: int) -> list[Tensor]:
    """At most `most` of the values of several pieces, chosen by `spread` among all of them.

    Args:
        counts: how many values each piece has.
    Returns: for each piece, the chosen numbers below its count.
    """
    ends = torch.tensor([0, *accumulate(counts)])
    picks = spread(int(ends[-1]), most, seed)
    places = torch.searchsorted(picks, ends).tolist()
    firsts = ends[:-1].tolist()
    return [picks[a:b] - first for (a, b), first in zip(pairwise(places), firsts, strict=True)]


def picked_columns(
    layer: Layer,
    low: Sequence[Tensor],
    full: Sequence[Tensor],
    *,
    most: int = MOST_COLUMNS,
    seed: int = 0,
    inputs: slice = slice(None),
) -> Iterator[tuple[Tensor, Tensor]]:
    """Columns (G, M, d) of the bottoms `low` and of `full`, a few thousand at a time.

    Args:
        low, full: the bottoms of pieces of the calibration data in both nets.
        inputs: which of the d values are wanted.
    Yields: the pairs; the same tensor twice where both nets read the same.
    """
    counts = [layer.sums(tuple(x.shape)) for x in low]
    picks = spread_over(counts, most, seed)
    for u, v, own in zip(low, full, picks, strict=True):
        if not len(own):
            continue
        length = layer.columns(u, own[:1])[..., inputs].numel()
        for part in torch.split(own, max(1, min(PIECE, VALUES // max(1, length)))):
            of_low = layer.columns(u, part)[..., inputs]
            yield of_low, of_low if u is v else layer.columns(v, part)[..., inputs]
