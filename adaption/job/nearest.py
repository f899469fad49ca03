"""A net as it is before refining, each value rounded to the nearest: as a whole, and by point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adaption.graph import NetSpec
from adaption.job.feed import Feed
from adaption.job.sensitivity import Sensitivity, one_by_one
from adaption.net import Net
from adaption.net.memory import give_back
from adaption.net.weights import keep_rounded_only
from adaption.options import RunOptions
from adaption.precision.classifiers import Classifiers
from adaption.precision.evaluate import Run, compare_runs, run_net
from adaption.precision.refining.refine import Outcome
from adaption.report import track

__all__ = ["rounded_to_nearest"]


def rounded_to_nearest(
    low: NetSpec,
    feed: Feed,
    outcome: Outcome,
    before: Run,
    scores: Classifiers,
    *,
    options: RunOptions,
    quiet: bool,
    by_point: bool,
) -> dict[str, Any]:
    """Entries of summary.json, with the formats of the result and weights as they were before.

    Args:
        low: the low-precision net, fed by `feed`.
        outcome: of refining. before: the float net's run over the data.
        options: the seed of the net, and the device that computes it.
        by_point: also round each point alone.
    Returns: `before_refining` where weights or biases were fitted, `sensitivity` if asked for.
    """
    is_fitted = bool(outcome.said.get("corrected_biases"))
    if not (is_fitted or by_point):
        return {}
    net = Net(low, outcome.plain, seed=options.seed, device=options.device)
    if not by_point:  # the masters are not read again
        keep_rounded_only(net.nodes)
    entries: dict[str, Any] = {}
    if is_fitted:
        batches = track(feed, "running it before refining", quiet=quiet, unit="batches")
        run = run_net(net, batches, scores=scores)
        said = compare_runs(before, run)
        entries["before_refining"] = {
            "accuracy": run.accuracy(),
            "flipped_predictions": said["flipped_predictions"],
            "output_sqnr_db": said["output_sqnr_db"],
        }
    if by_point:
        points, together = one_by_one(net, outcome.proposal, feed, scores, before, quiet=quiet)
        said = outcome.proposal.head()
        entries["sensitivity"] = Sensitivity(
            net=low.name or Path(low.file or "net").stem,
            lengths=said["lengths"],
            rule=said["rule"],
            samples=before.samples,
            accuracy=before.accuracy(),
            points=points,
            together=together,
        ).to_dict()
    net.release()  # a large net would be held twice
    give_back()
    return entries
