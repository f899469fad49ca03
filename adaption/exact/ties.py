"""count_ties: how often the two roundings to nearest part, on data.

QuantizeLinear rounds half to even, Caffe's round half away from zero. They differ at a tie only
where the code that is nearer to zero is even: 0.5 and 2.5 become 1 and 3 or 0 and 2, 1.5 becomes 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaption.errors import ShapeError, UsageError, counted
from adaption.exact.options import ExactOptions
from adaption.exact.program import Quantize, Round
from adaption.exact.run import ExactNet, ExactRun
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision.classifiers import holds_scores
from adaption.table import columns

__all__ = ["TiePoint", "TieReport", "count_ties", "tie_points"]

BOTH = ("half_even", "half_away")


@dataclass(frozen=True)
class TiePoint:
    """One activation point: values rounded there, those of them that lay exactly between two codes,
    and those that the two roundings gave different codes."""

    layer: str
    count: int
    ties: int
    differing: int

    def plus(self, other: TiePoint) -> TiePoint:
        return TiePoint(
            self.layer,
            self.count + other.count,
            self.ties + other.ties,
            self.differing + other.differing,
        )


@dataclass(frozen=True)
class TieReport:
    """What `count_ties` counted, points in order. `predictions`: per output with class scores,
    samples whose greatest score is at another class when everything is rounded the other way."""

    samples: int
    points: tuple[TiePoint, ...]
    predictions: Mapping[str, int]

    @property
    def total(self) -> TiePoint:
        """All points together."""
        found = TiePoint("all", 0, 0, 0)
        for point in self.points:
            found = found.plus(point)
        return found

    @property
    def detail(self) -> str:
        """The result in one line."""
        total = self.total
        said = (
            f"on {counted(self.samples, 'sample')} {total.ties} of {total.count} values lie on"
            f" ties, of which half_even and half_away give {total.differing} different codes"
        )
        for blob, differing in self.predictions.items():
            said += f'; {differing} of {self.samples} top-1 predictions of "{blob}" differ'
        return said

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "samples": self.samples,
            "points": [vars(point) for point in self.points],
            "predictions_differing": dict(self.predictions),
        }

    def __str__(self) -> str:
        rows = [("layer", "values", "ties", "differing")]
        rows += [
            (p.layer, str(p.count), str(p.ties), str(p.differing))
            for p in (*self.points, self.total)
        ]
        return "\n".join(columns(rows, 1))


@torch.no_grad()
def count_ties(
    net: Net,
    inputs: Mapping[str, npt.ArrayLike],
    input_formats: Mapping[str, FixedPoint] | None = None,
) -> TieReport:
    """Run a net in exact arithmetic with each of the two roundings, and count where they part.

    Codes are compared point by point, for what half_even rounds there, as QDQ files have it
    (biases at the scale of the products); predictions after a whole pass with each.

    Args:
        net: a low-precision net in phase TEST; it is not changed.
        inputs: values by input blob, first axis the samples, for all of the net's inputs.
        input_formats: of inputs that are rounded as they come in.
    Raises: AdaptionError naming the layer when the net has no integer form; UsageError when a point
        rounds down, or an input is missing; ShapeError when inputs do not fit.
    """
    even, away = (
        ExactNet(net, ExactOptions(input_formats or {}, "product", rounding)) for rounding in BOTH
    )
    for member in even.selection.members:
        fmt = member.node.formats.activation
        if isinstance(fmt, FixedPoint) and fmt.rounding not in BOTH:
            raise UsageError(
                f'layer "{member.spec.name}" rounds {fmt.rounding}, ties are counted of nets that'
                f" round {' or '.join(BOTH)}",
                "export without data",
            ).at(file=net.spec.file)
    given = {name: np.asarray(x, np.float32) for name, x in inputs.items()}
    lengths = {len(given[name]) for name in even.selection.inputs if name in given}
    if len(lengths) > 1:
        raise ShapeError(f"inputs have {sorted(lengths)} samples, allowed: as many each")
    samples = max(lengths, default=0)
    step = max([1, *(net.blobs[name].shape[0] for name in even.selection.inputs)])
    points: dict[str, TiePoint] = {}
    predictions: dict[str, int] = {}
    for start in range(0, max(samples, 1), step):
        piece = {name: x[start : start + step] for name, x in given.items()}
        run = even.run(piece)
        for point in tie_points(run):
            before = points.get(point.layer)
            points[point.layer] = point if before is None else before.plus(point)
        other = away.run(piece).outputs
        for blob, scores in run.outputs.items():
            if holds_scores(scores.shape):
                parted = scores.flatten(1).argmax(1) != other[blob].flatten(1).argmax(1)
                predictions[blob] = predictions.get(blob, 0) + int(torch.count_nonzero(parted))
    return TieReport(samples, tuple(points.values()), predictions)


def tie_points(run: ExactRun) -> list[TiePoint]:
    """The quantization points of one pass; a layer may have several."""
    found = []
    for op in run.program.ops:
        if isinstance(op, Quantize):
            x = run.floats[op.inputs[0]]
            codes = [replace(op, format=replace(op.format, rounding=r)).run(x) for r in BOTH]
            scaled = x.double() * (2.0**op.format.frac_length * op.format.divisor)
            ties = int(torch.count_nonzero((scaled - scaled.floor()) == 0.5))
        elif isinstance(op, Round) and op.low is not None:
            x = run.codes[op.inputs[0]]
            ran = run.codes[op.outputs[0]]
            codes = [ran if op.rounding == r else replace(op, rounding=r).run(x) for r in BOTH]
            ties = op.ties(x)
        else:
            continue
        found.append(TiePoint(op.layer, x.numel(), ties, _differing(codes)))
    return found


def _differing(codes: list[Tensor]) -> int:
    return int(torch.count_nonzero(codes[0] != codes[1]))
