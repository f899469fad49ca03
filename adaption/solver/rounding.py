"""What rounding takes from a training net, at each display: saturated, flushed and zero shares.

Only displayed iterations are looked at, and only nets with formats. Looking draws no random number
of the run and changes none of its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adaption.errors import NonFiniteError
from adaption.net import Net, Point
from adaption.numerics import DynamicFixed, Format
from adaption.precision.counting import count_zeros
from adaption.solver.listener import Listener, Output
from adaption.solver.settings import NetRole, SolverFile

__all__ = ["RoundingShares"]

KINDS = frozenset({"weight", "bias", "bottom", "activation", "activation_grad"})


@dataclass
class _Seen:
    """Counts at one point over the passes of an iteration."""

    fmt: Format
    count: int = 0
    saturated: int = 0  # beyond the range
    flushed: int = 0  # not zero, rounded to zero
    zeros: int = 0  # behind rounding

    def add(self, x: Tensor) -> None:
        """Take in a tensor that is about to be rounded."""
        generator = torch.Generator(x.device).manual_seed(0) if self.fmt.is_random else None
        zeros = count_zeros(self.fmt.quantize(x, generator))
        self.count += x.numel()
        self.saturated += x.numel() - int(self.fmt.inside(x).sum())
        self.flushed += zeros - count_zeros(x)
        self.zeros += zeros

    def to_dict(self, point: Point) -> dict[str, Any]:
        """Shares of all values; `q` is the format."""
        count = max(1, self.count)
        return {
            "layer": point.layer,
            "kind": point.kind,
            "q": str(self.fmt),
            "bits": self.fmt.word_length,
            "saturated": self.saturated / count,
            "flushed": self.flushed / count,
            "zero": self.zeros / count,
        }


class RoundingShares(Listener):
    """Looks at what the train net rounds whenever an iteration is displayed.

    Args:
        tell: takes the iteration, and one entry per point, the worst first: `layer`, `kind`, `q`,
            `bits`, and shares of all values, 0..1: `saturated`, `flushed`, `zero`.
    """

    def __init__(self, tell: Callable[[int, Sequence[dict[str, Any]]], None]) -> None:
        self.tell = tell
        self._display = 0
        self._net: Net | None = None
        self._seen: dict[Point, _Seen] = {}
        self._end: Callable[[], None] | None = None

    def reading(self, solver: SolverFile) -> None:
        self._display = solver.message.display

    def built(self, role: NetRole, net: Net) -> None:
        if self._net is None:  # the train net is built first
            self._net = net

    def starting(self, iteration: int) -> None:
        if self._net is None or not self._display or iteration % self._display:
            return
        self._seen = {point: _Seen(fmt) for point, fmt in _formats(self._net)}
        if self._seen:
            kinds = {point.kind for point in self._seen}
            self._end = self._net.watch_beside(kinds, self._look)

    def _look(self, point: Point, x: Tensor) -> None:
        seen = self._seen.get(point)
        if seen is None or not x.numel():
            return
        try:
            seen.add(x)
        except NonFiniteError:
            return  # the pass itself says where

    def trained(self, iteration: int, loss: float, outputs: Sequence[Output]) -> None:
        if self._end is None:
            return
        self._end()
        self._end = None
        rows = [seen.to_dict(point) for point, seen in self._seen.items() if seen.count]
        self.tell(iteration, sorted(rows, key=lambda row: -max(row["saturated"], row["flushed"])))


def _formats(net: Net) -> Iterator[tuple[Point, Format]]:
    """The formats whose grid is known when a tensor is seen: a delayed exponent is not."""
    for point, fmt in net.plan.items():
        if point.kind in KINDS and not (isinstance(fmt, DynamicFixed) and fmt.delayed):
            yield point, fmt
