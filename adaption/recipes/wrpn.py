"""WRPN: few bits on grids of constants. The formats stand in the net (`rewrite --recipe wrpn`).

Source: Mishra, Nurvitadhi, Cook, Marr, "WRPN: Wide Reduced-Precision Networks" (ICLR 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adaption.later import torch
from adaption.numerics import Wrpn as WrpnFormat
from adaption.recipes.base import LayerView, NetView, Recipe, recipe

__all__ = ["Wrpn", "warning_of_zero_levels", "zero_share"]

MANY = 0.75  # share of weights in the zero level that is worth a word


@recipe("wrpn")
@dataclass(frozen=True)
class Wrpn(Recipe[None]):
    """Clips masters to [-1, 1], where their gradient does not vanish, unless it is told not to."""

    clip_masters: bool

    @property
    def keeps_range(self) -> bool:
        return self.clip_masters

    def notices(self, net: NetView) -> Sequence[str]:
        found = ((layer.name, zero_share(layer)) for layer in net.weight_layers)
        return warning_of_zero_levels({name: share for name, share in found if share is not None})


def warning_of_zero_levels(shares: Mapping[str, float]) -> list[str]:
    """A sentence about the layers most of whose weights round to 0, given their shares by name."""
    high = [f'"{name}" {share:.0%}' for name, share in shares.items() if share >= MANY]
    if not high:
        return []
    return [
        f"most weights start in the zero level of their WRPN format: {', '.join(high)}; initial"
        " values uniform in -1..1 train better"
        ' (weight_filler { type: "uniform" min: -1 max: 1 })'
    ]


def zero_share(layer: LayerView) -> float | None:
    """Share of a layer's weights that its WRPN format rounds to 0; None where it has no such format
    of two bits or more, or no weights yet."""
    fmt, weight = layer.formats.weight, layer.masters.get("weight")
    if not isinstance(fmt, WrpnFormat) or weight is None or not weight.numel():
        return None
    return 1.0 - float(torch.count_nonzero(fmt.quantize(weight))) / weight.numel()
