"""Style integer: integer operators only, between the quantized inputs and the outputs.

The model is exact arithmetic (`adaption.exact`), operation by operation. Inputs become codes by the
operators of style float; outputs, and layers behind the last integer one, are float32 values of
codes. Between sums of WRPN weights and the next point stand float32 operators, see integer_floats.
Codes are int32, or int64 where 32 bits do not hold every code there can be. onnxruntime's
CPU kernels compute ConvInteger and MatMulInteger of 8 bits; longer words are cut into bytes, each
pair of which is one such product, and the sums are put together in int64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from adaption.errors import AdaptionError
from adaption.exact import ExactOptions, build_program
from adaption.exact.program import Op, Product, Program, TopValue, Value
from adaption.exact.selection import Selection
from adaption.export.onnx.integer_codes import Codes
from adaption.export.onnx.integer_ops import EMITTERS
from adaption.export.onnx.lowered import LayerValues, Lowered, Scale
from adaption.export.onnx.styles import Style
from adaption.numerics import FixedPoint

__all__ = ["IntegerLowered", "IntegerStyle"]

Shape = tuple[int, ...]


class IntegerStyle(Style):
    """Integer operators; see the module."""

    name = "integer"


class IntegerLowered(Lowered):
    """A program of exact arithmetic as ONNX operators."""

    def __init__(
        self,
        selection: Selection,
        rounded: Sequence[Sequence[Tensor]],
        shapes: Mapping[str, Shape],
        input_formats: Mapping[str, FixedPoint],
    ) -> None:
        super().__init__(selection, shapes)
        self.program = build_program(selection, shapes, ExactOptions(input_formats), rounded)
        self.notes = (*self.program.notes, *_wide(self.program))
        exceptions = list(self.program.exceptions)
        self.arithmetic = {"rounding": "net", "biases": "odd", "exceptions": exceptions}
        self.codes = Codes(self.graph, self.program.values)
        self._names = {name: name for name in shapes}  # value of the program -> of the graph
        for op in self.program.ops:
            try:
                self._emit(op)
            except AdaptionError as error:
                raise error.at(layer=op.layer) from None
        self._place_tops(selection)
        for blob, value in self.program.outputs.items():
            self._latest[blob] = self._names[value]
        self._name_values(selection.outputs)

    def _emit(self, op: Op) -> None:
        with self.graph.scope(op.layer):
            made = EMITTERS[type(op)](self.codes, op, *(self._names[x] for x in op.inputs))
        for name, top in zip(op.outputs, (made,) if isinstance(made, str) else made, strict=True):
            self._names[name] = top
            value = self.program.values.get(name)
            if value is None:
                self.graph.shapes[top] = self.program.float_shapes[name]
            else:
                self.graph.shapes[top] = value.shape
                self.types[top] = self.codes.types[top]

    def _place_tops(self, selection: Selection) -> None:
        tops: dict[str, list[TopValue]] = {}
        for top in self.program.tops:
            tops.setdefault(top.layer, []).append(top)
        for member in selection.members:
            spec = member.spec
            found = tops[spec.name]
            names = tuple(None if t.value is None else self._names[t.value] for t in found)
            self._latest.update((b, n) for b, n in zip(spec.tops, names, strict=True) if n)
            self.layers.append(
                LayerValues(
                    name=spec.name,
                    type=spec.type,
                    blobs=spec.tops,
                    tops=names,
                    before=names,
                    formats=member.node.formats,
                    scales=tuple(_scale(self.program.values.get(t.value or "")) for t in found),
                )
            )


def _wide(program: Program) -> list[str]:
    sums = [(op.layer, program.values[op.outputs[0]].bits) for op in program.of_kind(Product)]
    wide = [f'"{layer}" ({bits})' for layer, bits in sums if bits > 32]
    return [f"sums may need more than 32 bits, and are int64, in: {', '.join(wide)}"] * bool(wide)


def _scale(value: Value | None) -> Scale | None:
    return None if value is None else (value.frac_length, value.divisor)
