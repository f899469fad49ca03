"""pycaffe's Timer, which scripts put around passes. Caffe: util/benchmark.cpp."""

from __future__ import annotations

import time

import torch

from adaption.pycaffe.mode import settings

__all__ = ["Timer"]


class Timer:
    """Time between `start` and `stop`, work of the device included."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._seconds = 0.0

    def start(self) -> None:
        """Begin to count."""
        _wait()
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop counting; without `start` before, nothing happens."""
        if self._started is not None:
            _wait()
            self._seconds = time.perf_counter() - self._started
            self._started = None

    @property
    def ms(self) -> float:
        """Milliseconds of the last count; stops it where it goes on."""
        self.stop()
        return 1e3 * self._seconds

    @property
    def us(self) -> float:
        """Microseconds."""
        return 1e3 * self.ms


def _wait() -> None:
    """Until the device has done what it was given."""
    if settings.is_gpu:
        torch.cuda.synchronize(settings.device)
