"""Formats that somebody wrote by hand, judged on a measurement as chosen ones are."""

from __future__ import annotations

import os
from dataclasses import replace

from adaption.errors import LayerError
from adaption.graph import NetSpec
from adaption.net import Point
from adaption.precision.measure import Measurement
from adaption.precision.proposal import Proposal
from adaption.precision.propose import stats_of
from adaption.precision.rules import judged
from adaption.precision.statistics import TensorStats

__all__ = ["fitted_plan", "given_plan", "judged_plan"]


def given_plan(plan: Proposal | str | os.PathLike[str]) -> Proposal:
    """A plan, or the one that a file holds. Raises: FileFormatError, FieldError naming the file."""
    return plan if isinstance(plan, Proposal) else Proposal.load(plan)


def judged_plan(spec: NetSpec, plan: Proposal, measured: Measurement) -> Proposal:
    """`plan` with the range of each point, and what its format does to the values measured.

    Args:
        spec: the float net that was measured.
    Raises: LayerError on a point that the net lacks.
    """
    choices = {}
    for point, choice in plan.choices.items():
        stats = _stats(spec, plan, measured, point)
        choices[point] = judged(stats, choice.format, choice.reason)
    return replace(
        plan, choices=choices, samples=measured.samples, preprocessing=measured.preprocessing
    )


def fitted_plan(plan: Proposal, measured: Measurement) -> Proposal:
    """`plan` for weights that were fitted to its formats, and biases that were measured anew."""
    choices = dict(plan.choices)
    for point, choice in plan.choices.items():
        if point.kind == "weight":  # what rounding did to them is no matter of statistics
            choices[point] = replace(choice, effect=None)
        elif point.kind == "bias":
            choices[point] = judged(measured[point], choice.format, choice.reason)
    return replace(plan, choices=choices)


def _stats(spec: NetSpec, plan: Proposal, measured: Measurement, point: Point) -> TensorStats:
    """What was measured where a point rounds."""
    is_result = point.kind == "activation"
    place = plan.places[point.layer] if is_result else point.layer
    known = {name for s in spec.layers for name in (s.name, *(() if s.bottoms else s.tops))}
    if place not in known:
        raise LayerError(
            f'the plan names layer "{place}", which the net lacks',
            "use a plan that was made for this net",
        ).at(file=spec.file)
    return stats_of(spec, plan, measured, point) if is_result else measured[point]
