"""Style qonnx: Quant operators, for tool chains that make hardware of any word length.

Operators and attributes: https://github.com/fastmachinelearning/qonnx, docs/qonnx-custom-ops.
Quant(x, scale, zeropt, bitwidth) = (clip(round(x / scale + zeropt)) - zeropt) * scale, and
BipolarQuant(x, scale) = scale where x >= 0, else -scale. A scale is a float32: of WRPN's grids, 1/n
is the nearest, and codes times it are i / n but for their last bit.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from adaption.errors import LayerError
from adaption.export.onnx.graph import OnnxGraph
from adaption.export.onnx.styles import Finished, LayerStyle, Written
from adaption.numerics import BinaryWeight, FixedPoint, Format

__all__ = ["DOMAIN", "ROUNDING_MODES", "QonnxStyle"]

DOMAIN = "qonnx.custom_op.general"

# QONNX names its roundings as Java does: HALF_UP sends ties away from zero, ROUND to even.
ROUNDING_MODES = MappingProxyType({"half_away": "HALF_UP", "half_even": "ROUND", "floor": "FLOOR"})


class QonnxStyle(LayerStyle):
    """Float operators; a Quant stands behind every rounded blob and at every activation point, a
    BipolarQuant behind weights of one bit."""

    name = "qonnx"
    domains = MappingProxyType({DOMAIN: 1})

    def weight(self, g: OnnxGraph, index: int, blob: Tensor, fmt: Format | None) -> str:
        """The rounded values, and a Quant that says their format and leaves them as they are."""
        stored = super().weight(g, index, blob, fmt)
        if fmt is None:
            return stored
        # Rounded values stay on their grid under any rounding, also where it was random.
        if isinstance(fmt, BinaryWeight):
            made: str = g.op(
                "BipolarQuant", stored, g.constant(_magnitude(blob, fmt)), domain=DOMAIN
            )
        else:
            made = self._quant(g, stored, fmt, "ROUND")
        g.shapes[made] = g.shapes[stored]
        g.sources[made] = stored
        return made

    def activation(self, g: OnnxGraph, x: str, fmt: Format) -> str:
        """A Quant with the net's own rounding."""
        mode = ROUNDING_MODES.get(getattr(fmt, "rounding", ""))
        if mode is None:
            raise LayerError(
                f"activation format {fmt} is rounded {getattr(fmt, 'rounding', 'otherwise')},"
                f" which QONNX cannot say; allowed: {', '.join(ROUNDING_MODES)}",
                "export with rounding_scheme: DETERMINISTIC (rounding: HALF_AWAY) at this point",
            )
        return self._quant(g, x, fmt, mode)

    def finish(self, written: Written) -> Finished:
        """Leaves the graph as it is; notes what qonnx cannot convert."""
        quants = [n for n in written.graph.nodes if n.op_type == "Quant"]
        modes = {a.s for n in quants for a in n.attribute}
        note = (
            "results are rounded HALF_UP, which qonnx cannot convert to QCDQ"
            " (QuantizeLinear); formats of --int8 or --rounding half-even can be"
        )
        return Finished(notes=[note] * (ROUNDING_MODES["half_away"].encode() in modes))

    def _quant(self, g: OnnxGraph, x: str, fmt: Format, mode: str) -> str:
        if not isinstance(fmt, FixedPoint):
            raise LayerError(
                f"format {fmt} has no form in ONNX style qonnx", "use fixed point at this point"
            )
        # qonnx takes scales of biases apart and wants an axis there; elsewhere a scalar will do.
        scale: Any = (lambda v: np.full(1, v, np.float32)) if len(g.shape(x)) == 1 else float
        made: str = g.op(
            "Quant",
            x,
            g.constant(scale(fmt.lsb)),
            g.constant(scale(0.0)),
            g.constant(float(fmt.word_length)),
            domain=DOMAIN,
            signed=int(fmt.is_signed),
            # An unsigned range has no most negative code to leave out.
            narrow=int(fmt.is_signed and fmt.range == "symmetric"),
            rounding_mode=mode,
        )
        return made


def _magnitude(blob: Tensor, fmt: BinaryWeight) -> npt.NDArray[np.float32]:
    """E of E sign(w), in a shape that broadcasts against the weight."""
    values = np.abs(blob.detach().cpu().numpy())
    if not fmt.per_filter:
        return np.asarray(values.max(initial=0), np.float32)
    return np.asarray(values.max(axis=tuple(range(1, values.ndim)), keepdims=True))
