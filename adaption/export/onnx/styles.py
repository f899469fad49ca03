"""Styles: how rounded weights and activation points are written in ONNX. One class per style."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from adaption.errors import LayerError
from adaption.exact.selection import Selection
from adaption.export.onnx.graph import OnnxGraph
from adaption.export.onnx.lowered import LayerValues, Scale
from adaption.numerics import FixedPoint, Format

__all__ = ["Finished", "FloatStyle", "LayerStyle", "Style", "Written"]

BELOW_HALF = np.float32(0.5 - 2.0**-25)  # as in numerics/rounding.py, for float32


@dataclass(frozen=True)
class Written:
    """Layers as operators, before a style's `finish`.

    `rounded_inputs`: input -> its value on the grid of its format. `ends`: the values that are the
    model's outputs.
    """

    graph: OnnxGraph
    layers: Sequence[LayerValues]
    inputs: Collection[str]
    rounded_inputs: Mapping[str, str]
    ends: Sequence[str]


@dataclass(frozen=True)
class Finished:
    """Where values of a graph are that a style has rearranged, and what it says of the graph.

    `names`: the new name of each that has moved, None for one that the graph lacks now. `scales`
    and `types`: of new values that hold integer codes. `notes`, `arithmetic`: see Lowered.
    """

    names: Mapping[str, str | None] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
    types: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    arithmetic: Mapping[str, Any] | None = None


class Style:
    """What is known of a style before anything is lowered. One object serves one export."""

    name: ClassVar[str]
    domains: ClassVar[Mapping[str, int]] = {}  # operator sets beside ONNX's own, and their versions

    def opset(self, formats: Iterable[Format]) -> int:
        """The oldest opset that has what the style writes for these formats of weights and
        activations."""
        return 18


class LayerStyle(Style):
    """A style that says how weights and activation points are written, the layers being lowered
    one by one: `begin`, then `weight` and `activation` in the scope of each layer, then `finish`.
    """

    def begin(
        self,
        selection: Selection,
        rounded: Sequence[Sequence[Tensor]],
        shapes: Mapping[str, tuple[int, ...]],
        input_formats: Mapping[str, FixedPoint],
    ) -> None:
        """What is to be lowered, for inputs of these shapes; once per size of the inputs.

        Args:
            rounded: each member's blobs as its layer is given them.
        """

    def weight(self, g: OnnxGraph, index: int, blob: Tensor, fmt: Format | None) -> str:
        """Name of the value that holds blob `index`, which is rounded to `fmt` already."""
        return g.blob(index, blob.detach().cpu().numpy())

    def activation(self, g: OnnxGraph, x: str, fmt: Format) -> str:
        """Write the activation point behind `x`; returns the name of the rounded value.

        Raises: LayerError when the style cannot write the format.
        """
        raise NotImplementedError

    def finish(self, written: Written) -> Finished:
        """Rearrange the graph; says where its values are now."""
        return Finished()


class FloatStyle(LayerStyle):
    """float32 throughout; activation points are elementary operators that equal
    FixedPoint.quantize bit for bit: NaN, infinities and the sign of zero included, but for the
    sign of zero of unsigned formats and of rounding floor, which varies between runtimes.

    Half away from zero is sign(c) * floor(|c| + h) with h the float32 below one half: the sum
    rounds as the one in numerics/rounding.py does, whose sign is that of c. The sign is written
    as clip(2c, -1, 1), since ONNX's Sign turns -0 into 0. Where the clip leaves a fraction, |c| is
    below one half and the floor is 0.
    """

    name = "float"

    def activation(self, g: OnnxGraph, x: str, fmt: Format) -> str:
        """The codes, and Mul by 2^-f; Div by the divisor where there is one."""
        y = self.codes(g, x, fmt)
        assert isinstance(fmt, FixedPoint)
        if fmt.frac_length or fmt.is_binary:
            y = g.op("Mul", y, g.constant(2.0**-fmt.frac_length))
        return y if fmt.is_binary else str(g.op("Div", y, g.constant(float(fmt.divisor))))

    def codes(self, g: OnnxGraph, x: str, fmt: Format) -> str:
        """The integers that stand for x, in float32: Mul by 2^f, Clip to the codes, round.

        Raises: LayerError as `activation`.
        """
        if not isinstance(fmt, FixedPoint):
            raise LayerError(
                f"activation format {fmt} has no form in ONNX style {self.name}",
                "use fixed point at this point",
            )
        code: str = g.op(
            "Clip",
            g.op("Mul", x, g.constant(2.0**fmt.frac_length * fmt.divisor)),
            g.constant(float(fmt.min_code)),
            g.constant(float(fmt.max_code)),
        )
        if fmt.rounding == "half_away":
            sign = g.op("Clip", g.op("Add", code, code), g.constant(-1.0), g.constant(1.0))
            magnitude = g.op("Floor", g.op("Add", g.op("Abs", code), g.constant(BELOW_HALF)))
            code = g.op("Mul", sign, magnitude)
        elif fmt.rounding == "half_even":
            code = g.op("Round", code)
        elif fmt.rounding == "floor":
            code = g.op("Floor", code)
        else:
            raise LayerError(
                f"activation is rounded {fmt.rounding}, which ONNX cannot compute",
                "export with rounding_scheme: DETERMINISTIC (rounding: HALF_AWAY) at this point",
            )
        return code
