"""LPAct: hands its bottom on; the net rounds the top at the activation point.

ADaPTION: lp_act_layer.cpp. Its Qm.f is `lpfp_param` (see net.plan); a layer never quantizes.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, layer


@layer("LPAct", kind="rounding", takes_channels_last=True, is_identity=True)
@dataclass(frozen=True)
class LPAct(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return x

    def lower(self, g: Lowering, *names: str) -> str:
        return names[0]
