"""What benchmarks share: settings, and calls that take turns, so that a drifting machine meets all.

Two sides that compute in the threads of one library (torch) take turns in one process. Sides with
thread pools of their own get a process each (`Form`): worker threads of torch and of onnxruntime
spin for a while after a call, and in one process would take the cores from whoever computes next.
"""

from __future__ import annotations

import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

__all__ = ["Form", "Settings", "Spread", "in_turn", "ratios", "round_robin", "spread_of"]

WARM_UP = 2  # rounds, or calls at the start of a turn, that do not count
PAUSE = 0.1  # seconds in which the threads of the last one fall asleep


@dataclass(frozen=True)
class Settings:
    """What all rows are measured with."""

    threads: int
    quick: bool  # fewer rounds and smaller data; what is left out is named in the table
    material: Path  # published models and data, which are not part of the checkout
    nets: tuple[str, ...]  # NET[=WEIGHTS] of the user's own, in place of those of the checkout
    folder: Path  # for files of this run
    rounds: int | None = None

    def rounds_or(self, full: int, quick: int) -> int:
        """How many rounds count."""
        return self.rounds or (quick if self.quick else full)


@dataclass(frozen=True)
class Spread:
    """A median, and the quartiles beside it (of fewer than four values, least and greatest)."""

    median: float
    low: float
    high: float


def spread_of(values: Sequence[float]) -> Spread:
    """Median and quartiles. Raises: ValueError without values or with one that is not finite."""
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"no spread of {list(values)}")
    low, high = min(values), max(values)
    if len(values) >= 4:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), low, high)


def ratios(seconds: Sequence[float], base: Sequence[float]) -> Spread:
    """How many times `base` it took, round by round."""
    return spread_of([a / b for a, b in zip(seconds, base, strict=True)])


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, in this process."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + WARM_UP):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if turn >= WARM_UP:
                taken[name].append(time.perf_counter() - begin)
    return taken


class Form:
    """One way to compute a net, in a process of its own that sleeps between its turns."""

    def __init__(self, make: Callable[..., Callable[[], object]], *what: object) -> None:
        import torch  # here, so that processes that need none start without it

        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, torch.get_num_threads(), make, what)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Return when the process can compute. Raises: RuntimeError with what it failed of."""
        failure = self._pipe.recv()
        if failure:
            raise RuntimeError(failure)

    def turn(self, calls: int) -> float:
        """Median seconds of some calls."""
        self._pipe.send(calls)
        seconds: float = self._pipe.recv()
        return seconds

    def close(self) -> None:
        self._process.terminate()
        self._process.join()


def _serve(
    pipe: Connection,
    threads: int,
    make: Callable[..., Callable[[], object]],
    what: tuple[object, ...],
) -> None:
    """The process of a Form: how many calls in, their median seconds out."""
    import torch

    torch.set_num_threads(threads)
    try:
        call = make(*what)
        call()
    except Exception as error:  # reported where the row is measured
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send("")
    while True:
        calls: int = pipe.recv()
        times = []
        for i in range(WARM_UP + calls):
            start = time.perf_counter()
            call()
            if i >= WARM_UP:
                times.append(time.perf_counter() - start)
        pipe.send(statistics.median(times))


def round_robin(forms: Mapping[str, Form], rounds: int, calls: int) -> dict[str, list[float]]:
    """Seconds of a call of each form in each round; closes the forms, also after an error."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    try:
        for form in forms.values():
            form.wait()
        for _ in range(rounds):
            for name, form in forms.items():
                time.sleep(PAUSE)
                taken[name].append(form.turn(calls))
    finally:
        for form in forms.values():
            form.close()
    return taken
