"""Prefetch: order, limits, errors, and the end of its threads."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest

from adaption.data.prefetch import Prefetch
from adaption.errors import DataError

WAIT = 10.0  # seconds in which a thread has long done what it should


def eventually(claim: Callable[[], bool]) -> bool:
    end = time.monotonic() + WAIT
    while not claim() and time.monotonic() < end:
        time.sleep(0.001)
    return claim()


def threads_of(prefetch: Prefetch[int]) -> list[threading.Thread]:
    return list(prefetch._crew.threads)


def slow_when_even(number: int) -> int:
    if number % 2 == 0:
        time.sleep(0.002)
    return number


def numbers(made: list[int] | None = None) -> Iterator[Callable[[], int]]:
    for number in count():
        if made is not None:
            made.append(number)
        yield partial(slow_when_even, number)


@pytest.mark.parametrize("workers", [1, 4])
def test_results_come_in_order(workers: int) -> None:
    prefetch = Prefetch(numbers(), depth=4, workers=workers)
    assert [prefetch.take() for _ in range(40)] == list(range(40))
    prefetch.close()


def test_no_more_than_depth_is_made_ahead() -> None:
    made: list[int] = []
    prefetch = Prefetch(numbers(made), depth=3, workers=8)
    assert eventually(lambda: made == [0, 1, 2])
    assert prefetch.take() == 0
    assert eventually(lambda: made == [0, 1, 2, 3])
    time.sleep(0.02)
    assert made == [0, 1, 2, 3]
    prefetch.close()


def test_an_error_comes_out_at_its_place() -> None:
    def bad() -> int:
        raise DataError("is bad")

    def calls() -> Iterator[Callable[[], int]]:
        yield partial(slow_when_even, 0)
        yield bad
        yield partial(slow_when_even, 2)
        raise DataError("ends here")

    prefetch = Prefetch(calls(), depth=4, workers=2)
    assert prefetch.take() == 0
    with pytest.raises(DataError, match="is bad"):
        prefetch.take()
    assert prefetch.take() == 2
    with pytest.raises(DataError, match="ends here"):
        prefetch.take()
    prefetch.close()


def test_close_ends_the_threads() -> None:
    prefetch = Prefetch(numbers(), depth=4, workers=2)
    threads = threads_of(prefetch)
    assert len(threads) == 2 and all(t.is_alive() for t in threads)
    prefetch.close()
    assert not any(t.is_alive() for t in threads)


def test_the_threads_end_with_the_last_reference() -> None:
    prefetch = Prefetch(numbers(), depth=4, workers=2)
    threads = threads_of(prefetch)
    prefetch.take()
    del prefetch
    gc.collect()
    assert eventually(lambda: not any(t.is_alive() for t in threads))


def test_the_interpreter_exits_with_threads_at_work() -> None:
    code = (
        "import itertools, time\n"
        "from adaption.data.prefetch import Prefetch\n"
        "calls = (lambda: time.sleep(0.01) or 1 for _ in itertools.count())\n"
        "prefetch = Prefetch(calls, depth=4, workers=4)\n"
        "print(prefetch.take())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
