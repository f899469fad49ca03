"""FloatReport: what the comparison of a net with its ONNX file of style float found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaption.compare.image_check import OutputCheck
from adaption.compare.result import VerifyReport
from adaption.errors import counted
from adaption.numerics import FixedPoint, Format

__all__ = ["BlobCheck", "FloatReport"]


@dataclass(frozen=True)
class BlobCheck:
    """One top of one layer.

    End to end, the file run as a whole on the same inputs: `max_error`, `mean_error`, the
    `differing_share` of the values, and `max_error_lsb` where the layer has an activation point.
    Given our bottoms, the layer on its own: `own_error` of the values before rounding, and the
    `tolerance` for it; `own_error_ulp` counts units in the last place of float32 at the layer's
    greatest value. Given our codes at the activation points before it: `flips`, the number
    of codes that come out differently.
    """

    layer: str
    type: str
    blob: str
    format: Format | None
    count: int  # values compared
    max_error: float
    mean_error: float
    max_error_lsb: float | None
    differing_share: float
    own_error: float
    tolerance: float
    flips: int
    own_error_ulp: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The check as plain values, for JSON."""
        return {
            "blob": self.blob,
            "layer": self.layer,
            "type": self.type,
            "format": None if self.format is None else str(self.format),
            "max_error": self.max_error,
            "mean_error": self.mean_error,
            "max_error_lsb": self.max_error_lsb,
            "differing_share": self.differing_share,
            "own_error": self.own_error,
            "own_error_ulp": self.own_error_ulp,
            "tolerance": self.tolerance,
            "flips": self.flips,
        }


@dataclass(frozen=True, kw_only=True)
class FloatReport(VerifyReport):
    """Whether an ONNX file of style float computes what a net computes; see `check_float`.

    `problems` says, layer by layer, what is not explained by the order of float32 sums.
    `edge_values` is the number of values that each activation point was tried on.
    """

    path: Path
    blobs: tuple[BlobCheck, ...]
    outputs: tuple[OutputCheck, ...]
    edge_values: int
    is_low_precision: bool = False  # the net rounds some blob or top
    refusal: str = ""  # why onnxruntime does not run the file as it is

    @property
    def first_difference(self) -> BlobCheck | None:
        """The first top, in the order of the layers, that differs at all end to end."""
        return next((b for b in self.blobs if b.max_error > 0), None)

    @property
    def flips(self) -> int:
        """Codes that rounded differently, each given our codes at the points before it."""
        return sum(b.flips for b in self.blobs)

    @property
    def detail(self) -> str:
        """The result in one line."""
        if self.problems:
            return "; ".join(self.problems)
        points = [b for b in self.blobs if b.format is not None]
        said = [f"{len(self.blobs)} blobs on {counted(self.samples, 'sample')}"]
        first = self.first_difference
        if first is None:
            said.append("all bit-equal")
        else:
            said.append(f'"{first.layer}" differs first, by at most {first.max_error:.3g}')
            said.append("every layer's own error is within float32 summation order")
        if points:
            codes = sum(b.count for b in points)
            said.append(
                f"{len(points)} activation points exact on {self.edge_values} edge values each"
            )
            said.append(
                f"{self.flips} of {codes} codes flip where those errors meet a rounding tie"
            )
        if any(isinstance(b.format, FixedPoint) and not b.format.is_binary for b in points):
            worst = max(b.own_error_ulp for b in self.blobs)
            said.append(
                f"given our values, a layer is off by up to {worst:.3g} ulp of its greatest value,"
                " since scales 1/n are no floats and sums add in another order"
            )
        said += [o.detail(self.samples) for o in self.outputs]
        return "; ".join(said)

    @property
    def what(self) -> str:
        kind = "low-precision" if self.is_low_precision else "float"
        return f"onnxruntime against the {kind} net"

    @property
    def verdict(self) -> str:
        said = "computes the same" if not self.problems else "does NOT compute the same"
        return f"{self.path}: {said}"

    def facts(self) -> dict[str, Any]:
        first = self.first_difference
        return {
            "file": os.fspath(self.path),
            "first_difference": None
            if first is None
            else {"layer": first.layer, "blob": first.blob, "max_error": first.max_error},
            "flips": self.flips,
            "edge_values": self.edge_values,
            "outputs": [o.to_dict() for o in self.outputs],
            "blobs": [b.to_dict() for b in self.blobs],
        }

    def rows(self) -> list[tuple[str, ...]]:
        head = ("layer", "blob", "format", "max error", "mean error", "max LSB", "differ", "flips")
        return [
            head,
            *(
                (
                    b.layer,
                    b.blob,
                    "float" if b.format is None else str(b.format),
                    f"{b.max_error:.3g}",
                    f"{b.mean_error:.3g}",
                    "-" if b.max_error_lsb is None else f"{b.max_error_lsb:.3g}",
                    f"{b.differing_share:.4%}" if b.differing_share else "0",
                    "-" if b.format is None else str(b.flips),
                )
                for b in self.blobs
            ),
        ]
