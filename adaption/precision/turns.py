"""Batches that threads share, each with a net of its own; what they give counts in order."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from threading import Condition, Lock, Thread
from typing import Any

from adaption.later import torch

__all__ = ["Lane", "Turns"]


class Lane:
    """Works on batches: `run` at any time, `settle` when all batches before have settled."""

    def run(self, batch: Any) -> None:
        raise NotImplementedError

    def settle(self, batch: Any) -> None:
        raise NotImplementedError


class Turns:
    """Hands out batches, and says when the one that was run may settle.

    An error ends it: the one raised is that of the first batch that has one, as if all batches had
    run one after the other.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = iter(batches)
        self._taking = Lock()
        self._taken = 0
        self._settled = 0
        self._changed = Condition()
        self._error: BaseException | None = None

    def one(self, lane: Lane) -> bool:
        """Run and settle one batch; False when there was none left."""
        number, batch, error = self._next()
        if batch is None and error is None:
            return False
        if error is None:
            try:
                lane.run(batch)
            except Exception as found:
                error = found
        with self._changed:
            self._changed.wait_for(lambda: self._settled == number or self._error is not None)
            if self._error is not None:
                return False
        if error is not None:
            try:
                raise error
            finally:
                del error  # a cycle, which would keep the net
        lane.settle(batch)
        with self._changed:
            self._settled += 1
            self._changed.notify_all()
        return True

    def all(self, lanes: Iterable[Lane]) -> None:
        """Run and settle what is left: the first lane in this thread, each other in its own."""
        first, *others = lanes
        threads = [Thread(target=self._beside, args=(lane,), daemon=True) for lane in others]
        try:
            for thread in threads:
                with suppress(RuntimeError):  # no further thread: the first lane does it all
                    thread.start()
            self._follow(first)
        except BaseException as found:
            self._end(found)
        finally:
            for thread in threads:  # each ends with the batch that it works on
                if thread.ident is not None:
                    thread.join()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def _beside(self, lane: Lane) -> None:
        torch.get_num_threads()  # a new thread takes torch's number of threads with the first call
        self._follow(lane)

    def _follow(self, lane: Lane) -> None:
        try:
            while self.one(lane):
                pass
        except BaseException as error:
            self._end(error)

    def _end(self, error: BaseException) -> None:
        """Let nobody go on; of several errors the first counts."""
        with self._changed:
            if self._error is None:
                self._error = error
            self._changed.notify_all()

    def _next(self) -> tuple[int, Any, Exception | None]:
        with self._taking:
            number, self._taken = self._taken, self._taken + 1
            if self._error is not None:
                return number, None, None
            try:
                return number, next(self._batches, None), None
            except Exception as error:
                return number, None, error
