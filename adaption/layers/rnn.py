"""RNN over a sequence of T steps: h = tanh(W_hh h + W_xh x + b_h), top = tanh(W_ho h + b_o).

Caffe: rnn_layer.cpp. Blobs: W_xh (H, I), b_h (H), W_xh_static (H, S) if there is a static bottom,
W_hh (H, H), W_ho (H, H), b_o (H). Exposed state: h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaption.later import F, Tensor, torch
from adaption.layers.base import Lowering, Shape, layer
from adaption.layers.recurrent import Recurrent


@layer(
    "RNN", param="recurrent_param", kind="recurrent", bottoms=(2, 4), tops=(1, 2), no_gradient=(1,)
)
@dataclass(frozen=True)
class RNN(Recurrent):
    states = 1

    def step_shapes(self) -> list[Shape]:
        n = self.num_output
        return [(n, n), (n, n), (n,)]

    def unroll(
        self, inputs: Tensor, cont: Tensor, states: Sequence[Tensor], blobs: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        h = states[0]
        w_hh, w_ho, b_o = blobs
        w = w_hh.t()
        hidden = []
        for step, mark in zip(inputs.unbind(0), cont.unbind(0), strict=True):
            h = torch.tanh(torch.addmm(step, h * mark, w))
            hidden.append(h)
        return torch.tanh(F.linear(torch.stack(hidden), w_ho, b_o)), (h,)

    def lower_step(
        self, g: Lowering, inputs: str, cont: str, states: Sequence[str], blobs: Sequence[str]
    ) -> tuple[str, Sequence[str]]:
        w_hh, w_ho, b_o = blobs
        before = g.op("Gemm", g.op("Mul", states[0], cont), w_hh, inputs, transB=1)
        h = g.op("Tanh", before)
        return g.op("Tanh", g.op("Gemm", h, w_ho, b_o, transB=1)), (h,)
