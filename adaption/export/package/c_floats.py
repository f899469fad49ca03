"""Which float32 values a C program computes, and the calls that compute them."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from adaption.errors import LayerError
from adaption.export.exact.float_ops import (
    FloatAffine,
    FloatClip,
    FloatMean,
    FloatMultiply,
    FloatProduct,
    FloatSlope,
    FloatSum,
    ScaleSums,
)
from adaption.export.exact.program import Dequantize, FloatLayer, Op, Program, Quantize
from adaption.layers.convolution import Convolution
from adaption.layers.eltwise import Eltwise
from adaption.layers.inner_product import InnerProduct
from adaption.layers.pooling import Pooling

if TYPE_CHECKING:
    from adaption.export.package.c_calls import Caller

__all__ = ["FLOAT_CALLS", "FloatValues", "float_literal"]


class FloatValues:
    """The float32 values of a program, as far as C computes them.

    `computed`: those it does, inputs left out. `aliases`: of those that are an input as it is, the
    input. `left_out`: layers in float32 that have no C form, behind all codes.
    Raises: LayerError when such a layer stands before a point.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.makers = {name: op for op in program.ops for name in op.outputs}
        self.aliases = {name: name for name in program.inputs.values()}
        available = set(self.aliases)
        for op in program.ops:
            self._look(op, available)
        needed = {op.inputs[0] for op in program.of_kind(Quantize)} - set(self.aliases)
        for name in needed:
            if name not in available:
                raise _no_form(self.makers[name])
        self.ends = {blob: self._end(name, available) for blob, name in program.outputs.items()}
        needed |= {end for end in self.ends.values() if end not in program.values}
        waiting = list(needed)
        while waiting:
            for name in self.makers[waiting.pop()].inputs:
                if name not in program.values and name not in self.aliases and name not in needed:
                    needed.add(name)
                    waiting.append(name)
        self.computed = needed
        there = needed.union(self.aliases)
        self.left_out = [
            op.layer
            for op in program.ops
            if isinstance(op, FloatLayer) or type(op) in FLOAT_CALLS
            if not there.intersection(op.outputs)
        ]

    def _look(self, op: Op, available: set[str]) -> None:
        """Whether C computes an operation's float32 tops, given those before."""
        if any(x not in available and x not in self.program.values for x in op.inputs):
            return
        if isinstance(op, FloatLayer) and op.inputs[0] in self.aliases and _hands_on(op):
            self.aliases.update(dict.fromkeys(op.outputs, self.aliases[op.inputs[0]]))
        elif not isinstance(op, FloatLayer | Dequantize) and type(op) not in FLOAT_CALLS:
            return
        elif isinstance(op, FloatLayer) and not _has_form(op):
            return
        available.update(op.outputs)

    def _end(self, name: str, available: set[str]) -> str:
        """The last value before an output that C has: float32, or codes where those are it."""
        while name not in self.program.values:
            op = self.makers.get(name)
            if op is None:
                raise LayerError(
                    "no layer of the net is computed in integers", "quantize the net first"
                )
            if name in available and not isinstance(op, Dequantize):
                return name
            name = op.inputs[0]
        return name


def _no_form(op: Op) -> LayerError:
    kind = f" ({op.node.spec.type})" if isinstance(op, FloatLayer) else ""
    error = LayerError(
        f"runs in float32 before its bottom is rounded{kind}; this has no C form",
        "round the input in front of it",
    )
    return error.at(layer=op.layer)


def _hands_on(op: FloatLayer) -> bool:
    return op.node.layer.is_identity or op.node.layer.hands_on()


def _has_form(op: FloatLayer) -> bool:
    """Whether C moves, picks or compares the values as the layer does."""
    layer = op.node.layer
    return layer.works_on_codes or layer.keeps_codes() or isinstance(layer, Eltwise)


# -- calls -----------------------------------------------------------------------------------------


def scale_sums(c: Caller, op: ScaleSums) -> None:
    c.elementwise("scale_sums", op, c.float_spread(op, "scale"))


def dequantize(c: Caller, op: Dequantize) -> None:
    v = op.value
    c.elementwise("dequantize", op, repr(2.0**-v.frac_length), f"{v.divisor}.0")


def affine(c: Caller, op: FloatAffine) -> None:
    x, y, count = c.at(op.inputs[0]), c.at(op.outputs[0]), c.count(op.outputs[0])
    for kind, function in (("multiplier", "float_times"), ("addend", "float_plus")):
        if getattr(op, kind) is not None:
            c.call(function, x, c.float_spread(op, kind), y, count)
            x = y


def total(c: Caller, op: FloatSum) -> None:
    c.fold("float_add", op)


def multiply(c: Caller, op: FloatMultiply) -> None:
    c.fold("float_multiply", op)


def slope(c: Caller, op: FloatSlope) -> None:
    c.elementwise("float_slope", op, c.float_spread(op, "slopes"))


def clip(c: Caller, op: FloatClip) -> None:
    low, high = -math.inf if op.low is None else op.low, math.inf if op.high is None else op.high
    ends = (float_literal(float(np.float32(end))) for end in (low, high))
    c.elementwise("float_clip", op, *ends)


def mean(c: Caller, op: FloatMean) -> None:
    window = c.pooling_window(op, op.form)
    x, y = c.at(op.inputs[0]), c.at(op.outputs[0])
    c.call("float_mean", window, x, c.float_spread(op, "sizes"), y)


def product(c: Caller, op: FloatProduct) -> None:
    name = c.constant_name(op, "weight")
    x, y = c.at(op.inputs[0]), c.at(op.outputs[0])
    if isinstance(op.form, InnerProduct):
        _, outputs, size = op.by_tap().shape
        rows = c.count(op.inputs[0]) // size
        c.call("float_inner_product", x, name, rows, size, outputs, y)
        return
    assert isinstance(op.form, Convolution)
    c.call("float_convolve", c.convolution(op, op.form), x, name, y)


def float_layer(c: Caller, op: FloatLayer) -> None:
    layer = op.node.layer
    if isinstance(layer, Pooling):
        x, y = c.at(op.inputs[0]), c.at(op.outputs[0])
        c.call("float_max_pool", c.pooling_window(op, layer), x, y)
    elif isinstance(layer, Eltwise):
        c.fold("float_maximum", op)
    else:
        c.move(op, layer)


FLOAT_CALLS: MappingProxyType[type[Op], Callable[[Any, Any], None]] = MappingProxyType(
    {
        ScaleSums: scale_sums,
        FloatAffine: affine,
        FloatSum: total,
        FloatMultiply: multiply,
        FloatSlope: slope,
        FloatClip: clip,
        FloatMean: mean,
        FloatProduct: product,
    }
)


def float_literal(value: float) -> str:
    """A number that float32 holds, in C99."""
    if math.isinf(value):
        return "-1.0f / 0.0f" if value < 0 else "1.0f / 0.0f"
    return f"{float(value).hex()}f"
