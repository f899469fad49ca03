"""The constants of a program by name, and a description of the program in plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.exact.float_ops import (
    FloatAffine,
    FloatClip,
    FloatMean,
    FloatProduct,
    FloatSlope,
    ScaleSums,
)
from adaption.exact.program import (
    Accumulate,
    Clamp,
    Interpolate,
    MultiplyAdd,
    Op,
    Product,
    Program,
    Quantize,
    Round,
    Slope,
    SquareSum,
    Table,
    Value,
)
from adaption.export.package.c.types import FLOAT, CType, computed_in, stored_in
from adaption.layers.base import Layer
from adaption.layers.convolution import Convolution
from adaption.layers.inner_product import InnerProduct
from adaption.numerics.exact import bits_of, integer_type

__all__ = ["FORMAT", "PackedConstant", "constants_of", "describe"]

FORMAT = "adaption.integer/1"

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PackedConstant:
    """Integer codes of one operation: `kind` is weight, multiplier, addend, negative (slope), table
    or nodes; or float32 values: scale, weight, multiplier, addend, slopes or sizes.

    A code stands for code * 2^-frac_length / divisor, before the scale of its sums.
    """

    name: str
    layer: str
    kind: str
    codes: Codes | Floats
    frac_length: int
    layout: str
    divisor: int = 1

    @property
    def is_float(self) -> bool:
        return self.codes.dtype == np.float32

    @property
    def integers(self) -> Codes:
        """The codes of a constant that is no float."""
        assert not self.is_float
        return self.codes.astype(np.int64, copy=False)

    @property
    def c_type(self) -> CType:
        """The type of its elements in C: the shortest; for nodes 32 or 64 bits."""
        if self.is_float:
            return FLOAT
        ends = [int(f(self.codes)) if self.codes.size else 0 for f in (np.min, np.max)]
        return computed_in(*ends) if self.kind == "nodes" else stored_in(*ends)

    @property
    def word_length(self) -> int:
        """Bits that hold every code, sign included."""
        low, high = (int(f(self.codes)) if self.codes.size else 0 for f in (np.min, np.max))
        return bits_of(min(low, 0), max(high, 0))

    def packed(self) -> npt.NDArray[Any]:
        """The codes in the shortest integer type; float32 values as they are."""
        if self.is_float:
            return self.codes
        return self.codes.astype(integer_type(self.word_length))

    def describe(self) -> dict[str, Any]:
        about = {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.codes.shape),
            "layout": self.layout,
        }
        if self.is_float:
            return {**about, "type": "float32"}
        return {
            **about,
            "word_length": self.word_length,
            "frac_length": self.frac_length,
            **({"divisor": self.divisor} if self.divisor != 1 else {}),
            "q": self.q,
        }

    @property
    def q(self) -> str:
        """Qm.f, over the divisor; or float32."""
        if self.is_float:
            return "float32"
        over = f" / {self.divisor}" if self.divisor != 1 else ""
        return f"Q{self.word_length - self.frac_length}.{self.frac_length}{over}"


def constants_of(program: Program) -> dict[str, list[PackedConstant]]:
    """The constants of each operation, by its first output; names are unique and start with the
    layer's."""
    taken: set[str] = set()
    found = {}
    for op in program.ops:
        made = []
        for kind, codes, *rest in _raw(op, program):
            name, count = f"{op.layer}/{kind}", 1
            while name in taken:
                count += 1
                name = f"{op.layer}/{kind}{count}"
            taken.add(name)
            made.append(PackedConstant(name, op.layer, kind, codes, *rest))
        found[op.outputs[0]] = made
    return found


SPREAD = "broadcasts against the blob"
FLOATS: Mapping[type[Op], tuple[str, ...]] = {
    ScaleSums: ("scale",),
    FloatAffine: ("multiplier", "addend"),
    FloatSlope: ("slopes",),
    FloatMean: ("sizes",),
}
"""The float32 constants of an operation, which broadcast."""


