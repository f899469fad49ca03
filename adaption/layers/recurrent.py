"""What LSTM and RNN share: bottoms, hidden state, and the loop over time. recurrent_layer.cpp.

Bottoms: x (T, N, ...), cont (T, N), optionally x_static (N, ...), and with expose_hidden the states
before the first step, each (1, N, H). `cont` is 0 where a sequence begins: the state before that
step counts as zero. Tops: (T, N, H), and with expose_hidden the states after the last step. No
gradient passes through states into or out of the layer, as in the original.

Without expose_hidden the state after the last step is kept and is the one before the first step
of the next forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from adaption.errors import FieldError, LayerError, ShapeError
from adaption.later import F, Tensor, torch
from adaption.layers.base import Layer, Lowering, Runtime, Shape
from adaption.layers.state import tensors_from_state, tensors_to_state

__all__ = ["Recurrent", "lower_lstm_unit", "lstm_unit"]


def lstm_unit(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """(c, h) after one step; `gates` holds i, f, o and g side by side, `cont` has a last axis 1."""
    hidden = c.shape[-1]
    i, f, o = torch.sigmoid(gates[..., : 3 * hidden]).chunk(3, -1)
    g = torch.tanh(gates[..., 3 * hidden :])
    c = cont * f * c + i * g
    return c, o * torch.tanh(c)


def lower_lstm_unit(g: Lowering, c: str, gates: str, cont: str, hidden: int) -> tuple[str, str]:
    """`lstm_unit` as ONNX operators."""
    parts = g.op("Split", gates, g.constant([hidden] * 4), outputs=4, axis=-1)
    i, f, o = (g.op("Sigmoid", part) for part in parts[:3])
    kept = g.op("Mul", g.op("Mul", cont, f), c)
    after = g.op("Add", kept, g.op("Mul", i, g.op("Tanh", parts[3])))
    return after, g.op("Mul", o, g.op("Tanh", after))


@dataclass(frozen=True)
class Recurrent(Layer):
    """Base of the layers that the original unrolls into a net of T steps."""

    num_output: int
    weight_filler: Any
    bias_filler: Any
    expose_hidden: bool

    states: ClassVar[int]  # how many state tensors go from step to step
    gates: ClassVar[int] = 1  # the input transform has gates * num_output outputs

    def check(self) -> None:
        if self.num_output < 1:
            raise FieldError("recurrent_param.num_output", self.num_output, "1 or more")
        shown = self.states if self.expose_hidden else 0
        if len(self.spec.bottoms) not in (2 + shown, 3 + shown):
            raise LayerError(
                f"has {len(self.spec.bottoms)} bottoms, allowed: x, cont, then x_static if there"
                f" is one{f', then {shown} state(s)' if shown else ''}"
            )
        if len(self.spec.tops) != 1 + shown:
            raise LayerError(
                f"has {len(self.spec.tops)} tops, allowed: {1 + shown} with expose_hidden:"
                f" {str(self.expose_hidden).lower()}"
            )

    @property
    def _has_static(self) -> bool:
        return len(self.spec.bottoms) > 2 + (self.states if self.expose_hidden else 0)

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        x, cont, *rest = bottoms
        if len(x) < 3:
            raise ShapeError(f"x has shape {x}, allowed: (T, N, ...)")
        if cont != x[:2]:
            raise ShapeError(f"cont has shape {cont}, allowed: {x[:2]}, the (T, N) of x")
        if self._has_static:
            static = rest.pop(0)
            if len(static) < 2 or static[0] != x[1]:
                raise ShapeError(f"x_static has shape {static}, allowed: ({x[1]}, ...)")
        state = (1, x[1], self.num_output)
        for shape in rest:
            if shape != state:
                raise ShapeError(f"a state bottom has shape {shape}, allowed: {state}")
        return [(*x[:2], self.num_output), *[state] * len(rest)]

    def blob_shapes(self, *bottoms: Shape) -> list[Shape]:
        wide = self.gates * self.num_output
        static = [(wide, prod(bottoms[2][1:]))] if self._has_static else []
        return [(wide, prod(bottoms[0][2:])), (wide,), *static, *self.step_shapes()]

    def blob_fillers(self) -> list[Any]:
        static = [self.weight_filler] if self._has_static else []
        steps = [
            self.bias_filler if len(s) == 1 else self.weight_filler for s in self.step_shapes()
        ]
        return [self.weight_filler, self.bias_filler, *static, *steps]

    def step_shapes(self) -> list[Shape]:
        """Shapes of the blobs behind the input transforms."""
        raise NotImplementedError

    def unroll(
        self, inputs: Tensor, cont: Tensor, states: Sequence[Tensor], blobs: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """All steps.

        Args:
            inputs: transformed x, (T, N, gates * H). cont: (T, N, 1). states: each (N, H).
            blobs: those of `step_shapes`.
        Returns: the top (T, N, H) and the states after the last step.
        """
        raise NotImplementedError

    def lower_step(
        self, g: Lowering, inputs: str, cont: str, states: Sequence[str], blobs: Sequence[str]
    ) -> tuple[str, Sequence[str]]:
        """One step as ONNX operators: this step's top (N, H), and the states behind it."""
        raise NotImplementedError

    def error_scale(self, *bottoms: Tensor) -> float:
        return 1.0  # of Sigmoid and TanH

    def forward(self, *tensors: Tensor) -> Any:
        """A pass whose hidden state is zero at first, or given by bottoms."""
        return self._pass(None, *tensors)[0]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        if self.expose_hidden:
            return self.forward(*tensors)
        tops, runtime.state["hidden"] = self._pass(runtime.state.get("hidden"), *tensors)
        return tops

    def save_state(self, runtime: Runtime) -> dict[str, Any]:
        return tensors_to_state("hidden", runtime.state.get("hidden"))

    def load_state(self, runtime: Runtime, state: Mapping[str, Any]) -> None:
        runtime.state["hidden"] = tensors_from_state("hidden", state)

    def _pass(self, carried: Sequence[Tensor] | None, *tensors: Tensor) -> tuple[Any, Any]:
        count = len(self.spec.bottoms)
        (x, cont, *rest), (w, b, *blobs) = tensors[:count], tensors[count:]
        inputs = F.linear(x.reshape(*x.shape[:2], -1), w, b)
        if self._has_static:
            inputs = inputs + F.linear(rest.pop(0).reshape(x.shape[1], -1), blobs.pop(0))
        zero = x.new_zeros(x.shape[1], self.num_output)
        states: Sequence[Tensor] = [zero] * self.states
        if self.expose_hidden:
            states = [s.detach()[0] for s in rest]
        elif carried is not None and carried[0].shape == zero.shape:
            states = [s.to(zero) for s in carried]
        top, after = self.unroll(inputs, cont.detach().unsqueeze(-1), states, blobs)
        after = [s.detach() for s in after]
        return (top, *(s.unsqueeze(0) for s in after)) if self.expose_hidden else top, after

    def lower(self, g: Lowering, *names: str) -> Any:
        """The unrolled steps. Without expose_hidden each run begins at a zero state."""
        count = len(self.spec.bottoms)
        (x, cont, *rest), (w, b, *blobs) = names[:count], names[count:]
        shape = g.shape(x)
        rows = g.op("Reshape", x, g.constant([*shape[:2], prod(shape[2:])]))
        inputs = g.op("Add", g.op("MatMul", rows, _transposed(g, w)), b)
        if self._has_static:
            static = rest.pop(0)
            flat = g.op("Reshape", static, g.constant([shape[1], prod(g.shape(static)[1:])]))
            inputs = g.op("Add", inputs, g.op("MatMul", flat, _transposed(g, blobs.pop(0))))
        zero = torch.zeros(shape[1], self.num_output).numpy()
        states: Sequence[str] = [
            g.op("Squeeze", rest[i], g.constant([0])) if self.expose_hidden else g.constant(zero)
            for i in range(self.states)
        ]
        marks = g.op("Unsqueeze", cont, g.constant([2]))
        tops = []
        for t in range(shape[0]):
            step = g.op("Gather", inputs, g.constant(t), axis=0)
            mark = g.op("Gather", marks, g.constant(t), axis=0)
            top, states = self.lower_step(g, step, mark, states, blobs)
            tops.append(g.op("Unsqueeze", top, g.constant([0])))
        y = g.op("Concat", *tops, axis=0)
        if not self.expose_hidden:
            return y
        return (y, *(g.op("Unsqueeze", s, g.constant([0])) for s in states))

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        steps = prod(bottoms[0][:2])
        weights = [s for s in self.blob_shapes(*bottoms) if len(s) == 2]
        static = [weights.pop(1)] if self._has_static else []
        return steps * sum(map(prod, weights)) + bottoms[0][1] * sum(map(prod, static))


def _transposed(g: Lowering, w: str) -> str:
    y: str = g.op("Transpose", w, perm=[1, 0])
    return y
