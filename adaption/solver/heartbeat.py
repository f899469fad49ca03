"""Do the other processes of a training run still live? Noticed in minutes, not in hours.

A process that ends closes its connections, which the others notice at once. One that hangs
(stopped, in a deadlock, behind a disk that does not answer) leaves them waiting for its gradients.
So each process says every few seconds, in the store that they met in, how far it has come, whether
it waits for the others, and how much it has computed; and each looks at what the others say.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["ENVIRONMENT", "Heartbeat", "Pulse", "View"]

ENVIRONMENT = "ADAPTION_RANK_TIMEOUT"  # seconds; instead of IDLE_S
IDLE_S = 180.0  # without progress and without computing
BUSY_FACTOR = 10.0  # times as long without progress, however much is computed
IDLE_SHARE = 0.01  # of a processor: less is no computing
EXIT_CODE = 2


@dataclass
class Pulse:
    """What a process says of itself. `tick` counts what it has said, `progress` what it has done;
    `cpu` is the processor time it has used, in seconds."""

    tick: int = 0
    progress: int = 0
    is_waiting: bool = False  # for the others
    is_writing: bool = False  # a snapshot, maybe to a slow disk
    has_ended: bool = False
    cpu: float = 0.0


class View:
    """What one process knows of another, by this process's clock.

    Args:
        idle_s: how long the other may do nothing.
    """

    def __init__(self, now: float, idle_s: float) -> None:
        self.idle_s = idle_s
        self.pulse = Pulse()
        self.restart(now)

    def restart(self, now: float) -> None:
        """Begin to count anew: this process itself was asleep."""
        self._heard = self._moved = self._idle_since = now
        self._cpu = self.pulse.cpu

    def hear(self, pulse: Pulse, now: float) -> None:
        """Take in what the other says."""
        if pulse.tick != self.pulse.tick:
            used = pulse.cpu - self._cpu
            if used > IDLE_SHARE * max(now - self._heard, 1e-3):
                self._idle_since = now
            self._heard, self._cpu = now, pulse.cpu
        if pulse.progress != self.pulse.progress or pulse.is_waiting:
            self._moved = self._idle_since = now
        if pulse.is_writing:
            self._idle_since = now
        self.pulse = pulse

    def complaint(self, now: float) -> str:
        """What is wrong with the other; empty when nothing is."""
        if self.pulse.has_ended:
            return ""
        if now - self._heard > self.idle_s:
            return f"has said nothing for {now - self._heard:.0f} s"
        if now - self._idle_since > self.idle_s:
            return f"has neither computed nor waited for others for {now - self._idle_since:.0f} s"
        if now - self._moved > BUSY_FACTOR * self.idle_s:
            return f"has not come any further for {now - self._moved:.0f} s"
        return ""


class Heartbeat:
    """This process's pulse, told to the others, and theirs, looked at.

    Args:
        store: a torch.distributed store that all processes share.
        give_up: called with what is wrong, in a thread; ends the process.
    """

    def __init__(
        self,
        store: Any,
        rank: int,
        count: int,
        *,
        idle_s: float | None = None,
        give_up: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._rank, self._count = rank, count
        self._idle_s = _limit() if idle_s is None else idle_s
        self._period = min(5.0, self._idle_s / 6)
        self._give_up = _end_process if give_up is None else give_up
        self._own = Pulse()
        now = time.monotonic()
        self._views = {r: View(now, self._idle_s) for r in range(count) if r != rank}
        self._answered = now
        self._over = threading.Event()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Tell and look while the block runs."""
        for work in (self._talk, self._watch):
            threading.Thread(target=work, name="adaption-heartbeat", daemon=True).start()
        try:
            yield
        finally:
            self._over.set()
            self._own.has_ended = True
            with suppress(Exception):  # the store may have gone with its process
                self._say()

    def beat(self) -> None:
        """Say that this process has come further."""
        self._own.progress += 1

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say that this process writes files while the block runs."""
        self._own.is_writing = True
        try:
            yield
        finally:
            self._own.is_writing = False
            self.beat()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Say that this process waits for the others while the block runs."""
        self._own.is_waiting = True
        try:
            yield
        finally:
            self._own.is_waiting = False
            self.beat()

    def _say(self) -> None:
        self._own.tick += 1
        self._own.cpu = time.process_time()
        self._store.set(f"adaption/pulse/{self._rank}", json.dumps(vars(self._own)))

    def _talk(self) -> None:
        """Everything that the store could keep from returning is in this thread."""
        while not self._over.wait(self._period):
            with suppress(Exception):  # a store that is gone is told by `_watch`
                self._say()
                for rank, view in self._views.items():
                    key = f"adaption/pulse/{rank}"
                    if self._store.check([key]):
                        view.hear(Pulse(**json.loads(self._store.get(key))), time.monotonic())
                self._answered = time.monotonic()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._over.wait(self._period):
            now = time.monotonic()
            if now - before > 3 * self._period + 1:  # stopped and woken, perhaps with the others
                self._answered = now
                for view in self._views.values():
                    view.restart(now)
            before = now
            if now - self._answered > self._idle_s:
                self._end(0, f"has not answered for {now - self._answered:.0f} s")
            for rank, view in self._views.items():
                if complaint := view.complaint(now):
                    self._end(rank, complaint)

    def _end(self, rank: int, complaint: str) -> None:
        if not self._over.is_set():
            self._give_up(
                f"process {rank} of {self._count} {complaint}; go on from the last snapshot"
                f" ({ENVIRONMENT} sets how many seconds may pass, now {self._idle_s:g})"
            )


def _limit() -> float:
    with suppress(ValueError):
        given = float(os.environ.get(ENVIRONMENT, IDLE_S))
        if 0 < given < float("inf"):
            return given
    return IDLE_S


def _end_process(text: str) -> None:
    """End at once: the main thread waits where no exception reaches it."""
    with suppress(OSError, ValueError):
        print(f"adaption: {text}", file=sys.stderr, flush=True)
    for process in multiprocessing.active_children():  # one that is stopped would stay
        process.kill()
    os._exit(EXIT_CODE)
