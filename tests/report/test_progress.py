"""Progress on a pipe, on a terminal, in silence, and when things break."""

from __future__ import annotations

import io
import threading

import pytest

from adaption.report.progress import Progress, track


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_with_rate_and_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress(100, "measuring", stream, unit="batches", interval=5, clock=clock) as progress:
        for _ in range(100):
            clock.now += 0.5
            progress.advance()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "measuring: 10/100 (10%), 2 batches/s, 45.0 s left"
    assert lines[-1] == "measuring: 100 in 50.0 s, 2 batches/s"
    assert len(lines) == 11


def test_silence() -> None:
    stream = io.StringIO()
    assert list(track(range(5), "x", stream=stream, quiet=True)) == list(range(5))
    assert stream.getvalue() == ""


def test_terminal_bar_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    stream = Terminal()
    assert list(track(range(50), "working", stream=stream)) == list(range(50))
    assert threading.active_count() == before
    assert "working" in stream.getvalue()


def test_an_error_ends_the_display_and_goes_on() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyError), Progress(4, "x", stream) as progress:
        progress.advance()
        raise KeyError
    assert "stopped at 1/4 (25%)" in stream.getvalue()


def test_a_broken_stream_does_not_stop_the_work() -> None:
    stream = io.StringIO()
    stream.close()
    assert list(track(range(3), "x", stream=stream)) == [0, 1, 2]


def test_leaving_the_loop_early() -> None:
    stream = io.StringIO()
    for item in track(range(10), "x", stream=stream):
        if item == 3:
            break
    assert stream.getvalue().count("\n") == 1


def test_unknown_total() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress(None, "reading", stream, interval=1, clock=clock) as progress:
        clock.now += 2
        progress.advance(4)
    assert stream.getvalue().splitlines() == ["reading: 4, 2/s", "reading: 4 in 2.00 s, 2/s"]
