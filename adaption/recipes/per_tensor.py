"""Per-tensor fixed point: formats of all tensors of back-propagation, computed from a float run.

The formats stand in the net (`adaption assign` computes them), the update with accumulators is the
solver's (solver/grid_updates.py). This recipe keeps parameters in [-1, 1), and in the float run
records what the formats are computed from. Source: Sakr, Shanbhag, "Per-Tensor Fixed-Point
Quantization of the Back-Propagation Algorithm" (ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from adaption.later import Tensor
from adaption.net.plan import Plan, Point
from adaption.numerics import FixedPoint
from adaption.recipes.base import LayerView, NetView, Recipe, recipe
from adaption.recipes.per_tensor_sites import Tensors, tensors_of
from adaption.recipes.per_tensor_statistics import Inputs, Moments, Running

__all__ = ["PerTensor", "Recorded"]

BELOW_ONE = 1 - 2.0**-24  # the greatest float32 below 1


@dataclass
class Recorded:
    """What the float run has shown: gradients by point, inputs by weight layer."""

    gradients: dict[Point, Moments] = field(default_factory=dict)
    inputs: dict[str, Inputs] = field(default_factory=dict)
    # Of the net that trains, not of the state: see `attach`.
    wanted: frozenset[Point] = frozenset()
    layers: dict[str, LayerView] = field(default_factory=dict)
    on_grid: frozenset[Point] = frozenset()


@recipe("per_tensor")
@dataclass(frozen=True)
class PerTensor(Recipe[Recorded]):
    """See the head of this file."""

    clip_parameters: bool
    record: bool

    @property
    def observes(self) -> frozenset[str]:
        kinds = {"weight_grad", "activation_grad", "bottom"} if self.record else set()
        return frozenset(kinds)

    def init(self, net: NetView) -> tuple[Plan, Recorded]:
        return {}, Recorded()

    def attach(self, state: Recorded, net: NetView) -> Recorded:
        tensors = tensors_of(net.layers) if self.record else Tensors((), ())
        state.wanted = frozenset(
            (*tensors.gradients, *(Point(name, "weight_grad") for name in tensors.weight_layers))
        )
        state.layers = {x.name: x for x in net.layers if x.name in tensors.weight_layers}
        state.on_grid = frozenset(
            Point(x.name, kind)
            for x in net.layers
            for kind in ("weight", "bias")
            if _stays_below_one(x, kind)
        )
        return state

    def notices(self, net: NetView) -> Sequence[str]:
        beyond = [
            f'"{x.name}"'
            for x in net.layers
            if any(float(m.abs().max()) > 1 for m in x.masters.values() if m.numel())
        ]
        if not self.clip_parameters or not beyond:
            return ()
        return (
            f"parameters beyond [-1, 1) are clipped at the first update: {', '.join(beyond)};"
            " precision_policy.per_tensor_param.clip_parameters: false leaves them",
        )

    def observe(self, state: Recorded, point: Point, x: Tensor) -> Recorded:
        if point.kind == "bottom":
            view = state.layers.get(point.layer)
            if view is not None:
                found = state.inputs.setdefault(point.layer, Inputs.start(x.device))
                found.add(view.layer, x, len(view.bottoms))
        elif point in state.wanted:
            state.gradients.setdefault(point, Moments.start(x.device)).add(x)
        return state

    def updated(self, state: Recorded, point: Point, master: Tensor) -> Recorded:
        if self.clip_parameters and point not in state.on_grid:
            master.clamp_(-1.0, BELOW_ONE)
        return state

    def save(self, state: Recorded) -> tuple[dict[str, Any], dict[str, Tensor]]:
        averages = dict(_averages(state))
        tensors = {
            f"{name}:{part}": value
            for name, running in averages.items()
            for part, value in running.tensors()
        }
        tensors |= {
            f"{name}:direction": x.direction
            for name, x in state.inputs.items()
            if x.direction is not None
        }
        values = {
            "gradients": [[point.layer, point.kind] for point in state.gradients],
            "inputs": list(state.inputs),
            "updates": {name: running.updates for name, running in averages.items()},
        }
        return values, tensors

    def load(self, values: dict[str, Any], tensors: dict[str, Tensor]) -> Recorded:
        def running(name: str) -> Running:
            return Running.load(int(values["updates"][name]), tensors, f"{name}:")

        state = Recorded()
        for layer, kind in values["gradients"]:
            point = Point(layer, kind)
            state.gradients[point] = Moments(*(running(f"{point}:{f}") for f in Moments.FIELDS))
        for name in values["inputs"]:
            energy, singular = (running(f"{name}:{f}") for f in Inputs.FIELDS)
            state.inputs[name] = Inputs(energy, singular, tensors.get(f"{name}:direction"))
        return state


def _averages(state: Recorded) -> Iterator[tuple[str, Running]]:
    for point, moments in state.gradients.items():
        for name in Moments.FIELDS:
            yield f"{point}:{name}", getattr(moments, name)
    for layer, inputs in state.inputs.items():
        for name in Inputs.FIELDS:
            yield f"{layer}:{name}", getattr(inputs, name)


def _stays_below_one(view: LayerView, kind: str) -> bool:
    """Whether updates leave a master on a grid within [-1, 1), so that clipping changes nothing."""
    fmt = view.formats.of(kind)
    return (
        kind == "weight"
        and view.formats.weight_accumulator is not None
        and isinstance(fmt, FixedPoint)
        and fmt.min_value >= -1
        and fmt.max_value < 1
    )
