"""LSTMUnit: one step of an LSTM from c, the gates' inputs and the continuation mark.

Caffe: lstm_unit_layer.cpp. Bottoms (1, N, H), (1, N, 4 H), (1, N); tops c and h, both (1, N, H).
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import ShapeError
from adaption.later import Tensor
from adaption.layers.base import Layer, Lowering, Shape, layer
from adaption.layers.recurrent import lower_lstm_unit, lstm_unit


@layer("LSTMUnit", kind="recurrent", bottoms=3, tops=2, no_gradient=(2,))
@dataclass(frozen=True)
class LSTMUnit(Layer):
    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        c, gates, cont = bottoms
        if len(c) != 3 or c[0] != 1:
            raise ShapeError(f"the first bottom has shape {c}, allowed: (1, N, H)")
        for place, found, wanted in (
            ("second", gates, (1, c[1], 4 * c[2])),
            ("third", cont, (1, c[1])),
        ):
            if found != wanted:
                raise ShapeError(f"the {place} bottom has shape {found}, allowed: {wanted}")
        return [c, c]

    def forward(self, c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
        return lstm_unit(c, gates, cont.detach().unsqueeze(-1))

    def lower(self, g: Lowering, *names: str) -> tuple[str, str]:
        c, gates, cont = names
        hidden = g.shape(c)[-1]
        return lower_lstm_unit(g, c, gates, g.op("Unsqueeze", cont, g.constant([2])), hidden)
