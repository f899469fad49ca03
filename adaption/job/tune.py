"""Tuning as a part of the main job: what it refuses, and whether its result is used."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adaption._version import __version__
from adaption.errors import UsageError, counted
from adaption.io.caffemodel import Weights
from adaption.job.feed import Feed, suitable_batch
from adaption.job.tuning_samples import TuningSamples, require_enough
from adaption.job.tuning_state import TuningState, check_state, state_path
from adaption.net import Net
from adaption.options import RunOptions, Tuning
from adaption.precision.classifiers import Classifiers
from adaption.report import Progress
from adaption.solver.tuning import Distance, Tuner, check_tunable

__all__ = ["refuse_tuning", "tuned", "tuning_note"]

PACES = (1.0, 0.25)  # of the rates: the second where the first does not help


def refuse_tuning(tuning: Tuning, scores: Classifiers, feed: Feed, full: Net, out: Path) -> None:
    """Say before any work that tuning cannot be done.

    Raises: UsageError, DataError; FileFormatError if the file of its state holds none.
    """
    if tuning.tune_mirror and not tuning.tune:
        raise UsageError("tune_mirror without tune", "give --tune PASSES, as in --tune 10")
    if not tuning.tune:
        return
    if scores.main is None:
        raise UsageError(
            "the net has no class scores, so that it cannot be tuned to the float net's",
            "leave out --tune, or name the scores with --score BLOB",
        ).at(file=feed.spec.file)
    check_tunable(full, scores.main)
    require_enough(feed.batches.samples, feed)
    check_state(out)


def tuned(
    low: Net,
    teacher: Net,
    feed: Feed,
    scores: Classifiers,
    tuning: Tuning,
    options: RunOptions,
    *,
    keeps_zeros_of: Weights | None,
    out: Path,
    quiet: bool,
) -> dict[str, Any]:
    """Fine-tune `low` to the class scores of `teacher`; returns the entry `tuning` of summary.json.

    Args:
        low: the fixed-point net with its weights, which change where that helps.
        feed: the calibration data.
        options: `seed` sets the order of samples, the crops and the mirroring; `batch_size`, if
            it is set, how many samples run together.
        keeps_zeros_of: weights that are 0 here stay 0; None: all may change.
        out: folder of the results. The state is saved there or beside it (`state_path`), so that a
            call that was stopped can go on.
    Raises: UsageError, DataError where it turns out that the net cannot be tuned on this data.
    """
    assert scores.main is not None
    started = time.monotonic()
    samples = TuningSamples(feed, tuning.tune_mirror, options, suitable_batch(low.spec))
    steps = tuning.tune * samples.steps
    axis = next((x.axis for x in scores.all if x.scores == scores.main), 1)
    zeros = {} if keeps_zeros_of is None else _zeros(keeps_zeros_of)
    state = TuningState(state_path(out), _settings(feed, tuning, options, samples))
    before = Distance()
    for attempt, pace in enumerate(PACES):
        tuner = Tuner(low, teacher, scores.main, steps, axis, zeros, pace)
        if not attempt:
            before = tuner.distance(samples.judging())
            state.find(tuner, before)
        if attempt < state.attempt:
            continue  # it did not help
        begun = state.passes if attempt == state.attempt else 0
        if begun:
            state.restore(tuner)
        label = "tuning" if pace == PACES[0] else f"tuning at {pace:g} of the rate"
        with Progress(steps - tuner.done, label, quiet=quiet, unit="batches") as progress:
            for number in range(begun, tuning.tune):
                for pieces in samples.batches(number):
                    tuner.step(pieces)
                    progress.advance()
                state.save(tuner, attempt, number + 1)
        after = tuner.distance(samples.judging())
        is_taken = after.divergence < before.divergence  # False where it is NaN
        tuner.settle(is_taken=is_taken)
        if is_taken:
            break
    other_outputs = [name for name in low.outputs if not _is_score(low, name, tuner.blob)]
    return {
        "passes": tuning.tune,
        "batches": tuner.done,
        "batch": samples.batch,
        "samples": samples.count,
        "mirrored": tuning.tune_mirror,
        "judged_on": samples.judges,
        "before": before.to_dict(),
        "after": after.to_dict(),
        "is_taken": is_taken,
        "pace": pace,
        "other_outputs": other_outputs,
        "seconds": time.monotonic() - started,
    }


def _settings(
    feed: Feed, tuning: Tuning, options: RunOptions, samples: TuningSamples
) -> dict[str, Any]:
    """What the work depends on besides the nets."""
    return {
        "data": os.fspath(feed.path or ""),
        **feed.describe(),
        **feed.preprocessing(),
        "tuning": tuning.changed(),
        "seed": options.seed,
        "samples": [samples.count, samples.judges, samples.piece, samples.batch],
        "version": __version__,
    }


def _zeros(weights: Weights) -> dict[str, Tensor]:
    """Which weights are 0, by layer."""
    return {
        layer.name: torch.from_numpy(layer.blobs[0].array() == 0)
        for layer in weights.layers
        if layer.blobs
    }


def _is_score(net: Net, output: str, scores: str) -> bool:
    """Whether an output is the scores, or comes from them alone, as losses and accuracies do."""
    found = {output}
    for node in reversed(net.nodes):
        if found.intersection(node.spec.tops):
            found.update(node.spec.bottoms)
    return scores in found


def tuning_note(said: Mapping[str, Any]) -> str:
    """What the report says of the entry `tuning`."""
    done = (
        f"The net was tuned to the float net's class scores in {said['passes']}"
        f" {'pass' if said['passes'] == 1 else 'passes'} over"
        f" {counted(said['samples'], 'calibration sample')}"
    )
    if said["other_outputs"]:
        done += f" (other outputs, {', '.join(said['other_outputs'])}, were not compared)"
    judged = f"on {counted(said['judged_on'], 'held-back sample')}"
    if not said["is_taken"]:
        return f"{done}; the scores were no closer {judged}, so the net stayed as it was."
    before, after = (
        f"{said[side]['divergence']:.3g} ({100 * said[side]['flipped']:.3g} % of the predictions"
        " changed)"
        for side in ("before", "after")
    )
    return f"{done}; divergence from them {judged}: before {before}, after {after}."
