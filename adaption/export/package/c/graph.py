"""Graph: the operations of a program that its C form computes, and what reads what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from adaption.errors import LayerError
from adaption.exact.float_ops import FloatOp, ScaleSums
from adaption.exact.program import (
    Apply,
    Dequantize,
    FloatLayer,
    MaxPool,
    Op,
    Program,
    Quantize,
    Value,
)
from adaption.export.package.c.types import FLOAT, CType, computed_in, stored_in
from adaption.export.package.moves import Move, moves_of
from adaption.layers.base import Shape
from adaption.layers.eltwise import Eltwise
from adaption.layers.pooling import Pooling

__all__ = ["Graph", "check_same_shape", "is_move", "refusal"]


class Graph:
    """The operations between the float32 inputs and the last values before each output.

    Those are codes; in nets with WRPN's formats, whose last layers are float32 by rule, they are
    float32 where C computes that. Layers in float32 that move or compare values become operations
    as on codes.

    Attributes:
        inputs: shape of one sample, by input blob.
        input_of: the input blob that a float32 value is.
        ends: for each output blob the value that it is made of.
        ops: what the ends need, in the program's order.
        readers: for each value the operations that read it.
        moved: for operations that only move values, by their first top: what each top is made of.
        left_out: layers in float32 behind the ends.
    Raises: LayerError on a layer without a C form.
    """

    def __init__(self, program: Program, input_shapes: Mapping[str, Shape]) -> None:
        self.program = program
        self.inputs = {blob: input_shapes[blob][1:] for blob in program.inputs}
        self._shapes: dict[str, Shape] = {
            **{value: input_shapes[blob] for blob, value in program.inputs.items()},
            **program.float_shapes,
            **{name: value.shape for name, value in program.values.items()},
        }
        self.input_of = {value: blob for blob, value in program.inputs.items()}
        self._all = tuple(self._with_aliases(program))
        self._makers = {name: op for op in self._all for name in op.outputs}
        self.ends = {blob: self._end(value) for blob, value in program.outputs.items()}
        self.ops = self._needed()
        self.has_floats = any(self.is_float(name) for op in self.ops for name in op.outputs)
        self._places = {name: i for i, op in enumerate(self.ops) for name in op.outputs}
        self.readers: dict[str, list[Op]] = {}
        for op in self.ops:
            for name in dict.fromkeys(op.inputs):
                self.readers.setdefault(name, []).append(op)
        self.moved = {op.outputs[0]: self._moves(op) for op in self.ops if is_move(op)}
        self.left_out = list(dict.fromkeys(self._left_out()))

    def value(self, name: str) -> Value:
        """A value of codes."""
        return self.program.values[name]

    def is_float(self, name: str) -> bool:
        return name not in self.program.values

    def stored_kind(self, name: str) -> CType:
        """The type of a value in memory."""
        if self.is_float(name):
            return FLOAT
        v = self.value(name)
        return stored_in(v.low, v.high)

    def kind(self, name: str) -> CType:
        """The type of a value in computations."""
        if self.is_float(name):
            return FLOAT
        v = self.value(name)
        return computed_in(v.low, v.high)

    def shape(self, name: str) -> Shape:
        """Of one sample."""
        return self._shapes[name][1:]

    def count(self, name: str) -> int:
        """Elements of one sample."""
        return prod(self.shape(name))

    def maker(self, name: str) -> Op:
        return self._makers[name]

    def position(self, name: str) -> int:
        """Place in `ops` of what makes a value; inputs are before all."""
        return self._places.get(name, -1)

    def is_end(self, name: str) -> bool:
        return name in self.ends.values()

    def hands_flat(self, op: Op) -> bool:
        """Whether element i of the top is element i of the bottom: Flatten, Reshape, Split."""
        if not is_move(op) or len(op.inputs) != 1:
            return False
        whole: list[Move] = [(0, 0, 0, self.count(op.inputs[0]))]
        return len(op.outputs) == 1 and self.moved[op.outputs[0]][0] == whole

    # -- inner -------------------------------------------------------------------------------

    def _with_aliases(self, program: Program) -> Iterator[Op]:
        """The operations; float layers that hand an input on make aliases of it, and those that
        have a form on codes are written as that."""
        for op in program.ops:
            if not isinstance(op, FloatLayer):
                yield op
            elif op.inputs[0] in self.input_of and _hands_on(op):
                self.input_of.update(dict.fromkeys(op.outputs, self.input_of[op.inputs[0]]))
                yield op
            else:
                yield _as_on_codes(op)

    def _end(self, name: str) -> str:
        """The last value before an output that C has."""
        is_wrpn = any(map(_is_wrpn, self.program.ops))
        while self.is_float(name):
            op = self._makers.get(name)
            if op is None or name in self.input_of:
                raise LayerError(
                    "no layer of the net is computed in integers", "quantize the net first"
                )
            if is_wrpn and not isinstance(op, Dequantize) and self._has_form(name):
                return name
            name = op.inputs[0]
        return name

    def _has_form(self, name: str) -> bool:
        """Whether C computes a float32 value."""
        waiting, seen = [name], {name}
        while waiting:
            name = waiting.pop()
            if not self.is_float(name) or name in self.input_of:
                continue
            op = self._makers[name]
            if isinstance(op, FloatLayer):
                return False
            waiting += [x for x in op.inputs if x not in seen]
            seen.update(op.inputs)
        return True

    def _needed(self) -> tuple[Op, ...]:
        wanted, kept = set(self.ends.values()), []
        for op in reversed(self._all):
            if not wanted.intersection(op.outputs) or op.outputs[0] in self.input_of:
                continue
            if isinstance(op, FloatLayer):
                raise _no_form(op)
            wanted.update(op.inputs)
            kept.append(op)
        return tuple(reversed(kept))

    def _left_out(self) -> Iterator[str]:
        computed = {name for op in self.ops for name in op.outputs}
        for op in self.program.ops:
            is_there = op.outputs[0] in computed or op.outputs[0] in self.input_of
            if isinstance(op, FloatLayer | FloatOp) and not is_there:
                yield op.layer

    def _moves(self, op: Op) -> list[list[Move]]:
        assert isinstance(op, Apply)
        found = moves_of([self._shapes[name] for name in op.inputs], op)
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


def check_same_shape(graph: Graph, op: Op) -> None:
    """Raises: LayerError when bottoms differ in size from the top."""
    if any(graph.count(x) != graph.count(op.outputs[0]) for x in op.inputs):
        raise refusal(op, "combines blobs of different shapes")


def _hands_on(op: FloatLayer) -> bool:
    return op.node.layer.is_identity or op.node.layer.hands_on()


def _as_on_codes(op: FloatLayer) -> Op:
    """A float layer as an operation that C has on codes; itself where there is none."""
    layer, about = op.node.layer, (op.layer, op.inputs, op.outputs)
    if isinstance(layer, Pooling):
        is_plain = layer.pool == "MAX" and len(op.outputs) == 1
        return MaxPool(*about, form=layer) if is_plain else op
    is_greatest = isinstance(layer, Eltwise) and layer.operation == "MAX"
    return Apply(*about, form=layer) if layer.works_on_codes or is_greatest else op


def _is_wrpn(op: Op) -> bool:
    return isinstance(op, ScaleSums) or (isinstance(op, Quantize) and not op.format.is_binary)


def _no_form(op: Op) -> LayerError:
    kind = f" ({op.node.spec.type})" if isinstance(op, FloatLayer) else ""
    return refusal(
        op, f"runs in float32 before its bottom is rounded{kind}",
        "round the input in front of it",
    )  # fmt: skip


def refusal(op: Op, fact: str, fix: str = "") -> LayerError:
    """The error of an operation that C code is not written for."""
    return LayerError(f"{fact}; this has no C form", fix).at(layer=op.layer)
