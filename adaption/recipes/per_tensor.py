"""Per-tensor fixed point: formats of all tensors of back-propagation, computed from a float run.

The formats stand in the net (`adaption assign` computes them), the update with accumulators is the
solver's (solver/grid_updates.py). This recipe keeps parameters in [-1, 1), and in the float run
records what the formats are computed from. Source: Sakr, Shanbhag, "Per-Tensor Fixed-Point
Quantization of the Back-Propagation Algorithm" (ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from adaption.net.plan import Plan, Point
from adaption.recipes.base import NetView, Recipe, recipe

__all__ = ["KEEP", "WARM_UP", "PerTensor", "Record", "patch_energy"]

KEEP = 0.9  # of a running average, per update
WARM_UP = 20  # updates whose averages are not taken for extremes
BELOW_ONE = 1 - 2.0**-24  # the greatest float32 below 1


@dataclass
class Record:
    """Running mean and variance of one gradient tensor over its entries, and their extremes.

    The averages start at 0 and are corrected by 1 - KEEP^updates. All are tensors without axes.
    """

    mean: Tensor
    variance: Tensor
    least: Tensor  # variance behind the warm-up
    most: Tensor
    updates: int = 0

    FIELDS: ClassVar[tuple[str, ...]] = ("mean", "variance", "least", "most")

    @classmethod
    def start(cls, like: Tensor) -> Record:
        zero = torch.zeros((), dtype=torch.float64, device=like.device)
        return cls(zero, zero.clone(), torch.full_like(zero, torch.inf), zero.clone())

    def add(self, x: Tensor) -> None:
        """Take one more tensor in."""
        variance, mean = torch.var_mean(x.detach(), correction=0)
        self.updates += 1
        self.mean = KEEP * self.mean + (1 - KEEP) * mean.double()
        self.variance = KEEP * self.variance + (1 - KEEP) * variance.double()
        if self.updates > WARM_UP:
            corrected = self.corrected
            self.least = torch.minimum(self.least, corrected)
            self.most = torch.maximum(self.most, corrected)

    @property
    def corrected(self) -> Tensor:
        """The running variance without the bias of its start."""
        return self.variance / (1 - KEEP**self.updates)

    @property
    def sigmas(self) -> tuple[float, float]:
        """Least and greatest standard deviation of the run."""
        if self.updates <= WARM_UP:
            now = float(self.corrected) ** 0.5 if self.updates else 0.0
            return now, now
        return float(self.least) ** 0.5, float(self.most) ** 0.5


@dataclass
class State:
    """Records by point; `energy` holds running averages of what products read, by weight layer."""

    records: dict[Point, Record] = field(default_factory=dict)
    energy: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    view: NetView | None = None


@recipe("per_tensor")
@dataclass(frozen=True)
class PerTensor(Recipe[State]):
    """See the head of this file."""

    clip_parameters: bool
    record: bool

    @property
    def observes(self) -> frozenset[str]:
        kinds = {"weight_grad", "activation_grad", "bottom"} if self.record else set()
        return frozenset(kinds)

    def init(self, net: NetView) -> tuple[Plan, State]:
        return {}, State()

    def attach(self, state: State, net: NetView) -> State:
        state.view = net
        return state

    def observe(self, state: State, point: Point, x: Tensor) -> State:
        if point.kind == "bottom":
            self._energy(state, point.layer, x)
            return state
        record = state.records.get(point)
        if record is None:
            record = state.records[point] = Record.start(x)
        record.add(x)
        return state

    def _energy(self, state: State, name: str, x: Tensor) -> None:
        assert state.view is not None, "attached"
        layer = state.view.layer(name)
        if not layer.is_weight_layer:
            return
        now = patch_energy(layer.layer, x)
        before, updates = state.energy.get(name, (torch.zeros_like(now), 0))
        state.energy[name] = KEEP * before + (1 - KEEP) * now, updates + 1

    def updated(self, state: State, point: Point, master: Tensor) -> State:
        if self.clip_parameters:
            master.clamp_(-1.0, BELOW_ONE)
        return state

    def save(self, state: State) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = dict(_tensors(state))
        values = {
            "updates": [[p.layer, p.kind, r.updates] for p, r in state.records.items()],
            "energy": {name: count for name, (_, count) in state.energy.items()},
        }
        return values, tensors

    def load(self, values: dict[str, Any], tensors: dict[str, Tensor]) -> State:
        state = State()
        for layer, kind, updates in values["updates"]:
            point = Point(layer, kind)
            own = {name: tensors[f"{point}:{name}"] for name in Record.FIELDS}
            state.records[point] = Record(updates=int(updates), **own)
        for name, count in values["energy"].items():
            state.energy[name] = tensors[f"{name}:energy"], int(count)
        return state


def _tensors(state: State) -> Iterator[tuple[str, Tensor]]:
    for point, record in state.records.items():
        for name in Record.FIELDS:
            yield f"{point}:{name}", getattr(record, name)
    for layer, (energy, _) in state.energy.items():
        yield f"{layer}:energy", energy


def patch_energy(layer: Any, x: Tensor) -> Tensor:
    """Mean over the weights of one output of the sum of the squares that meet them.

    The exact statistic that bounds the format of activation gradients by that of weight gradients:
    the sum of the squared Jacobian of the weight gradient over the number of weights, for a mean
    loss. The sum goes over samples and places. A tensor without axes, float64.
    """
    # One output per group is enough: all see the same inputs.
    one = replace(layer, num_output=getattr(layer, "group", 1), bias_term=False)
    (shape,) = one.blob_shapes(tuple(x.shape))
    with torch.no_grad():
        seen = one.forward(x.detach().square(), x.new_ones(shape))
    energy: Tensor = seen.sum(dtype=torch.float64) / prod(shape)
    return energy
