"""How far a training run has come: one line at the bottom of a terminal, nothing elsewhere.

Caffe's own log lines are the plain form; a line of another kind among them would stop the scripts
that read them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from adaption.glog import Log
from adaption.report.progress import Progress, is_terminal
from adaption.report.tables import trusted
from adaption.solver import Listener

__all__ = ["TrainingProgress"]

INTERVAL = 0.2  # seconds between two refreshes


class TrainingProgress(Listener):
    """Shows iterations done, rate and ETA; log lines pass above it.

    Args:
        stream: standard error when None.
        clock: seconds, monotonic; for tests.
    """

    def __init__(
        self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = trusted(sys.stderr if stream is None else stream)
        self._is_shown = is_terminal(self._stream)
        self._clock = clock
        self._progress: Progress | None = None
        self._last = clock() - INTERVAL

    def above(self, log: Log) -> Log:
        """The Log that writes above the line."""

        def write(source: str, text: str) -> None:
            self.clear()
            log(source, text)

        return write if self._is_shown else log

    def clear(self) -> None:
        """Take the line away; it comes again with the next iteration."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def solving(self, name: str, policy: str, iteration: int, last: int) -> None:
        self._progress = Progress(
            last - iteration, "training", self._stream, quiet=True, unit="it", clock=self._clock
        )

    def stepped(self, iteration: int) -> None:
        progress = self._progress
        if progress is None or not self._is_shown:
            return
        progress.advance()
        now = self._clock()
        if now - self._last >= INTERVAL:
            self._last = now
            self._stream.write(f"\r\x1b[K{progress.line()}")
            self._stream.flush()

    def stopped(self) -> None:
        self.clear()

    def done(self) -> None:
        self.clear()
