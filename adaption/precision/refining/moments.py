"""Second moments of what a weight layer reads: of a rounded net, and against the float one.

With u the columns that the rounded net reads, v those of the float net and W the float weights,
the layer's result comes closest to W v, by least squares, where weights T solve T H = W C, with
H = E[u u'] and C = E[v u']. Kept are H and the drift D = W C - W H = E[W (v - u) u'], so that
T = W + D H^-1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Moments"]

PIECE = 2048  # columns whose products are summed in float32 before float64 goes on


@dataclass
class Moments:
    """Sums over columns; G groups of R outputs and d inputs each, in float64.

    uu: (G, d, d) sum of u u'. eu: (G, R, d) sum of W (v - u) u'. u: (G, d), e: (G, R) plain sums.
    """

    uu: Tensor
    eu: Tensor
    u: Tensor
    e: Tensor
    count: int = 0

    @classmethod
    def of(cls, groups: int, outputs: int, inputs: int) -> Moments:
        """No columns yet."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros((groups, *shape), dtype=torch.float64)

        return cls(zeros(inputs, inputs), zeros(outputs, inputs), zeros(inputs), zeros(outputs))

    def add(self, u: Tensor, v: Tensor, weight: Tensor) -> None:
        """Take in columns.

        Args:
            u, v: (G, M, d), of the rounded net and of the float net; the same tensor where nothing
                has been rounded yet.
            weight: (G, R, d), float.
        """
        for i in range(0, u.shape[1], PIECE):
            part = u[:, i : i + PIECE]
            self.count += part.shape[1]
            self.u += part.sum(1, dtype=torch.float64)
            self.uu += part.mT @ part
            if v is not u:
                drift = (v[:, i : i + PIECE] - part) @ weight.mT
                self.e += drift.sum(1, dtype=torch.float64)
                self.eu += drift.mT @ part

    def hessian(self, *, centred: bool) -> Tensor:
        """H; with `centred`, of deviations from the mean, which biases take care of."""
        made = self.uu / self.count
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
        made = self.eu[:, rows] / self.count
        if centred:
            made -= (self.e[:, rows] / self.count).unsqueeze(2) * (self.u / self.count).unsqueeze(1)
        return made

    def forget_drift(self) -> None:
        """Give up `eu`: `shift` does not read it."""
        self.eu = self.eu.new_empty(0)

    def shift(self, weight: Tensor, rounded: Tensor, rows: slice = slice(None)) -> Tensor:
        """What the mean of W v is above that of Q u, (G, R): what biases have to make up for.

        Args:
            rows: which of the outputs `weight` and `rounded` are of.
        """
        lost = ((weight - rounded) @ (self.u / self.count).unsqueeze(2)).squeeze(2)
        return lost + self.e[:, rows] / self.count