def _raw(op: Op, program: Program) -> Iterator[tuple[Any, ...]]:
    """Kind, values, and the other fields of PackedConstant."""
    if isinstance(op, Product):
        bottom, top = (program.values[n] for n in (op.inputs[0], op.outputs[0]))
        divisor = top.divisor // bottom.divisor
        yield "weight", op.weight, op.weight_frac_length, _layout(op.form), divisor
        return
    if isinstance(op, FloatProduct):
        is_dense = isinstance(op.form, InnerProduct)
        weight, layout = (op.by_tap()[0], "outputs, inputs") if is_dense else (op.weight, "")
        yield "weight", weight, 0, layout or _layout(op.form)
        return
    for kind in FLOATS.get(type(op), ()):
        if (values := getattr(op, kind)) is not None:
            yield kind, values, 0, SPREAD
    if isinstance(op, Table):
        yield "table", op.entries, program.values[op.outputs[0]].frac_length, "by bottom code"
    if isinstance(op, Interpolate):
        yield "nodes", op.nodes, program.values[op.outputs[0]].frac_length, "by rising sum"
    if not isinstance(op, MultiplyAdd | Accumulate | Slope):
        return
    before, after = (program.values[n] for n in (op.inputs[0], op.outputs[0]))
    if isinstance(op, MultiplyAdd):
        yield "multiplier", op.multiplier, after.frac_length - before.frac_length, SPREAD
    if isinstance(op, MultiplyAdd | Accumulate):
        yield "addend", op.addend, after.frac_length, SPREAD
    if isinstance(op, Slope):
        yield "negative", op.negative, after.frac_length - before.frac_length, SPREAD


def _layout(form: Layer) -> str:
    if isinstance(form, InnerProduct):
        return "inputs, outputs" if form.transpose else "outputs, inputs"
    swapped = isinstance(form, Convolution) and form.is_transposed
    first = "inputs, outputs" if swapped else "outputs, inputs"
    return f"{first} of a group, kernel"


def describe(program: Program, name: str) -> dict[str, Any]:
    """The program in plain values, for JSON: operations in order, values, tops of layers."""
    constants = constants_of(program)
    return {
        "format": FORMAT,
        "net": name,
        "q_convention": "Qm.f: m counts the sign bit; a code stands for code * 2^-f / divisor",
        "layout": "row-major, channels first, without the batch axis",
        "inputs": dict(program.inputs),
        "outputs": dict(program.outputs),
        "operations": [
            {
                "operation": type(op).__name__,
                "layer": op.layer,
                "inputs": list(op.inputs),
                "outputs": list(op.outputs),
                **_settings(op),
                "constants": [c.describe() for c in constants[op.outputs[0]]],
            }
            for op in program.ops
        ],
        "values": {name: _value(v) for name, v in program.values.items()},
        "float_values": {name: list(s[1:]) for name, s in program.float_shapes.items()},
        "tops": [
            {"layer": t.layer, "type": t.type, "blob": t.blob, "value": t.value}
            for t in program.tops
        ],
        "notes": list(program.notes),
    }


def _value(v: Value) -> dict[str, Any]:
    return {
        "shape": list(v.shape[1:]),
        "q": f"Q{v.bits - v.frac_length}.{v.frac_length}",
        "word_length": v.bits,
        "frac_length": v.frac_length,
        "divisor": v.divisor,
        "low": v.low,
        "high": v.high,
    }


def _settings(op: Op) -> dict[str, Any]:
    if isinstance(op, Quantize):
        f = op.format
        return {"frac_length": f.frac_length, "divisor": f.divisor, "low": f.min_code,
                "high": f.max_code, "rounding": f.rounding}  # fmt: skip
    names: dict[type[Op], tuple[str, ...]] = {
        Round: ("factor", "divisor", "rounding", "low", "high"),
        Accumulate: ("shift", "rounding", "word_length", "overflow"),
        Clamp: ("low", "high"),
        FloatClip: ("low", "high"),
        Slope: ("positive",),
        Product: ("shift",),
        Table: ("first",),
        SquareSum: ("windows",),
        Interpolate: ("segment_bits",),
    }
    return {name: getattr(op, name) for name in names.get(type(op), ())}
