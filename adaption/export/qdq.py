"""Style qdq: QuantizeLinear and DequantizeLinear where values lie on a grid."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from torch import Tensor

from adaption.export.grids import Grid
from adaption.export.onnx_graph import Array, OnnxGraph
from adaption.export.qdq_pass import POINT, QdqPass, container_of
from adaption.export.styles import FloatStyle
from adaption.numerics import FixedPoint, Format

__all__ = ["QdqStyle"]

INT8_ONLY = (
    "for processor vnni, weights are int8 throughout: exact where 8-bit products are added in 32"
    " bits (x86 with AVX-512 VNNI, AVX-VNNI or AMX; ARM), on other x86 processors only with"
    " onnxruntime's session option session.x64quantprecision=1"
)


class QdqStyle(FloatStyle):
    """Words of up to 16 bits in QuantizeLinear and DequantizeLinear; longer ones as FloatStyle has
    them. QuantizeLinear rounds half to even, whatever the net does. `processor` is one of
    style_table.PROCESSORS."""

    name = "qdq"

    def __init__(self, processor: str = "any") -> None:
        self._adds_in_32_bits = processor == "vnni"
        self._points: dict[str, FixedPoint] = {}
        self._on_grid: dict[str, FixedPoint] = {}  # rounded by other operators
        self._weights: dict[str, FixedPoint] = {}
        self._kept: dict[Hashable, Array] = {}
        self._notes: list[str] = []

    def opset(self, formats: Iterable[Format]) -> int:
        """21 has 16-bit QuantizeLinear."""
        return 21 if any(8 < f.word_length <= 16 for f in formats) else 18

    def weight(self, g: OnnxGraph, index: int, blob: Tensor, fmt: Format | None) -> str:
        """A float32 constant, for `finish` to store as integers."""
        name = super().weight(g, index, blob, fmt)
        if isinstance(fmt, FixedPoint):
            self._weights[name] = fmt
        return name

    def activation(self, g: OnnxGraph, x: str, fmt: Format) -> str:
        """A mark, for `finish` to replace."""
        if not isinstance(fmt, FixedPoint) or fmt.is_random:
            return super().activation(g, x, fmt)  # which refuses it
        if fmt.rounding == "floor" or container_of(Grid.of(fmt)) is None:
            rounded = super().activation(g, x, fmt)
            self._on_grid[rounded] = fmt
            return rounded
        made: str = g.op(POINT, x)
        self._points[made] = fmt
        return made

    def finish(self, g: OnnxGraph) -> Mapping[str, str | None]:
        """Write the marks as QuantizeLinear and DequantizeLinear, and weights as integers."""
        work = QdqPass(
            g,
            self._points,
            self._on_grid,
            self._weights,
            self._kept,
            adds_in_32_bits=self._adds_in_32_bits,
        )
        work.run()
        self._notes = work.notes
        return work.moved

    def notes(self, g: OnnxGraph) -> Iterable[str]:
        """Points that round otherwise than the net, sums that run in float, and where int8 weights
        are exact."""
        away = sum(f.rounding == "half_away" for f in self._points.values())
        if away:
            yield (
                "QuantizeLinear rounds ties to even (half_even), the net away from zero (half_away)"
                f" at {away} of {len(self._points) + len(self._on_grid)} activation points: codes"
                " differ where a sum lies on a tie; given data (--data, inputs=), the export counts"
                " them"
            )
        yield from self._notes
        if self._adds_in_32_bits:
            yield INT8_ONLY
