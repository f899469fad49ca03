"""sensitivity: what rounding one point alone does to the output of a net."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adaption.data import Transform
from adaption.io.limits import Size, within_limit
from adaption.job.feed import Feed
from adaption.job.foresee import refuse_unmatched
from adaption.job.load import prepare_float
from adaption.job.summary import lp_act_behind
from adaption.net import Net, Point
from adaption.numerics import Format
from adaption.options import COMMON, NET, Formats, RunOptions, takes_options
from adaption.precision.classifiers import Classifiers, find_classifiers
from adaption.precision.evaluate import Run, compare_runs, run_net
from adaption.precision.measure import ActivationObserver, measure_weights
from adaption.precision.propose import Proposal, propose
from adaption.report import track

__all__ = ["Sensitivity", "one_by_one", "sensitivity"]

PathLike = str | os.PathLike[str]
FORMAT = "adaption.sensitivity/1"


@dataclass(frozen=True)
class Sensitivity:
    """What `sensitivity` found.

    points: one entry per point, the worst first: `layer`, `type`, `kind`, `q`, `sqnr_db` (the least
    of all outputs; None where nothing changes), `output_sqnr_db`, `flipped_predictions`, `accuracy`
    (None where the data has no labels). together: the same of all points at once.
    """

    net: str
    lengths: str
    rule: str
    samples: int
    accuracy: Mapping[str, float | None] | None  # of the float net
    points: Sequence[Mapping[str, Any]]
    together: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "format": FORMAT,
            "net": self.net,
            "lengths": self.lengths,
            "rule": self.rule,
            "samples": self.samples,
            "accuracy": self.accuracy,
            "points": list(self.points),
            "together": self.together,
            "notes": list(self.notes),
        }


@takes_options(formats=(COMMON,), options=(COMMON, *NET, "score", "device"))
@within_limit
def sensitivity(
    net: PathLike,
    weights: PathLike,
    data: PathLike | None = None,
    *,
    formats: Formats = Formats(),
    options: RunOptions = RunOptions(),
    fold: bool = False,
    transform: Transform | None = None,
    root: PathLike | None = None,
    quiet: bool = False,
    memory_limit: Size | None = None,
    **choices: Any,
) -> Sensitivity:
    """Round each point of a float net alone, and compare its output with the float net's.

    The formats are those that `quantize` would choose on the same data. Every point takes one pass
    over the data.

    Args:
        net, weights: prototxt and caffemodel of the float net; formats it has are taken off.
        data: folder, list file, LMDB, LevelDB, HDF5 or npz; None: the net's own data layer.
        formats: which formats are chosen; see Formats.
        options: how the net is built and run; see RunOptions.
        fold: first fold batch norm, scale and bias into the weight layer before them.
        transform: preprocessing; None takes the data layer's own, or none.
        root: folder that the files of a list are relative to.
        quiet: show no progress.
        memory_limit: the most that one array, image or blob may take, as in "8G".
        choices: fields of Formats and RunOptions as keywords.
    Raises: AdaptionError on bad input.
    """
    source = prepare_float(net, weights, data, options, fold=fold, transform=transform, root=root)
    feed, full = source.feed, source.build()
    refuse_unmatched(full, partial(propose, feed.spec, formats=formats))
    scores = find_classifiers(feed.spec, full, options.score)
    measured = measure_weights(full, legacy_rule=formats.rule == "adaption-legacy")
    observer = ActivationObserver(measured, legacy_rule=formats.rule == "adaption-legacy")
    batches = track(feed, "measuring the float net", quiet=quiet, unit="batches")
    before = run_net(full, batches, scores=scores, observers=[observer])
    measured.samples = before.samples
    full.release()  # a large net would be held twice
    proposal = propose(feed.spec, measured, formats=formats)
    low = Net(source.low_spec(proposal), source.weights, seed=options.seed, device=full.device)
    points, together = one_by_one(low, proposal, feed, scores, before, quiet=quiet)
    return Sensitivity(
        net=full.spec.name or Path(full.spec.file or "net").stem,
        lengths=str(formats.lengths),
        rule=formats.rule,
        samples=before.samples,
        accuracy=before.accuracy(),
        points=points,
        together=together,
        notes=(*source.notes, *([scores.why] if scores.why else [])),
    )


def one_by_one(
    low: Net, proposal: Proposal, feed: Feed, scores: Classifiers, before: Run, *, quiet: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What each point does alone, the worst first, and what all of them do.

    Args:
        low: the low-precision net, with float weights; its plan is put aside.
        before: the float net's run over the data.
    """
    stated = low.plan
    together = _effect(before, run_net(low, feed, scores=scores))
    low.set_plan(dict.fromkeys(stated))
    types = {item.name: item.type for item in feed.spec.layers}
    found = []
    for point in track(
        list(proposal.choices), "rounding one point at a time", quiet=quiet, unit="points"
    ):
        own = _in_net(low, proposal, point)
        fmt: Format = stated[own]
        low.set_plan({own: fmt})
        effect = _effect(before, run_net(low, feed, scores=scores))
        low.set_plan({own: None})
        kind = types.get(point.layer, "input")
        found.append(
            {"layer": point.layer, "type": kind, "kind": point.kind, "q": str(fmt), **effect}
        )
    return sorted(found, key=_harm), together


def _in_net(low: Net, proposal: Proposal, point: Point) -> Point:
    """The point under the name that the rewritten net has for it."""
    if point.kind != "activation":
        return point
    return Point(lp_act_behind(low.spec, proposal.places[point.layer]), "activation")


def _effect(before: Run, after: Run) -> dict[str, Any]:
    said = compare_runs(before, after)
    outputs = said["output_sqnr_db"]
    least = min((math.inf if x is None else x for x in outputs.values()), default=math.inf)
    return {
        "sqnr_db": None if math.isinf(least) else least,
        "output_sqnr_db": outputs,
        "flipped_predictions": said["flipped_predictions"],
        "accuracy": after.accuracy(),
    }


def _harm(entry: Mapping[str, Any]) -> tuple[float, float]:
    """Sorts the worst first."""
    flipped = entry["flipped_predictions"] or {}
    sqnr = entry["sqnr_db"]
    return (math.inf if sqnr is None else sqnr, -float(flipped.get("share", 0.0)))
