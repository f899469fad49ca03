"""Style qdq: QuantizeLinear and DequantizeLinear where values lie on a grid, exact arithmetic's
operators where float32 ones would round."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from adaption.errors import AdaptionError, LayerError
from adaption.exact import ExactOptions, Program, build_program
from adaption.exact.program import Quantize
from adaption.exact.selection import Selection
from adaption.export.onnx.exact_parts import ExactParts
from adaption.export.onnx.graph import Array, OnnxGraph
from adaption.export.onnx.grids import Stored
from adaption.export.onnx.lowered import Scale
from adaption.export.onnx.qdq_pass import POINT, QdqPass
from adaption.export.onnx.styles import Finished, FloatStyle, Written
from adaption.numerics import BinaryWeight, FixedPoint, Format, Wrpn

__all__ = ["QdqStyle"]

INT8_ONLY = (
    "for processor vnni, weights are int8 throughout: exact where 8-bit products are added in 32"
    " bits (x86 with AVX-512 VNNI, AVX-VNNI or AMX; ARM), on other x86 processors only with"
    " onnxruntime's session option session.x64quantprecision=1"
)


class QdqStyle(FloatStyle):
    """Words of up to 16 bits in QuantizeLinear and DequantizeLinear; longer ones, and those that
    truncate, as FloatStyle has them. Nearest codes are half to even, whatever the net does.

    `processor` is one of style_table.PROCESSORS.
    """

    name = "qdq"

    def __init__(self, processor: str = "any") -> None:
        self._adds_in_32_bits = processor == "vnni"
        self._points: dict[str, FixedPoint] = {}
        self._weights: dict[str, FixedPoint] = {}
        self._kept: dict[Hashable, Array] = {}
        self._away = 0  # points whose own rounding is half_away
        self._program: Callable[[], Program]

    def opset(self, formats: Iterable[Format]) -> int:
        """21 has 16-bit QuantizeLinear."""
        return 21 if any(8 < f.word_length <= 16 for f in formats) else 18

    def begin(
        self,
        selection: Selection,
        rounded: Sequence[Sequence[Tensor]],
        shapes: Mapping[str, tuple[int, ...]],
        input_formats: Mapping[str, FixedPoint],
    ) -> None:
        """Forget the points of another size; how `finish` may learn of exact arithmetic."""
        self._points, self._away = {}, 0
        options = ExactOptions(input_formats, biases="product", rounding="half_even")
        self._program = lambda: build_program(selection, shapes, options, rounded)

    def weight(self, g: OnnxGraph, index: int, blob: Tensor, fmt: Format | None) -> str:
        """A float32 constant, for `finish` to store as integers."""
        if isinstance(fmt, Wrpn | BinaryWeight):
            raise _no_scale("weight", fmt)
        name = super().weight(g, index, blob, fmt)
        if isinstance(fmt, FixedPoint) and fmt.is_binary:
            self._weights[name] = fmt
        return name

    def activation(self, g: OnnxGraph, x: str, fmt: Format) -> str:
        """A mark, for `finish` to replace."""
        if isinstance(fmt, Wrpn):
            raise _no_scale("activation", fmt)
        if not isinstance(fmt, FixedPoint) or not fmt.is_binary or fmt.is_random:
            return super().activation(g, x, fmt)  # which refuses it
        made: str = g.op(POINT, x)
        self._away += fmt.rounding == "half_away"
        self._points[made] = fmt if fmt.rounding == "floor" else replace(fmt, rounding="half_even")
        return made

    def finish(self, written: Written) -> Finished:
        """Write the marks as QuantizeLinear and DequantizeLinear, and weights as integers."""
        limited = [x.name for x in written.layers if x.formats.accumulator is not None]
        work = QdqPass(
            written.graph,
            points=self._points,
            weights=self._weights,
            kept=self._kept,
            ends=written.ends,
            limited=frozenset(limited),
            parts=lambda stored: self._parts(written, stored),
            adds_in_32_bits=self._adds_in_32_bits,
        )
        work.run()
        exact = {"rounding": "half_even", "biases": "product", "exceptions": list(work.exceptions)}
        notes = list(self._notes(work.notes))
        return replace(_moved(written, work), notes=notes, arithmetic=exact)

    def _parts(self, written: Written, stored: Mapping[str, Stored]) -> ExactParts | None:
        try:
            program = self._program()
        except AdaptionError:  # a layer without an integer form
            return None
        return ExactParts(written.graph, program, _same(written, program), stored)

    def _notes(self, of_pass: Sequence[str]) -> Iterator[str]:
        """Points that round otherwise than the net, what float32 operators round, and where int8
        weights are exact."""
        if self._away:
            yield (
                "QuantizeLinear rounds ties to even (half_even), the net away from zero (half_away)"
                f" at {self._away} of {len(self._points)} activation points: codes differ where a"
                " sum lies on a tie; given data (--data, inputs=), the export counts them"
            )
        yield from of_pass
        if self._adds_in_32_bits:
            yield INT8_ONLY


def _no_scale(kind: str, fmt: Wrpn | BinaryWeight) -> LayerError:
    return LayerError(
        f"{kind} format {fmt} has the scale {fmt.scale_text}, style qdq only has scales that are"
        " powers of two",
        "use style integer, which computes the same codes, or style float",
    )


def _same(written: Written, program: Program) -> Iterator[tuple[str, str]]:
    """Values of a graph beside the same ones of a program."""
    first = {op.inputs[0]: op.outputs[0] for op in reversed(program.of_kind(Quantize))}
    for name, value in written.rounded_inputs.items():
        yield value, first[name]
    for layer in written.layers:
        for i, value in layer.views.items():
            yield value, program.views[layer.name, i]
    tops = [value for layer in written.layers for value in layer.tops]
    for top, made in zip(tops, program.tops, strict=True):
        if top is not None and made.value is not None and not made.is_float:
            yield top, made.value


def _moved(written: Written, work: QdqPass) -> Finished:
    """Where the graph's values are now: those that were replaced by codes, as codes."""
    made = {name for node in written.graph.nodes for name in node.output}
    there = made.union(written.graph.constants, written.inputs)
    names, scales, types = dict(work.moved), dict[str, Scale](), dict[str, int]()
    for layer in written.layers:
        for value in (*layer.tops, *layer.before):
            if value is None or (names.get(value) or value) in there:
                continue
            found = work.parts and work.parts.found(value)
            names[value] = None
            if found and found[0] in made:
                names[value] = name = found[0]
                scales[name], types[name] = found[1:]
    return Finished(names, scales, types)
