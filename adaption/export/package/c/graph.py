"""Graph: the operations of a program that its C form computes, and what reads what."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from adaption.errors import LayerError
from adaption.exact.float_ops import FloatOp, ScaleSums
from adaption.exact.program import (
    Apply,
    Dequantize,
    FloatLayer,
    Op,
    Program,
    Quantize,
    Value,
)
from adaption.export.package.moves import Move, moves_of
from adaption.layers.base import Shape
from adaption.layers.eltwise import Eltwise

__all__ = ["Graph", "is_move", "refusal"]


class Graph:
    """The operations between the float32 inputs and the last codes before each output.

    Attributes:
        inputs: shape of one sample, by input blob.
        input_of: the input blob that a float32 value is.
        ends: for each output blob the codes that it is made of.
        ops: what the ends need, in the program's order.
        readers: for each value the operations that read it.
        moved: for operations that only move values, by their first top: what each top is made of.
        left_out: layers in float32 behind the ends.
    Raises: LayerError on a layer without a C form.
    """

    def __init__(self, program: Program, input_shapes: Mapping[str, Shape]) -> None:
        for op in program.of_kind(ScaleSums):
            raise refusal(
                op, "scales its sums in float32, by WRPN's rule",
                "write npz or ONNX of style integer, which hold the same codes",
            )  # fmt: skip
        self.program = program
        self.inputs = {blob: input_shapes[blob][1:] for blob in program.inputs}
        self._makers = {name: op for op in program.ops for name in op.outputs}
        self.input_of = {value: blob for blob, value in program.inputs.items()}
        self.ends = {blob: self._end(value) for blob, value in program.outputs.items()}
        self.ops = self._needed()
        self._places = {name: i for i, op in enumerate(self.ops) for name in op.outputs}
        self.readers: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                self.readers.setdefault(name, []).append(op)
        self.moved = {op.outputs[0]: self._moves(op) for op in self.ops if is_move(op)}
        self.left_out = list(dict.fromkeys(self._left_out()))

    def value(self, name: str) -> Value:
        return self.program.values[name]

    def shape(self, name: str) -> Shape:
        """Of one sample."""
        return self.program.values[name].shape[1:]

    def count(self, name: str) -> int:
        """Elements of one sample."""
        return prod(self.shape(name))

    def maker(self, name: str) -> Op:
        return self._makers[name]

    def position(self, name: str) -> int:
        """Place in `ops` of what makes a value."""
        return self._places[name]

    def is_end(self, name: str) -> bool:
        return name in self.ends.values()

    def hands_flat(self, op: Op) -> bool:
        """Whether element i of the top is element i of the bottom: Flatten, Reshape, Split."""
        if not is_move(op) or len(op.inputs) != 1:
            return False
        whole: list[Move] = [(0, 0, 0, self.count(op.inputs[0]))]
        return len(op.outputs) == 1 and self.moved[op.outputs[0]][0] == whole

    # -- inner -------------------------------------------------------------------------------

    def _end(self, name: str) -> str:
        """The codes that a float32 output was made of."""
        while name not in self.program.values:
            op = self._makers.get(name)
            if op is None:
                raise LayerError(
                    "no layer of the net is computed in integers", "quantize the net first"
                )
            name = op.inputs[0]
        return name

    def _needed(self) -> tuple[Op, ...]:
        wanted, kept = set(self.ends.values()), []
        for op in reversed(self.program.ops):
            if not wanted.intersection(op.outputs):
                continue
            if isinstance(op, Quantize):
                self._trace_input(op)
            wanted.update(op.inputs)
            if not isinstance(op, FloatLayer | Dequantize | FloatOp):
                kept.append(op)
        return tuple(reversed(kept))

    def _trace_input(self, op: Quantize) -> None:
        """Find the input that is rounded, through layers that hand it on."""
        passed = []
        name = op.inputs[0]
        while name not in self.input_of:
            maker = self._makers[name]
            if not isinstance(maker, FloatLayer) or not _hands_on(maker):
                kind = f" ({maker.node.spec.type})" if isinstance(maker, FloatLayer) else ""
                raise refusal(
                    maker, f"runs in float32 before its bottom is rounded{kind}",
                    "round the input in front of it",
                )  # fmt: skip
            passed.append(name)
            name = maker.inputs[0]
        self.input_of.update(dict.fromkeys(passed, self.input_of[name]))

    def _left_out(self) -> list[str]:
        return [
            op.layer
            for op in self.program.ops
            if isinstance(op, FloatLayer | FloatOp) and op.outputs[0] not in self.input_of
        ]

    def _moves(self, op: Op) -> list[list[Move]]:
        assert isinstance(op, Apply)
        found = moves_of(self.program, op)
        moves = [moved for moved in found if moved is not None]
        if len(moves) < len(found):
            raise refusal(
                op, f"{type(op.form).__name__} mixes samples, or computes with its bottoms",
                "give the net an input of one sample",
            )  # fmt: skip
        return moves


def is_move(op: Op) -> bool:
    """Whether an operation only moves values."""
    return isinstance(op, Apply) and not isinstance(op.form, Eltwise)


def _hands_on(op: FloatLayer) -> bool:
    return op.node.layer.is_identity or op.node.layer.hands_on()


def refusal(op: Op, fact: str, fix: str = "") -> LayerError:
    """The error of an operation that C code is not written for."""
    return LayerError(f"{fact}; this has no C form", fix).at(layer=op.layer)
