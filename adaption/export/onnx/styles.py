"""Styles: how rounded weights and activation points are written in ONNX. One class per style."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from adaption.errors import LayerError
from adaption.exact.selection import Selection
from adaption.export.onnx.graph import OnnxGraph
from adaption.export.onnx.lowered import LayerLowered, Lowered, Moved
from adaption.numerics import FixedPoint, Format

__all__ = ["FloatStyle", "Style"]

BELOW_HALF = np.float32(0.5 - 2.0**-25)  # as in numerics/rounding.py, for float32


class Style:
    """What a style decides. The exporter calls `weight` and `activation` in the scope of the layer,
    and `finish` once all layers are lowered. One object serves one export."""

    name: ClassVar[str]
    domains: ClassVar[Mapping[str, int]] = {}  # operator sets beside ONNX's own, and their versions

    def opset(self, formats: Iterable[Format]) -> int:
        """The oldest opset that has what the style writes for these formats of weights and
        activations."""
        return 18

    def weight(self, g: OnnxGraph, index: int, blob: Tensor, fmt: Format | None) -> str:
        """Name of the value that holds blob `index`, which is rounded to `fmt` already."""
        return g.blob(index, blob.detach().cpu().numpy())

    def activation(self, g: OnnxGraph, x: str, fmt: Format) -> str:
        """Write the activation point behind `x`; returns the name of the rounded value.

        Raises: LayerError when the style cannot write the format.
        """
        raise NotImplementedError

    def lowered(
        self,
        selection: Selection,
        rounded: Sequence[Sequence[Tensor]],
        shapes: Mapping[str, tuple[int, ...]],
        input_formats: Mapping[str, FixedPoint],
    ) -> Lowered:
        """The layers of `selection` as operators, for inputs of these shapes.

        Args:
            rounded: each member's blobs as its layer is given them.
        Raises: AdaptionError naming a layer that cannot be lowered.
        """
        return LayerLowered(selection, self, rounded, shapes, input_formats)

    def finish(self, lowered: LayerLowered) -> Moved:
        """Rearrange the finished graph; says where its values are now."""
        return Moved()

    def notes(self, g: OnnxGraph) -> Iterable[str]:
        """What a user should know about the finished graph, one sentence each."""
        return ()

    def arithmetic(self) -> dict[str, Any] | None:
        """How the finished graph is exact: `rounding` and `biases` as in ExactOptions ("net": the
        net's own), `exceptions` the layers from which on codes may differ. None: it is not."""
        return None


class FloatStyle(Style):
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
