"""ExactParts: values of exact arithmetic inside a graph that is not written from it throughout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from adaption.errors import AdaptionError
from adaption.exact import Program
from adaption.exact.program import Dequantize, FloatLayer
from adaption.export.onnx.graph import OnnxGraph
from adaption.export.onnx.grids import Stored
from adaption.export.onnx.integer_codes import INT32, Codes
from adaption.export.onnx.integer_ops import EMITTERS
from adaption.export.onnx.lowered import Scale

__all__ = ["ExactParts"]


class ExactParts:
    """Writes operations of a program into a graph, from the codes that the graph has.

    Args:
        tops: pairs of a value of the graph and the value of the program that is the same.
        stored: values that the graph has codes of; it may grow.
    """

    def __init__(
        self,
        g: OnnxGraph,
        program: Program,
        tops: Iterable[tuple[str, str]],
        stored: Mapping[str, Stored],
    ) -> None:
        self.g = g
        self.program = program
        self._layers: set[str] = set()  # whose operations were written
        self._stored = stored
        self._tops: dict[str, str] = {}
        self._same: dict[str, list[str]] = {}  # the other way
        for top, value in tops:
            self._tops.setdefault(top, value)
            self._same.setdefault(value, []).append(top)
        self._codes = Codes(g, program.values, in_float=True)
        self._names = {name: name for name in program.inputs.values()}  # program -> graph
        self._makers = {name: op for op in program.ops for name in op.outputs}
        self._outputs = {op.inputs[0]: op.outputs[0] for op in program.of_kind(Dequantize)}

    def codes(self, top: str) -> str | None:
        """int32 codes of a value of the graph, as exact arithmetic computes them; None where it
        has no such value, or one that operators cannot give."""
        made = self._written(self._tops.get(top))
        return None if made is None else self._codes.cast(made, INT32)

    def floats(self, top: str) -> str | None:
        """A value that exact arithmetic hands on as float32, rounded once; None for others."""
        return self._written(self._outputs.get(self._tops.get(top, "")))

    def notes(self) -> list[str]:
        """What exact arithmetic says of layers that were written: constants that it rounds."""
        heads = tuple(f'layer "{name}":' for name in self._layers)
        return [note for note in self.program.notes if note.startswith(heads)]

    def found(self, top: str) -> tuple[str, Scale, int] | None:
        """Codes of a value where they were written: name, scale, element type."""
        value = self._tops.get(top, "")
        name = self._names.get(value, "")
        if name not in self._codes.types:
            return None
        made = self.program.values[value]
        return name, (made.frac_length, made.divisor), self._codes.types[name]

    def _written(self, wanted: str | None) -> str | None:
        """The graph's name of a value of the program; what it needs is written first."""
        if wanted is None:
            return None
        needed: set[str] = set()
        waiting = [wanted]
        while waiting:
            name = waiting.pop()
            if name not in needed and not self._is_there(name):
                needed.add(name)
                waiting += self._makers[name].inputs
        ops = [op for op in self.program.ops if needed.intersection(op.outputs)]
        if any(isinstance(op, FloatLayer) for op in ops):
            return None
        for op in ops:
            try:
                with self.g.scope(op.layer):
                    inputs = (self._names[x] for x in op.inputs)
                    made = EMITTERS[type(op)](self._codes, op, *inputs)
            except AdaptionError:  # an operation without a form in ONNX
                return None
            self._layers.add(op.layer)
            for name, top in zip(
                op.outputs, (made,) if isinstance(made, str) else made, strict=True
            ):
                self._keep(name, top)
        return self._names[wanted]

    def _is_there(self, value: str) -> bool:
        """Whether the graph has the value; codes that it stores are unpacked once."""
        found = next(
            (self._stored[t] for t in self._same.get(value, ()) if t in self._stored), None
        )
        if found is None:
            return value in self._names
        made, zero = self.program.values[value], found.container.zero_point
        if (made.frac_length, made.divisor) != (found.grid.frac_length, 1):
            return value in self._names
        if value not in self._names:
            c = self._codes
            with self.g.scope(self._makers[value].layer):
                name = c.op(INT32, "Cast", found.codes, to=INT32)
                name = c.op(INT32, "Sub", name, c.constant(zero, INT32)) if zero else name
            self._keep(value, name)
        if found.container.dtype == np.uint8:
            self._codes.as_bytes[self._names[value]] = found.codes, zero
        return True

    def _keep(self, value: str, name: str) -> None:
        self._names[value] = name
        if value in self.program.values:
            self.g.shapes[name] = self.program.values[value].shape
