"""Lstm: a sequence layer with three blobs. CTPN: lstm_layer.cpp.

Bottoms: x (T, N, ...), optionally marks (T * N): 0 where a sequence begins, whose step then sees
no state. With marks the state before the first step is the one behind the last step of the forward
pass before; without them it is zero. Gates are i, f, o, g. Blobs: W_x (4 H, I), W_h (4 H, H),
b (4 H). No gradient passes through the state before the first step. `clipping_threshold` bounds the
gradient of each step's gates before the nonlinearity.

The original's CPU code mixes the samples of a batch (its GPU code does not): every sample gets the
recurrent part of sample 0, mark t + n governs step t of sample n, and the gradients go the same
ways. `original_semantics` reproduces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import Layer, Lowering, Runtime, Shape, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.recurrent import lower_lstm_unit, lstm_unit
from adaption.layers.state import tensors_from_state, tensors_to_state

_FLOAT = 1  # onnx.TensorProto.FLOAT


@layer(
    "Lstm",
    param="lstm_param",
    kind="recurrent",
    bottoms=(1, 2),
    no_gradient=(1,),
    reads=("batch_size",),
)
@dataclass(frozen=True)
class Lstm(Layer):
    num_output: int
    clipping_threshold: float
    weight_filler: Any
    bias_filler: Any

    def check(self) -> None:
        if self.num_output < 1:
            raise FieldError("lstm_param.num_output", self.num_output, "1 or more")

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, *marks = bottoms
        if len(x) < 3:
            raise ShapeError(f"x has shape {x}, allowed: (T, N, ...)")
        param = self.spec.message.lstm_param
        if param.HasField("batch_size") and param.batch_size != x[1]:
            # Other forks' layer of this name takes (T * N, ...), and N from this field.
            raise ShapeError(
                f"x has shape {x} and lstm_param.batch_size is {param.batch_size}, allowed: (T, N,"
                " ...) with N equal to it",
                "reshape x to (T, N, ...), or remove batch_size",
            )
        if marks and prod(marks[0]) != x[0] * x[1]:
            raise ShapeError(f"the marks have shape {marks[0]}, allowed: {x[0] * x[1]} values")
        return *x[:2], self.num_output

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        wide = 4 * self.num_output
        return [(wide, prod(bottoms[0][2:])), (wide, self.num_output), (wide,)]

    def blob_fillers(self) -> list[Any]:
        return [self.weight_filler, self.weight_filler, self.bias_filler]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x, *marks, w_x, w_h, b = tensors
        shape = (x.shape[1], self.num_output)
        h, c = x.new_zeros(shape), x.new_zeros(shape)
        cont = x.new_ones(x.shape[0], x.shape[1], 1)
        cont[0] = 0
        if marks:
            cont = (marks[0].detach() != 0).to(x).view_as(cont)
            before = runtime.state.get("hidden")
            if before is not None and before[0].shape == shape:
                h, c = (s.to(x) for s in before)
        if runtime.original_semantics and x.shape[1] > 1:
            if marks:
                steps, columns = (torch.arange(n, device=x.device) for n in x.shape[:2])
                at = steps.unsqueeze(1) + columns
                cont = cont.flatten()[at].unsqueeze(2)
            top, runtime.state["hidden"] = _mixed(
                x, cont, (h, c), w_x, w_h, b, self.clipping_threshold
            )
            return top
        inputs = F.linear(x.flatten(2), w_x, b)
        tops = []
        for step, mark in zip(inputs.unbind(0), cont.unbind(0), strict=True):
            gates = step + mark * F.linear(h, w_h)
            if self.clipping_threshold > 0:
                gates = _with_clipped_gradient(gates, self.clipping_threshold)
            c, h = lstm_unit(c, gates, mark)
            tops.append(h)
        runtime.state["hidden"] = (h.detach(), c.detach())
        return torch.stack(tops)

    def save_state(self, runtime: Runtime) -> dict[str, Any]:
        return tensors_to_state("hidden", runtime.state.get("hidden"))

    def load_state(self, runtime: Runtime, state: Mapping[str, Any]) -> None:
        runtime.state["hidden"] = tensors_from_state("hidden", state)

    def lower(self, g: Lowering, *names: str) -> str:
        """The unrolled steps; each run begins at a zero state."""
        x, *marks, w_x, w_h, b = names
        steps, count, *rest = g.shape(x)
        rows = g.op("Reshape", x, g.constant([steps, count, prod(rest)]))
        into = g.op("Transpose", w_x, perm=[1, 0])
        inputs = g.op("Add", g.op("MatMul", rows, into), b)
        if marks:
            given = g.op("Reshape", marks[0], g.constant([steps, count, 1]))
            zero = g.op("Equal", given, g.constant(0.0))
            cont = g.op("Cast", g.op("Not", zero), to=_FLOAT)
        else:
            ones = torch.ones(steps, count, 1)
            ones[0] = 0
            cont = g.constant(ones.numpy())
        h = c = g.constant(torch.zeros(count, self.num_output).numpy())
        tops = []
        for t in range(steps):
            step = g.op("Gather", inputs, g.constant(t), axis=0)
            mark = g.op("Gather", cont, g.constant(t), axis=0)
            gates = g.op("Gemm", g.op("Mul", h, mark), w_h, step, transB=1)
            c, h = lower_lstm_unit(g, c, gates, mark, self.num_output)
            tops.append(g.op("Unsqueeze", h, g.constant([0])))
        y: str = g.op("Concat", *tops, axis=0)
        return y

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return prod(bottoms[0][:2]) * sum(prod(s) for s in self.blob_shapes(*bottoms)[:2])


def _with_clipped_gradient(x: Tensor, threshold: float) -> Tensor:
    return own_gradient(x, lambda grad: (grad.clamp(-threshold, threshold),), x)


@dataclass(frozen=True)
class _Step:
    """What the backward pass of one step needs: gates (4, N, H) after the nonlinearity."""

    cont: Tensor
    gates: Tensor
    c_before: Tensor
    h_before: Tensor
    tanh_c: Tensor


def _mixed(
    x: Tensor,
    cont: Tensor,
    states: tuple[Tensor, Tensor],
    w_x: Tensor,
    w_h: Tensor,
    b: Tensor,
    threshold: float,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The original's CPU code, Forward_cpu and Backward_cpu: top (T, N, H) and the last state."""
    weight, recurrent = w_x.detach(), w_h.detach()
    rows = x.detach().flatten(2)
    inputs = F.linear(rows, weight, b.detach())
    h, c = states
    steps, tops = [], []
    for step, mark in zip(inputs.unbind(0), cont.unbind(0), strict=True):
        pre = (step + mark * F.linear(h[:1], recurrent)).view(len(step), 4, -1).transpose(0, 1)
        gates = torch.cat([torch.sigmoid(pre[:3]), torch.tanh(pre[3:])])
        gates[1] *= mark
        h_before, c_before = h, c
        c = gates[1] * c + gates[0] * gates[3]
        h = gates[2] * torch.tanh(c)
        steps.append(_Step(mark, gates, c_before, h_before, torch.tanh(c)))
        tops.append(h)

    def backward(grad: Tensor) -> Sequence[Tensor]:
        dh_later, dc = torch.zeros_like(h[0]), torch.zeros_like(c)
        deltas: list[Tensor] = []
        for saved, dh in zip(reversed(steps), grad.clone().unbind(0)[::-1], strict=True):
            dh[0] += dh_later
            i, f, o, g = saved.gates
            dc = dc + dh * o * (1 - saved.tanh_c**2)
            delta = torch.stack(
                [
                    dc * g * i * (1 - i),
                    saved.cont * dc * saved.c_before * f * (1 - f),
                    dh * saved.tanh_c * o * (1 - o),
                    dc * i * (1 - g**2),
                ],
                1,
            ).flatten(1)
            if threshold > 0:
                delta = delta.clamp(-threshold, threshold)
            dc = saved.cont * dc * f
            dh_later = (saved.cont * (delta @ recurrent)).sum(0)
            deltas.insert(0, delta)
        into_h = deltas[0][:1].t() @ steps[0].h_before[:1]
        for delta, saved in zip(deltas[1:], steps[1:], strict=True):
            into_h = into_h + delta.t() @ saved.h_before
        flat = torch.cat(deltas)
        into_x = (flat @ weight).view(x.shape)
        return into_x, flat.t() @ rows.flatten(0, 1), into_h, flat.sum(0)

    return own_gradient(torch.stack(tops), backward, x, w_x, w_h, b), (h, c)
