"""Codes: integers in an ONNX graph, what every operation of exact arithmetic works on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from adaption.exact.program import Op, Value
from adaption.export.onnx.graph import OnnxGraph
from adaption.numerics.exact import FLOAT64_BITS

__all__ = ["DOUBLE", "INT32", "INT64", "NUMPY", "Codes"]

INT32, INT64, DOUBLE = (int(t) for t in (TensorProto.INT32, TensorProto.INT64, TensorProto.DOUBLE))
NUMPY: dict[int, type[np.number[Any]]] = {INT32: np.int32, INT64: np.int64, DOUBLE: np.float64}


class Codes:
    """Values of codes in a graph, their element types, and casts between them.

    `in_float`: float operators may stand where they are exact, and words of 33 to 53 bits are
    float64. `as_bytes` says which codes the graph has as uint8, too: the name and the zero point.
    """

    def __init__(
        self, graph: OnnxGraph, values: Mapping[str, Value], *, in_float: bool = False
    ) -> None:
        self.graph = graph
        self.values = values
        self.in_float = in_float
        self.types: dict[str, int] = {}
        self.as_bytes: dict[str, tuple[str, int]] = {}
        self._casts: dict[tuple[str, int], str] = {}

    def type_of(self, *bits: int) -> int:
        """The element type that holds words of so many bits."""
        most = max(bits)
        return INT32 if most <= 32 else DOUBLE if self.in_float and most <= FLOAT64_BITS else INT64

    def made(self, name: str, kind: int) -> str:
        self.types[name] = kind
        return name

    def cast(self, name: str, kind: int) -> str:
        """`name` with another element type, once per value."""
        if self.types[name] == kind:
            return name
        key = (name, kind)
        if key not in self._casts:
            self._casts[key] = self.op(kind, "Cast", name, to=kind)
            if name in self.graph.shapes:
                self.graph.shapes[self._casts[key]] = self.graph.shapes[name]
        return self._casts[key]

    def op(self, kind: int, op_type: str, *inputs: str, **attributes: Any) -> str:
        return self.made(self.graph.op(op_type, *inputs, **attributes), kind)

    def greatest(self, kind: int, x: str, y: str) -> str:
        """The greater of two, elementwise.

        onnxruntime's int64 kernels of Max, Min, Clip, Sign and Relu give wrong results where values
        differ beyond their lower 32 bits (1.31 with AVX2); its comparisons do not.
        """
        if kind != INT64:
            return self.op(kind, "Max", x, y)
        return self.op(kind, "Where", self.graph.op("Greater", x, y), x, y)

    def clipped(self, kind: int, x: str, low: int, high: int) -> str:
        """x within low..high."""
        ends = self.constant(low, kind), self.constant(high, kind)
        if kind != INT64:
            return self.op(kind, "Clip", x, *ends)
        x = self.op(kind, "Where", self.graph.op("Greater", ends[0], x), ends[0], x)
        return self.op(kind, "Where", self.graph.op("Greater", x, ends[1]), ends[1], x)

    def remainder(self, kind: int, x: str, divisor: int) -> str:
        """x less the greatest multiple of divisor that is not greater; of integers."""
        if divisor & (divisor - 1):
            return self.op(kind, "Mod", x, self.constant(divisor, kind))
        return self.op(kind, "BitwiseAnd", x, self.constant(divisor - 1, kind))

    def constant(self, values: Any, kind: int) -> str:
        return self.graph.constant(np.asarray(values, NUMPY[kind]))

    def top(self, op: Op) -> Value:
        return self.values[op.outputs[0]]

    def bottom(self, op: Op) -> Value:
        return self.values[op.inputs[0]]
