"""Reading ahead: calls done in threads, results in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["WORKERS", "ahead"]

T = TypeVar("T")

WORKERS = min(4, os.cpu_count() or 1)  # image decoding releases the interpreter lock


def ahead(calls: Iterable[Callable[[], T]], workers: int, window: int) -> Generator[T]:
    """The results of `calls` in order, up to `window` of them computed before they are asked for.

    `calls` is iterated in the caller's thread and may be endless; 0 workers compute nothing ahead.
    An exception comes out at its place. Closing the iterator ends the threads.
    """
    if workers < 1:
        for call in calls:
            yield call()
        return
    from concurrent.futures import ThreadPoolExecutor  # it brings logging, too

    pool = ThreadPoolExecutor(workers, thread_name_prefix="adaption-data")
    pending: deque[Future[T]] = deque()
    try:
        for call in calls:
            pending.append(pool.submit(call))
            if len(pending) > window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
