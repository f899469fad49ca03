"""Weights that stay on their grid while they learn: what it cannot hold goes into an accumulator.

Source: Sakr, Shanbhag, "Per-Tensor Fixed-Point Quantization of the Back-Propagation Algorithm"
(ICLR 2019), the update of their program in the form that loses nothing to float32: the sum of
weight and accumulator is never formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from adaption.net.points import WeightDraw
from adaption.numerics import FixedPoint
from adaption.numerics.rounding import round_half_away
from adaption.solver.params import Param

__all__ = ["GridUpdates"]


@dataclass
class _Kept:
    """What is kept of one master: its formats, its residue, and how its data were left."""

    grid: FixedPoint
    accumulator: FixedPoint
    residue: Tensor
    stamp: object = None


class GridUpdates:
    """The accumulators of all masters whose layer has a `weight_accumulator` format.

    step is what the solver would subtract; u = residue - step; k = round half away (u / LSB);
    W' = clip(W + k LSB); residue = Q(u - (W' - W)).
    """

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def settle(self, params: Sequence[Param]) -> None:
        """Before an update: round masters onto their grid, with a residue of 0 where the formats
        are new. Masters that are on it already keep every bit."""
        for param in params:
            if param.kind != "weight":
                continue
            accumulator = param.format("weight_accumulator")
            if accumulator is None:
                self._kept.pop(param.name, None)
                continue
            grid = param.format("weight")
            assert isinstance(accumulator, FixedPoint) and isinstance(grid, FixedPoint), (
                "checked with the plan"
            )
            kept = self._kept.get(param.name)
            if kept is None or (kept.grid, kept.accumulator) != (grid, accumulator):
                zeros = torch.zeros_like(param.blob.tensor.detach())
                kept = self._kept[param.name] = _Kept(grid, accumulator, zeros)
            if kept.stamp is None or kept.stamp != param.blob.stamp():
                nearest = replace(grid, rounding="half_away") if grid.is_random else grid
                data = param.blob.tensor.detach()
                on_grid = nearest.quantize(data)
                if not torch.equal(on_grid, data):
                    data.copy_(on_grid)
                    param.blob.sync()
                kept.stamp = param.blob.stamp()

    def subtract(self, param: Param, step: Tensor, draw: WeightDraw) -> bool:
        """Take `step` off a master by way of its accumulator; False where it has none."""
        kept = self._kept.get(param.name)
        if kept is None:
            return False
        grid, data = kept.grid, param.blob.tensor.detach()
        u = kept.residue - step
        moved = round_half_away(u / grid.lsb).mul_(grid.lsb).add_(data)
        moved.clamp_(grid.min_value, grid.max_value)
        residue = u.sub_(moved - data)
        generator = None
        if kept.accumulator.is_random:
            generator = draw.generator(f"{param.name} accumulator", residue.device)
        kept.residue = kept.accumulator.quantize_(residue, generator)
        data.copy_(moved)
        kept.stamp = param.blob.stamp()
        return True

    def save(self) -> dict[str, Tensor]:
        """The residues by name of the master."""
        return {name: kept.residue for name, kept in self._kept.items()}

    def load(self, residues: dict[str, Tensor], params: Sequence[Param]) -> None:
        """Go on from `save`, with the formats and the masters as they are now."""
        self._kept.clear()
        self.settle(params)
        for name, kept in self._kept.items():
            if name in residues:
                kept.residue.copy_(residues[name])
