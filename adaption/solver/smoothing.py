"""The loss that is displayed: a mean over the last iterations. Caffe: UpdateSmoothedLoss."""

from __future__ import annotations

import numpy as np

__all__ = ["SmoothedLoss"]


class SmoothedLoss:
    """Mean of the last `window` losses, in float32 as Caffe keeps it."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.restart(0)

    def restart(self, iteration: int) -> None:
        """Forget all; `iteration` is the first to come."""
        self.start = iteration
        self.losses: list[float] = []
        self.value = 0.0

    def add(self, loss: float, iteration: int) -> float:
        """Take in an iteration's loss; returns the mean."""
        if len(self.losses) < self.window:
            self.losses.append(loss)
            count = len(self.losses)
            self.value = float(np.float32((self.value * (count - 1) + loss) / count))
        else:
            oldest = (iteration - self.start) % self.window
            self.value = float(np.float32(self.value + (loss - self.losses[oldest]) / self.window))
            self.losses[oldest] = loss
        return self.value
