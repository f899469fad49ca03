"""One update of all parameters: from summed gradients to new masters. Caffe: sgd_solver.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adaption.net.points import WeightDraw
from adaption.solver.grid_updates import GridUpdates
from adaption.solver.params import Param

if TYPE_CHECKING:
    from adaption.proto.caffe_pb2 import SolverParameter
    from adaption.solver.driver import Driver
    from adaption.solver.updates import Update

__all__ = ["UpdateStep"]


class UpdateStep:
    """Order as in SGDSolver::ApplyUpdate: clip, normalize by iter_size, regularize, update.

    Gradients are rounded behind the division and before the decay, where a plan says so; a recipe
    sees them before and behind that.
    """

    def __init__(
        self,
        p: SolverParameter,
        params: Sequence[Param],
        update: Update,
        history: Sequence[Tensor],
    ) -> None:
        self.p = p
        self.params = params
        self.update = update
        self.history = history
        self.grid_updates = GridUpdates()

    def clip(self) -> tuple[float, float] | None:
        """Scale gradients down to clip_gradients; their norm and the factor where that was due."""
        limit = self.p.clip_gradients
        if limit < 0:
            return None
        diffs = [param.blob.grad for param in self.params if not param.is_copy]
        norm = float(sum(float(d.square().sum()) for d in diffs) ** 0.5)
        if norm <= limit:
            return None
        for diff in diffs:
            diff.mul_(limit / norm)
        return norm, limit / norm

    def run(self, rate: float, iteration: int, draw: WeightDraw, driver: Driver | None) -> None:
        """Update every parameter; the diffs keep what was subtracted."""
        self.grid_updates.settle(self.params)
        for i, param in enumerate(self.params):
            if not param.is_copy:
                history = self.history[i :: len(self.params)]
                self._update(param, history, rate, iteration, draw, driver)

    def _update(
        self,
        param: Param,
        history: Sequence[Tensor],
        rate: float,
        iteration: int,
        draw: WeightDraw,
        driver: Driver | None,
    ) -> None:
        data, diff = param.blob.tensor, param.blob.grad
        if self.p.iter_size > 1:
            diff.mul_(1 / self.p.iter_size)
        if driver is not None:
            driver.gradient(param, diff)
        _round(param, diff, draw)
        if driver is not None:
            driver.rounded(param, diff)
        decay = self.p.weight_decay * param.decay_mult
        if decay:
            is_l2 = self.p.regularization_type == "L2"
            diff.add_(data if is_l2 else data.sign(), alpha=decay)
        self.update(diff, history, rate * param.lr_mult, iteration)
        if not self.grid_updates.subtract(param, diff, draw):
            data.sub_(diff)
        if driver is None or driver.recipe.keeps_range:
            _keep_range(param, data)
        if driver is not None:
            driver.updated(param, data)
        param.blob.sync()  # an array that somebody holds of it shows the update


def _round(param: Param, diff: Tensor, draw: WeightDraw) -> None:
    """Round a gradient at its point: weight_grad or bias_grad of the layer that owns it."""
    point = param.gradient_point
    if point is None or param.format(point.kind) is None:
        return
    grid = param.nodes[0].points.resolved(point.kind, diff)
    generator: torch.Generator | None = None
    if grid.is_random:
        generator = draw.generator(f"{param.name} gradient", diff.device)
    grid.quantize_(diff, generator)


def _keep_range(param: Param, data: Tensor) -> None:
    """Clip a master to where its format keeps masters."""
    fmt = param.format(param.kind) if param.kind else None
    if fmt is not None and fmt.master_range is not None:
        data.clamp_(*fmt.master_range)
