"""The float net's passes of the main job: over the data that is scored, and over that which formats
come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adaption.job.feed import Feed
from adaption.job.reference import Reference, load_reference, save_reference
from adaption.job.share import Share
from adaption.net import Net
from adaption.precision.classifiers import Classifiers
from adaption.precision.evaluate import Run, run_net
from adaption.precision.measure import ActivationObserver, Measurement, measure_weights
from adaption.report import track

__all__ = ["float_pass"]


def float_pass(
    full: Net,
    feed: Feed,
    calibration: Feed | Share,
    *,
    quiet: bool,
    scores: Classifiers,
    legacy_rule: bool,
    folder: Path | None,
    origin: Mapping[str, Any],
) -> tuple[Measurement, Run]:
    """What was measured of the float net on the calibration data, and its run over the scored
    data, in one pass where they are the same; or what `folder` keeps of both."""
    kept = None if folder is None else load_reference(folder, origin)
    if kept is not None:
        return kept.measured, kept.run
    measured = measure_weights(full, legacy_rule=legacy_rule)
    measured.preprocessing = feed.preprocessing()
    observer = ActivationObserver(measured, legacy_rule=legacy_rule)
    label = "measuring the float net"
    if calibration is feed:
        batches = track(feed, label, quiet=quiet, unit="batches")
        run = run_net(full, batches, scores=scores, observers=[observer])
        measured.samples = run.samples
    else:
        label = f"{label} on the calibration data"
        batches = track(calibration, label, quiet=quiet, unit="batches")
        measured.samples = run_net(full, batches, observers=[observer]).samples
        batches = track(feed, "running the float net", quiet=quiet, unit="batches")
        run = run_net(full, batches, scores=scores)
    if folder is not None:
        save_reference(folder, Reference(measured, run), origin)
    return measured, run
