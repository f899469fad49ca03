"""Alarms of a training run, at each display: NaN, and formats that saturate.

Only displayed iterations are looked at, so that what is in between costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adaption.net import Net, Point
from adaption.net.node import Node
from adaption.numerics import FixedPoint
from adaption.solver.listener import Listener, Output
from adaption.solver.settings import NetRole

__all__ = ["Alarms"]

SATURATED = 0.1  # share of a tensor's values from which on it is worth a word
SHOWN = 6  # tensors named in one alarm
KINDS = ("weight", "activation")


class Alarms(Listener):
    """Looks at the train net whenever an iteration is displayed, and says what is wrong.

    Args:
        tell: takes each alarm in words.
        stop_on_nan: ask for the end of the run, without a snapshot, when a loss or an output is NaN
            or infinite; see `take`.
    """

    def __init__(self, tell: Callable[[str], None], *, stop_on_nan: bool = False) -> None:
        self.tell = tell
        self.stop_on_nan = stop_on_nan
        self.diverged: str | None = None  # what was found, where it ends the run
        self._net: Net | None = None
        self._was_finite = True
        self._saturated: set[str] = set()

    def take(self) -> str | None:
        """The request to the solver: "abandon" when the run is to end."""
        return "abandon" if self.diverged is not None else None

    def built(self, role: NetRole, net: Net) -> None:
        if self._net is None:  # the train net is built first
            self._net = net

    def trained(self, iteration: int, loss: float, outputs: Sequence[Output]) -> None:
        if self._net is None:
            return
        with torch.no_grad():
            self._look_for_nan(self._net, iteration, loss, outputs)

    def rounding(self, iteration: int, points: Sequence[Mapping[str, Any]]) -> None:
        if self._net is None or not self._was_finite:
            return
        plan = self._net.plan
        found = {
            f"{p['layer']}:{p['kind']}": p["saturated"]
            for p in points
            if p["kind"] in KINDS
            and p["saturated"] >= SATURATED
            # A dynamic format's bias lets values saturate on purpose.
            and isinstance(plan.get(Point(p["layer"], p["kind"])), FixedPoint)
        }
        if found.keys() - self._saturated:  # said again when another tensor joins
            worst = sorted(found.items(), key=lambda item: -item[1])
            shown = ", ".join(f"{name} {share:.0%}" for name, share in worst[:SHOWN])
            more = f" and {len(worst) - SHOWN} more" if len(worst) > SHOWN else ""
            self.tell(f"iteration {iteration}: values beyond their format's range: {shown}{more}")
        self._saturated = set(found)

    def _look_for_nan(
        self, net: Net, iteration: int, loss: float, outputs: Sequence[Output]
    ) -> None:
        values = {"the loss": loss, **{f'"{o.name}"': o.value for o in outputs}}
        bad = {name: value for name, value in values.items() if not math.isfinite(value)}
        if bad and self._was_finite:  # said once: a mean of losses keeps it for long
            shown = ", ".join(f"{name} is {value:g}" for name, value in list(bad.items())[:3])
            place = _first_not_finite(net)
            text = f"iteration {iteration}: {shown}" + (f"; {place} is the first" if place else "")
            self.tell(text)
            if self.stop_on_nan:
                self.diverged = text
        self._was_finite = not bad


def _first_not_finite(net: Net) -> str:
    """The first layer, in the order of execution, with NaN or infinity in its blobs or tops."""
    for node in net.nodes:
        for index, blob in enumerate(node.masters):
            if not _is_finite(blob.tensor):
                return f"blob {index} of {_named(node)}"
        for top in node.spec.tops:
            if top in net.blobs and not _is_finite(net.blobs[top].tensor):
                return f'top "{top}" of {_named(node)}'
    return ""


def _named(node: Node) -> str:
    return f'layer "{node.spec.name}" ({node.spec.type})'


def _is_finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values).all())
