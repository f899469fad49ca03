"""Signals during training: asked for, not obeyed at once. Caffe: util/signal_handler.cpp."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from adaption.errors import FieldError

__all__ = ["EFFECTS", "Requests"]

EFFECTS = ("stop", "snapshot", "none")


class Requests:
    """What signals have asked for; `take` hands it to a solver as its `action`.

    Args:
        sigint: effect of SIGINT (Ctrl-C): stop (with a snapshot), snapshot, or none.
        sighup: effect of SIGHUP.

    SIGTERM stops like an interrupt, since it is what batch systems send before they kill. A second
    SIGINT while the first is served raises KeyboardInterrupt at once.
    """

    def __init__(self, sigint: str = "stop", sighup: str = "snapshot") -> None:
        for name, effect in (("sigint_effect", sigint), ("sighup_effect", sighup)):
            if effect not in EFFECTS:
                raise FieldError(name, effect, ", ".join(EFFECTS))
        self._effects = {signal.SIGINT: sigint, signal.SIGTERM: "stop"}
        if hasattr(signal, "SIGHUP"):
            self._effects[signal.SIGHUP] = sighup
        self._asked: set[str] = set()

    def take(self) -> str | None:
        """The request to serve now, "stop" before "snapshot"; None when there is none."""
        if "stop" in self._asked:
            return "stop"
        if "snapshot" in self._asked:
            self._asked.discard("snapshot")
            return "snapshot"
        return None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over while the block runs; only in the main thread, as Python asks."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in self._effects}
        try:
            for number, effect in self._effects.items():
                signal.signal(number, self._handle if effect != "none" else signal.SIG_IGN)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        effect = self._effects[signal.Signals(number)]
        if number == signal.SIGINT and effect == "stop" and "stop" in self._asked:
            raise KeyboardInterrupt
        self._asked.add(effect)
