"""Squared error over squares, summed piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Squares"]


@dataclass
class Squares:
    """Sums of squares of a float result, and of what another differs from it, in float64."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, full: Tensor, low: Tensor) -> None:
        """Take in a float result and the other, of the same shape."""
        wide = full.double()
        self.noise += float((wide - low.double()).square().sum())
        self.signal += float(wide.square().sum())

    @property
    def relative_error(self) -> float:
        """Noise over signal; 0 where there is no signal."""
        return self.noise / self.signal if self.signal else 0.0
