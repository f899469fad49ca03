"""Results made ahead in background threads. Caffe: base_data_layer.cpp."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["Prefetch"]

T = TypeVar("T")


class Prefetch(Generic[T]):
    """The results of endless `calls` in order, made before they are asked for.

    `calls` is iterated by one thread at a time, in order; the calls themselves run at once. An
    exception of either comes out at its place. The threads end with `close`, with the last
    reference to this object, and when the interpreter exits.

    Args:
        depth: results that wait at most, those being made included.
        workers: threads.
    """

    def __init__(self, calls: Iterator[Callable[[], T]], depth: int, workers: int) -> None:
        # The threads know the crew, never this object: so it can be collected while they run.
        self._crew = _Crew(calls, depth)
        self._crew.start(min(depth, workers))
        self._end = weakref.finalize(self, self._crew.stop)
        self._end.atexit = False  # see _end_all

    def take(self) -> T:
        """The next result, waited for."""
        future = self._crew.made.get()
        self._crew.slots.put(None)
        return future.result()

    def close(self) -> None:
        """End the threads, and wait for it."""
        self._end()
        self._crew.join()


class _Crew(Generic[T]):
    """The threads and what they share."""

    def __init__(self, calls: Iterator[Callable[[], T]], depth: int) -> None:
        self.calls = calls
        self.reading = threading.Lock()  # held while a call is taken from `calls`
        self.made: SimpleQueue[Future[T]] = SimpleQueue()  # in the order of `calls`
        # Of free places. No semaphore: `stop` may run inside a garbage collection that interrupts
        # a thread anywhere, and only SimpleQueue.put is made for that.
        self.slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(depth):
            self.slots.put(None)
        self.is_stopped = False
        self.threads: list[threading.Thread] = []

    def start(self, workers: int) -> None:
        _crews.add(self)
        for _ in range(workers):
            # Daemons, because the interpreter waits for others before it calls _end_all.
            thread = threading.Thread(target=self.work, name="adaption-data", daemon=True)
            self.threads.append(thread)
            thread.start()

    def work(self) -> None:
        while True:
            self.slots.get()
            if self.is_stopped:
                return
            future: Future[T] = Future()
            with self.reading:
                self.made.put(future)
                try:
                    call = next(self.calls)
                except BaseException as error:
                    future.set_exception(error)
                    continue
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
            del future, call  # they hold a batch, and this thread may wait for long

    def stop(self) -> None:
        """Let the threads end after what they are doing; does not wait, it may run anywhere."""
        self.is_stopped = True
        for _ in self.threads:
            self.slots.put(None)

    def join(self) -> None:
        for thread in self.threads:
            thread.join()


_crews: weakref.WeakSet[_Crew[Any]] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """End all threads before the interpreter goes away under them."""
    crews = list(_crews)
    for crew in crews:
        crew.stop()
    for crew in crews:
        crew.join()
