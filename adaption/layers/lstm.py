"""LSTM over a sequence of T steps. Caffe: lstm_layer.cpp.

Gates are i, f, o, g. Blobs: W_xc (4 H, I), b_c (4 H), W_xc_static (4 H, S) if there is a static
bottom, W_hc (4 H, H). Exposed states: h, then c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.later import Tensor, torch
from adaption.layers.base import Lowering, Shape, layer
from adaption.layers.recurrent import Recurrent, lower_lstm_unit, lstm_unit


@layer(
    "LSTM", param="recurrent_param", kind="recurrent", bottoms=(2, 5), tops=(1, 3), no_gradient=(1,)
)
@dataclass(frozen=True)
class LSTM(Recurrent):
    states = 2
    gates = 4

    def step_shapes(self) -> list[Shape]:
        return [(4 * self.num_output, self.num_output)]

    def unroll(
        self, inputs: Tensor, cont: Tensor, states: Sequence[Tensor], blobs: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        h, c = states
        w = blobs[0].t()
        tops = []
        for step, mark in zip(inputs.unbind(0), cont.unbind(0), strict=True):
            c, h = lstm_unit(c, torch.addmm(step, h * mark, w), mark)
            tops.append(h)
        return torch.stack(tops), (h, c)

    def lower_step(
        self, g: Lowering, inputs: str, cont: str, states: Sequence[str], blobs: Sequence[str]
    ) -> tuple[str, Sequence[str]]:
        h, c = states
        hidden = g.op("Gemm", g.op("Mul", h, cont), blobs[0], inputs, transB=1)
        c, h = lower_lstm_unit(g, c, hidden, cont, self.num_output)
        return h, (h, c)
