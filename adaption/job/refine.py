"""Refining as a part of the main job: where its data comes from, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from adaption.io.caffemodel import Weights
from adaption.net import Net
from adaption.options import Formats, Refinement
from adaption.precision.evaluate import run_net
from adaption.precision.measure import ActivationObserver, Measurement, measure_weights
from adaption.precision.propose import Proposal, propose
from adaption.precision.refining.refine import Outcome, Refining, needs_refining
from adaption.report import Progress

__all__ = ["refined", "refining"]


def refined(
    full: Net,
    weights: Weights,
    measured: Measurement,
    calibration: Iterable[Any],
    formats: Formats,
    steps: Refinement,
    *,
    quiet: bool,
    given: Proposal | None = None,
) -> Outcome:
    """The formats and weights of the low-precision net.

    Args:
        full: the float net with its weights; it may hold others afterwards.
        measured: its statistics on the calibration data.
        quiet: show no progress.
        given: formats to keep, which `formats` then says nothing of; None: they are chosen.
    """
    if given is not None and not steps.walks:
        return Outcome(given, weights, weights, measured)
    if not needs_refining(formats, steps):
        return Outcome(propose(full.spec, measured, formats=formats), weights, weights, measured)

    started, used = time.monotonic(), time.process_time()
    with Progress(None, "refining", quiet=quiet, unit="layers") as progress:
        made = refining(
            full, weights, measured, calibration, formats, steps, progress.advance, given
        ).run()
    made.said["seconds"] = time.monotonic() - started
    made.said["cpu_seconds"] = time.process_time() - used
    return made


def refining(
    full: Net,
    weights: Weights,
    measured: Measurement,
    calibration: Iterable[Any],
    formats: Formats,
    steps: Refinement,
    progress: Callable[[], None] = lambda: None,
    given: Proposal | None = None,
) -> Refining:
    """The work on a net that calibration batches feed; arguments as of `refined`.

    Args:
        full: a net on a GPU is copied to the host: layers are fitted there, in float64.
        progress: called after each step.
        given: formats to keep; None: they are chosen.
    """

    def batches() -> Iterator[Mapping[str, Any]]:
        for batch in calibration:
            yield batch.blobs

    def measure(net: Net) -> Measurement:
        made = measure_weights(net)
        made.preprocessing = measured.preprocessing
        made.samples = run_net(net, calibration, observers=[ActivationObserver(made)]).samples
        return made

    if full.device.type != "cpu":
        full = Net(full.spec, weights)
    return Refining(
        full, full.spec, weights, measured, formats, steps, batches, measure, progress, given
    )
