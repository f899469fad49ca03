"""AdaPT: each weight layer's word length is decided while it trains.

PushDown finds the shortest format that keeps the distribution of the weights, PushUp adds bits
where gradients of a window agree so little that learning would stall; window, resolution and the
strategy of PushUp adapt, too. Weights, bias, bottoms, tops and gradients of a layer have its
format, the master stays float. Source: Kummer, Sidak, Reichmann, Gansterer, "Adaptive Precision
Training (AdaPT)" (SDM 2023). Its arithmetic is in adapt_rules.py, its performance model in
adapt_cost.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from adaption.errors import FieldError
from adaption.later import Tensor, torch
from adaption.net.plan import Plan, Point
from adaption.recipes.adapt_cost import costs, overhead, size_ratio, size_ratio_weighted, speedup
from adaption.recipes.adapt_rules import MOST, STRATEGIES, grid, next_lookback, push_down, push_up
from adaption.recipes.base import Decision, LayerView, NetView, Recipe, recipe

__all__ = ["Adapt"]

KINDS = ("weight", "bias", "bottom", "activation", "weight_grad", "bias_grad")


@dataclass
class Window:
    """Of one layer: its format, and the gradients since the last decision."""

    format: tuple[int, int]  # word length, fractional length
    steps: int = 0
    sum: Tensor | None = None  # of the gradients, each of norm 1 (or 0)


@dataclass(frozen=True)
class Figures:
    """The performance model of one update; vectors with a value per weight layer."""

    formats: tuple[tuple[int, int], ...]
    nonzero: Tensor
    lookback: Tensor
    resolution: Tensor
    diversity: Tensor
    word_length: Tensor
    cost_quantized: Tensor
    cost_float: Tensor


@dataclass
class State:
    """What the recipe knows. Vectors have a value per weight layer; what is on a device stays there
    until a window may close."""

    windows: dict[str, Window]
    lookback: Tensor
    resolution: Tensor
    live: Tensor  # gradients of the window that were not zero
    strategy: str = "MIN"
    losses: list[float] = field(default_factory=list)
    pending: list[tuple[float, Tensor, Tensor]] = field(default_factory=list)
    penalty: Tensor | None = None  # of this update: alpha sum |p|
    nonzero: dict[str, Tensor] = field(default_factory=dict)
    totals: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    updates: int = 0  # `totals` sums over them: cost quantized, cost float, size ratio
    figures: Figures | None = None  # of the last update
    layers: dict[str, LayerView] = field(default_factory=dict)
    sizes: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    macs: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    samples: int = 1  # of one pass
    passes: int = 1
    seed: int = 0


@recipe("adapt")
@dataclass(frozen=True)
class Adapt(Recipe[State]):
    """See the head of this file, and AdaptParameter for the settings."""

    initial_word_length: int
    initial_frac_length: int
    frac_length_floor: int
    lookback_min: int
    lookback_max: int
    lookback_momentum: float
    resolution_min: int
    resolution_max: int
    buffer: int
    strategy: str
    alpha: float
    adapt: bool
    quantize: bool
    strict_code: bool
    quantize_pool: bool
    batch_norm_format: bool

    def check(self) -> None:
        limits = {
            "initial_word_length": (1, MOST),
            "initial_frac_length": (0, MOST),
            "frac_length_floor": (1, MOST),
            "lookback_min": (1, 10**6),
            "lookback_max": (self.lookback_min, 10**6),
            "resolution_min": (2, 10**6),
            "resolution_max": (self.resolution_min, 10**6),
            "buffer": (0, MOST - 1),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise FieldError(name, getattr(self, name), f"{least}..{most}")
        if not 0 < self.lookback_momentum <= 1:
            raise FieldError("lookback_momentum", self.lookback_momentum, "above 0, up to 1")
        if not (self.alpha >= 0 and math.isfinite(self.alpha)):
            raise FieldError("alpha", self.alpha, "0 or more")

    # -- formats -----------------------------------------------------------------------------

    def init(self, net: NetView) -> tuple[Plan, State]:
        if net.regularization == "L1":
            raise FieldError(
                "regularization_type", "L1", "L2 with this policy", "its alpha is the factor of L1"
            )
        first = self.initial_word_length, self.initial_frac_length
        names = [layer.name for layer in net.weight_layers]
        count = len(names)
        state = State(
            {name: Window(first) for name in names},
            torch.full((count,), float(self.lookback_min), dtype=torch.float64),
            torch.full((count,), float(self.resolution_min), dtype=torch.float64),
            torch.zeros(count, dtype=torch.float64),
            self.strategy,
        )
        state.layers = {layer.name: layer for layer in net.layers}
        plan: dict[Point, Any] = {}
        for name in names:
            plan |= self._formats(state, name, first)
        return plan, state

    def _formats(self, state: State, name: str, fmt: tuple[int, int]) -> Plan:
        """One format at the points of a weight layer, and of layers that go with it."""
        if not self.quantize:
            return {}
        plan = {Point(name, k): grid(*fmt) for k in KINDS if k in state.layers[name].kinds}
        for other in self._companions(state, name):
            plan |= {Point(other.name, k): grid(*fmt) for k in self._kinds(other)}
        return plan

    def _companions(self, state: State, name: str) -> list[LayerView]:
        """Layers behind a weight layer, up to the next, that have its format on request."""
        layers = list(state.layers.values())
        reached = set(state.layers[name].tops)
        found = []
        for layer in layers[layers.index(state.layers[name]) + 1 :]:
            if layer.is_weight_layer or not reached & set(layer.bottoms):
                continue
            reached |= set(layer.tops)
            if self._kinds(layer):
                found.append(layer)
        return found

    def _kinds(self, layer: LayerView) -> tuple[str, ...]:
        if self.quantize_pool and layer.layer.kind == "pooling":
            return tuple(k for k in ("bottom", "activation") if k in layer.kinds)
        if self.batch_norm_format and layer.layer.kind == "channel affine":
            own = ("weight", "bias", "weight_grad", "bias_grad")
            return tuple(k for k in own if k in layer.kinds)
        return ()

    def attach(self, state: State, net: NetView) -> State:
        state.layers = {layer.name: layer for layer in net.layers}
        weights = [state.layers[name].masters["weight"] for name in state.windows]
        device = weights[0].device if weights else torch.device("cpu")
        state.sizes = _vector([float(w.numel()) for w in weights], device)
        state.macs = _vector([float(state.layers[n].macs) for n in state.windows], device)
        for name in ("lookback", "resolution", "live", "totals"):
            setattr(state, name, getattr(state, name).to(device))
        state.samples, state.passes, state.seed = net.batch, net.passes, net.seed
        return state

    # -- one update --------------------------------------------------------------------------

    def gradient(self, state: State, point: Point, grad: Tensor) -> State:
        """Add the gradient of alpha sum |p|, p as the passes read it; note what of p is not 0."""
        kind = "weight" if point.kind == "weight_grad" else "bias"
        p = state.layers[point.layer].rounded()[kind].view(grad.shape)
        if self.alpha:
            grad.add_(p.sign(), alpha=self.alpha)
            term = self.alpha * p.abs().sum(dtype=torch.float64)
            state.penalty = term if state.penalty is None else state.penalty + term
        if point.layer in state.windows and kind == "weight":
            state.nonzero[point.layer] = torch.count_nonzero(p)
        return state

    def rounded(self, state: State, point: Point, grad: Tensor) -> State:
        """Divide the gradient by its norm, and add it to the window."""
        norm = torch.linalg.vector_norm(grad)
        grad.div_(norm.where(norm > 0, 1))
        window = state.windows.get(point.layer)
        if window is not None and point.kind == "weight_grad":
            index = list(state.windows).index(point.layer)
            window.sum = grad.clone() if window.sum is None else window.sum.add_(grad)
            window.steps += 1
            state.live[index] += torch.ones_like(norm) if self.strict_code else norm > 0
        return state

    def decide(self, state: State, iteration: int, loss: float) -> tuple[Decision, State]:
        diversity = self._diversity(state)
        adapts = self.adapt and self.quantize
        if adapts:
            self._look(state, diversity)
        self._count(state, diversity)
        if not adapts:
            return Decision(), state
        penalty = state.lookback.new_zeros(()) if state.penalty is None else state.penalty
        state.pending.append((loss, penalty, state.lookback.mean()))
        state.penalty = None
        if all(window.steps < self.lookback_min for window in state.windows.values()):
            return Decision(), state  # no window can close: nothing is read back
        self._replay(state)
        held = (state.lookback + 0.5).floor().tolist()
        plan: dict[Point, Any] = {}
        events = []
        for i, (name, window) in enumerate(state.windows.items()):
            if window.steps < held[i]:
                continue
            event = self._switch(state, i, name, float(diversity[i]), iteration)
            if event is not None:
                plan |= self._formats(state, name, window.format)
                events.append(event)
        return Decision(plan or None, tuple(events)), state

    def _look(self, state: State, diversity: Tensor) -> None:
        """Move lookback and resolution on."""
        least, most = self.lookback_min, self.lookback_max
        state.lookback = next_lookback(
            state.lookback, diversity, least, most, self.lookback_momentum, strict=self.strict_code
        )
        held = (state.lookback + 0.5).floor()
        moved = state.resolution + (held == most).double() - (held == least).double()
        state.resolution = moved.clamp(self.resolution_min, self.resolution_max)

    def _diversity(self, state: State) -> Tensor:
        """Sum of norms over norm of the sum, per layer; infinite where the sum vanishes."""
        norms = [
            state.lookback.new_zeros(())
            if window.sum is None
            else torch.linalg.vector_norm(window.sum).double()
            for window in state.windows.values()
        ]
        total = torch.stack(norms)
        return (state.live / total).where(total > 0, math.inf)

    def _replay(self, state: State) -> None:
        """Let the strategy see the losses since the last look, one by one."""
        for loss, penalty, mean in state.pending:
            span = int(float(mean))
            state.losses.append(loss + float(penalty))
            if len(state.losses) > span:
                recent = state.losses[-span - 1 :] if self.strict_code else state.losses[-span:]
                falls = abs(sum(recent) / span) > abs(state.losses[-1])
                worse = STRATEGIES.index(state.strategy) + 1
                state.strategy = "MIN" if falls else STRATEGIES[min(worse, 2)]
        state.pending.clear()
        del state.losses[: -max(self.lookback_min, self.lookback_max) - 1]

    def _switch(
        self, state: State, index: int, name: str, diversity: float, iteration: int
    ) -> dict[str, Any] | None:
        """Decide a layer's format and begin a new window; None where the net states its own."""
        window, layer = state.windows[name], state.layers[name]
        steps, before = window.steps, window.format
        window.steps, window.sum = 0, None
        lookback, resolution = float(state.lookback[index]), int(state.resolution[index])
        state.live[index] = 0
        if "weight" in layer.stated:
            return None
        master = layer.masters["weight"]
        from adaption.net.points import WeightDraw  # needs torch, which settings do not

        draw = WeightDraw(state.seed, iteration)
        down = push_down(
            master,
            *before,
            resolution,
            self.frac_length_floor,
            lambda: draw.generator(f"{name} candidates", master.device),
            strict=self.strict_code,
        )
        _, wl, fl = push_up(diversity, *down, state.strategy, self.buffer)
        window.format = wl, fl
        return {
            "event": "precision",
            "iter": iteration,
            "layer": name,
            "window": steps,
            "diversity": None if math.isinf(diversity) else diversity,
            "lookback": lookback,
            "resolution": resolution,
            "strategy": state.strategy.lower(),
            "before": list(before),
            "down": list(down),
            "after": [wl, fl],
        }

    # -- the performance model -----------------------------------------------------------------

    def _count(self, state: State, diversity: Tensor) -> None:
        """Add an update to the totals, with the formats that it had."""
        formats = tuple(w.format if self.quantize else (32, 0) for w in state.windows.values())
        word_length = _vector([float(wl) for wl, _ in formats], state.sizes.device)
        nonzero, extra = torch.ones_like(word_length), torch.zeros_like(word_length)
        if self.quantize:
            live = [state.nonzero.get(name, state.sizes[i]) for i, name in enumerate(state.windows)]
            nonzero = torch.stack([x.double() for x in live]) / state.sizes
        if self.adapt and self.quantize:
            work = overhead(state.sizes, word_length, nonzero, state.lookback, state.resolution)
            extra = work / (state.samples * state.passes)
        quantized, full = costs(state.macs, word_length, nonzero, extra)
        state.figures = Figures(
            *(formats, nonzero, state.lookback, state.resolution, diversity),
            *(word_length, quantized, full),
        )
        share = nonzero.mean() * word_length.sum() / (32 * len(word_length))
        state.totals = state.totals + torch.stack([quantized.sum(), full.sum(), share])
        state.updates += 1

    def progress(self, state: State, iteration: int) -> tuple[dict[str, Any] | None, State]:
        f = state.figures
        if f is None:
            return None, state
        rows = [
            {
                "layer": name,
                "macs": int(state.macs[i]),
                "size": int(state.sizes[i]),
                "word_length": f.formats[i][0],
                "frac_length": f.formats[i][1] if self.quantize else None,
                "nonzero": float(f.nonzero[i]),
                "lookback": float(f.lookback[i]),
                "resolution": int(f.resolution[i]),
                "diversity": _finite(float(f.diversity[i])),
            }
            for i, name in enumerate(state.windows)
        ]
        bits = (state.macs * f.word_length * f.nonzero).sum()
        event = {
            "event": "performance",
            "iter": iteration,
            "layers": rows,
            "cost_quantized": float(f.cost_quantized.sum()),
            "cost_float": float(f.cost_float.sum()),
            "speedup": speedup(float(state.totals[0]), float(state.totals[1])),
            "speedup_inference": _finite(float(f.cost_float.sum() / bits)),
            "size_ratio": size_ratio(f.word_length, f.nonzero),
            "size_ratio_weighted": size_ratio_weighted(state.sizes, f.word_length, f.nonzero),
            "memory": 1 + 2 * float(state.totals[2]) / state.updates,
            "penalty": float((f.nonzero * f.word_length).mean() / 32),
            "strategy": state.strategy.lower(),
        }
        return event, state

    # -- snapshots -----------------------------------------------------------------------------

    def save(self, state: State) -> tuple[dict[str, Any], dict[str, Tensor]]:
        if state.pending:
            self._replay(state)
        values = {
            "formats": {name: list(w.format) for name, w in state.windows.items()},
            "steps": {name: w.steps for name, w in state.windows.items()},
            "lookback": state.lookback.tolist(),
            "resolution": state.resolution.tolist(),
            "live": state.live.tolist(),
            "strategy": state.strategy,
            "losses": state.losses,
            "totals": state.totals.tolist(),
            "updates": state.updates,
        }
        sums = {name: w.sum for name, w in state.windows.items() if w.sum is not None}
        return values, sums

    def load(self, values: dict[str, Any], tensors: dict[str, Tensor]) -> State:
        windows = {
            name: Window((int(fmt[0]), int(fmt[1])), int(values["steps"][name]), tensors.get(name))
            for name, fmt in values["formats"].items()
        }
        return State(
            windows,
            _vector(values["lookback"]),
            _vector(values["resolution"]),
            _vector(values["live"]),
            strategy=values["strategy"],
            losses=[float(x) for x in values["losses"]],
            totals=_vector(values["totals"]),
            updates=int(values["updates"]),
        )


def _vector(values: Sequence[float], device: torch.device | None = None) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
