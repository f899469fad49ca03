"""Second moments of what a weight layer reads: of a rounded net, and against the float one.

With u the columns that the rounded net reads, v those of the float net and W the float weights,
the layer's result comes closest to W v, by least squares, where weights T solve T H = W C, with
H = E[u u'] and C = E[v u']. Kept are H and the drift D = W C - W H = E[W (v - u) u'], so that
T = W + D H^-1. H is symmetric: only its blocks on and below the diagonal are summed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Moments"]

PIECE = 2048  # columns whose products are summed in float32 before float64 goes on
BLOCK = 96  # inputs whose products with those from them on are summed at a time


@dataclass
class Moments:
    """Sums over columns; G groups of R outputs and d inputs each, in float64.

    weight: (G, R, d), the float weights W, float32.
    uu: (G, d, d) sum of u u', without what lies right of the blocks on the diagonal.
    u: (G, d) sum of u.
    eu, e: sums of e u' and of e, where e is v - u for many outputs, W (v - u) for few.
    """

    weight: Tensor
    uu: Tensor
    u: Tensor
    eu: Tensor
    e: Tensor
    count: int = 0

    @classmethod
    def of(cls, weight: Tensor) -> Moments:
        """No columns yet.

        Args:
            weight: (G, R, d), float32; it is not copied.
        """
        groups, outputs, inputs = weight.shape

        def zeros(*shape: int) -> Tensor:
            return torch.zeros((groups, *shape), dtype=torch.float64)

        rows = inputs if _has_many(outputs, inputs) else outputs
        return cls(weight, zeros(inputs, inputs), zeros(inputs), zeros(rows, inputs), zeros(rows))

    def add(self, u: Tensor, v: Tensor) -> None:
        """Take in columns.

        Args:
            u, v: (G, M, d), of the rounded net and of the float net; the same tensor where nothing
                has been rounded yet.
        """
        for i in range(0, u.shape[1], PIECE):
            part = u[:, i : i + PIECE]
            self.count += part.shape[1]
            self.u += part.sum(1, dtype=torch.float64)
            for first, end in _blocks(part.shape[2]):
                self.uu[:, first:, first:end] += part[:, :, first:].mT @ part[:, :, first:end]
            if v is not u:
                error = v[:, i : i + PIECE] - part
                if not self._has_many:
                    error = error @ self.weight.mT
                self.e += error.sum(1, dtype=torch.float64)
                self.eu += error.mT @ part

    @property
    def _has_many(self) -> bool:
        return _has_many(*self.weight.shape[1:])

    def hessian(self, *, centred: bool) -> Tensor:
        """H; with `centred`, of deviations from the mean, which biases take care of."""
        made = self.uu / self.count
        for first, end in _blocks(made.shape[1]):
            made[:, first:end, end:] = made[:, end:, first:end].mT
        if centred:
            mean = self.u / self.count
            for i in range(0, made.shape[1], PIECE):
                made[:, i : i + PIECE] -= mean[:, i : i + PIECE].unsqueeze(2) * mean.unsqueeze(1)
        return made

    def taken_hessian(self, *, centred: bool) -> Tensor:
        """As `hessian`, and H is given up here: nothing else reads `uu`."""
        made = self.hessian(centred=centred)
        self.uu = self.uu.new_empty(0)
        return made

    def drift(self, rows: slice = slice(None), *, centred: bool) -> Tensor:
        """D = E[W (v - u) u'], (G, R, d), of some of the outputs."""
        made = self._of_outputs(self.eu, rows)
        if centred:
            mean = self._of_outputs(self.e.unsqueeze(2), rows)
            made -= mean * (self.u / self.count).unsqueeze(1)
        return made

    def _of_outputs(self, sums: Tensor, rows: slice) -> Tensor:
        """The mean of `eu` or `e` (with one column) for some of the outputs."""
        if self._has_many:
            return self.weight[:, rows].double() @ sums / self.count
        return sums[:, rows] / self.count

    def forget_drift(self) -> None:
        """Give up `eu`: `shift` does not read it."""
        self.eu = self.eu.new_empty(0)

    def shift(self, rounded: Tensor, rows: slice = slice(None)) -> Tensor:
        """What the mean of W v is above that of Q u, (G, R): what biases have to make up for.

        Args:
            rounded: Q, float64, of these outputs.
            rows: which outputs.
        """
        lost = (self.weight[:, rows].double() - rounded) @ (self.u / self.count).unsqueeze(2)
        return (lost + self._of_outputs(self.e.unsqueeze(2), rows)).squeeze(2)


def _has_many(outputs: int, inputs: int) -> bool:
    """Whether products of W are better left to the end: for each column, (v - u) u' takes d
    times d multiplications, W (v - u) and its products with u take R times d each."""
    return inputs < 2 * outputs


def _blocks(inputs: int) -> Iterator[tuple[int, int]]:
    for first in range(0, inputs, BLOCK):
        yield first, min(first + BLOCK, inputs)
