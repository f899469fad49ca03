"""Progress of long work: a bar on a terminal, a line every few seconds elsewhere, or silence.

Nothing runs in the background: the display is refreshed by `advance`, so an exception, a fork or
an abandoned loop leaves no thread behind. A stream that breaks ends the display, not the work.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO, TypeVar

from adaption.report.format import duration
from adaption.report.tables import trusted

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["Progress", "is_terminal", "track"]

T = TypeVar("T")

TERMINAL_INTERVAL = 0.1  # seconds between two refreshes of the bar
PLAIN_INTERVAL = 5.0  # seconds between two plain lines


class Progress:
    """Context manager that shows how far a piece of work has come, its rate and its ETA.

    Args:
        total: number of steps; None when unknown (no ETA then).
        label: what is being done, e.g. "measuring".
        stream: where to show it; standard error when None.
        quiet: show nothing at all.
        unit: what one step is, for the rate: "35.2 samples/s".
        interval: seconds between two plain lines on a stream that is no terminal.
        clock: seconds, monotonic; for tests.
    """

    def __init__(
        self,
        total: int | None,
        label: str,
        stream: TextIO | None = None,
        quiet: bool = False,
        *,
        unit: str = "",
        interval: float = PLAIN_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.label = label
        self.done = 0
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._unit = unit
        self._interval = interval
        self._clock = clock
        self._started = self._shown = clock()
        self._bar: tuple[RichProgress, TaskID] | None = None

    def __enter__(self) -> Self:
        self._started = self._shown = self._clock()
        if not self._quiet and is_terminal(self._stream):
            with self._unbroken():
                self._bar = _start_bar(self._stream, self.label, self.total)
        return self

    def advance(self, steps: int = 1) -> None:
        """Note that `steps` more steps are done."""
        self.done += steps
        if self._quiet:
            return
        now = self._clock()
        if now - self._shown < (TERMINAL_INTERVAL if self._bar else self._interval):
            return
        self._shown = now
        self._show()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            with self._unbroken():
                self._show()
            with contextlib.suppress(OSError, ValueError):
                self._bar[0].stop()
            self._bar = None
        else:
            self._write(self.final_line(failed=kind is not None))

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    @property
    def rate(self) -> float | None:
        """Steps per second so far; None before the first step."""
        elapsed = self.elapsed
        return self.done / elapsed if self.done and elapsed > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Time the rest takes at the rate so far; None when that is unknown."""
        rate = self.rate
        if rate is None or self.total is None:
            return None
        return max(0, self.total - self.done) / rate

    def line(self) -> str:
        """The state in one line: "measuring: 120/500 (24%), 35.2/s, 10.8 s left"."""
        parts = [f"{self.label}: {self._position()}"]
        if self.rate is not None:
            parts.append(self._rate_text())
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts)

    def final_line(self, failed: bool = False) -> str:
        """The last line: "measuring: 500 in 14.2 s, 35.2/s", or where it stopped."""
        if failed:
            return f"{self.label}: stopped at {self._position()} after {duration(self.elapsed)}"
        rate = f", {self._rate_text()}" if self.rate is not None else ""
        return f"{self.label}: {self.done} in {duration(self.elapsed)}{rate}"

    def _position(self) -> str:
        if not self.total:
            return str(self.done)
        return f"{self.done}/{self.total} ({100 * self.done // self.total}%)"

    def _rate_text(self) -> str:
        rate = self.rate or 0.0
        unit = f" {self._unit}" if self._unit else ""
        return f"{rate:.0f}{unit}/s" if rate >= 100 else f"{rate:.3g}{unit}/s"

    def _show(self) -> None:
        if self._bar is None:
            self._write(self.line())
            return
        bar, task = self._bar
        left = self.seconds_left
        with self._unbroken():
            bar.update(
                task,
                completed=self.done,
                rate=self._rate_text() if self.rate is not None else "",
                left=f"{duration(left)} left" if left else duration(self.elapsed),
            )
            bar.refresh()

    def _write(self, text: str) -> None:
        with self._unbroken():
            self._stream.write(text + "\n")
            self._stream.flush()

    @contextlib.contextmanager
    def _unbroken(self) -> Iterator[None]:
        """A closed or broken stream silences the display; the work goes on."""
        try:
            yield
        except (OSError, ValueError):
            self._quiet = True


def track(
    items: Iterable[T],
    label: str,
    total: int | None = None,
    stream: TextIO | None = None,
    quiet: bool = False,
    *,
    unit: str = "",
) -> Iterator[T]:
    """The items one by one, with progress shown; `total` is taken from `len(items)` if it can be.

    Leaving the loop early, by `break` or by an exception, ends the display.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(total, label, stream, quiet, unit=unit) as progress:
        for item in items:
            yield item
            progress.advance()


def is_terminal(stream: TextIO) -> bool:
    """Whether lines of the stream can be rewritten in place."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # no such method, or a closed file
        return False


def _start_bar(stream: TextIO, label: str, total: int | None) -> tuple[RichProgress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False, style="dim"),
        console=Console(file=trusted(stream)),
        auto_refresh=False,  # no thread
        # rich would send standard output through this console, i.e. into standard error
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = bar.add_task(label, total=total, rate="", left="")
    bar.start()
    return bar, task
