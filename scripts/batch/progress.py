"""Lines about how far a batch is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from batch.variants import Variant, log_of

from adaption.report.format import duration

__all__ = ["Progress"]

PULSE_S = 30.0  # after so long without a line, print how far the variants are


class Progress:
    """Lines about how far the batch is."""

    def __init__(self, count: int) -> None:
        self.count = self.left = count
        self.started: dict[Path, float] = {}
        self.began = self.spoke = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)
        self.spoke = time.monotonic()

    def end(self, name: str, how: str, seconds: float) -> None:
        """Say how a variant ended, how fast they come, and when the last one will."""
        self.left -= 1
        each = (time.monotonic() - self.began) / (self.count - self.left)
        rest = f"{self.left} left"
        if self.left:
            rest += f", {3600 / each:.3g} variants/h, about {duration(each * self.left)} more"
        self.say(f"{name}: {how}, {duration(seconds)}, {rest}")

    def pulse(self, running: Sequence[Variant]) -> None:
        """Once in a while: the last line of each log."""
        if time.monotonic() - self.spoke >= PULSE_S:
            for variant in running:
                self.say(f"{variant.folder.name}: {last_line(log_of(variant)) or 'starting'}")


def last_line(path: Path) -> str:
    """Of a log that is being written; "" while it is empty."""
    lines = path.read_text("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
