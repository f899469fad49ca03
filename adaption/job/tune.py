"""Tuning as a part of the main job: which samples it takes, and whether its result is taken."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from adaption.data import Batches
from adaption.errors import DataError, UsageError
from adaption.job.feed import Feed, suitable_batch
from adaption.job.share import HELD_BACK, is_held_back
from adaption.net import Net
from adaption.options import RunOptions, Tuning
from adaption.precision.classifiers import Classifiers
from adaption.report import Progress
from adaption.solver.tuning import Tuner, check_tunable

__all__ = ["refuse_tuning", "tuned", "tuning_note"]

BATCH = 32
PACES = (1.0, 0.25)  # of the rates: the second where the first does not help
LEAST = 2 * HELD_BACK  # samples
HELD_BYTES = 1 << 28  # of samples that are shuffled together; joining them takes as much again
SEEDS, SPREAD = 1 << 32, 1_000_003  # seeds of passes, and how far apart those of two runs are

Inputs = dict[str, Tensor]


def refuse_tuning(tuning: Tuning, scores: Classifiers, feed: Feed, full: Net) -> None:
    """Say before any work that tuning cannot be done.

    Raises: UsageError, DataError.
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
    _require(feed.batches.samples, feed)


def _require(count: int, feed: Feed, kind: str = "") -> None:
    if count < LEAST:
        raise DataError(
            f"holds {count} {kind}samples, allowed for tuning: {LEAST} or more",
            "give more with --calibration, a thousand if you can, or leave out --tune",
        ).at(file=feed.path)


def tuned(
    low: Net,
    teacher: Net,
    feed: Feed,
    scores: Classifiers,
    tuning: Tuning,
    zeros: Mapping[str, Tensor],
    options: RunOptions,
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Fine-tune `low` to the class scores of `teacher`; returns the entry `tuning` of summary.json.

    Args:
        low: the fixed-point net with its weights, which change where that helps.
        feed: the calibration data.
        zeros: by layer, weights that stay 0.
        options: `seed` is of the order of samples, of crops and of mirroring; nets are run on
            `batch_size` samples at a time, where it says so, and else on as many as fit.
    Raises: UsageError, DataError where it turns out that the net cannot be tuned on this data.
    """
    assert scores.main is not None
    started = time.monotonic()
    samples = _Samples(feed, tuning.tune_mirror, options, suitable_batch(low.spec))
    steps = tuning.tune * samples.steps
    axis = next((x.axis for x in scores.all if x.scores == scores.main), 1)
    for pace in PACES:
        tuner = Tuner(low, teacher, scores.main, steps, axis, zeros, pace)
        before = tuner.distance(samples.judging())
        label = "tuning" if pace == PACES[0] else f"tuning at {pace:g} of the rate"
        with Progress(steps, label, quiet=quiet, unit="batches") as progress:
            for number in range(tuning.tune):
                for pieces in samples.batches(number):
                    tuner.step(pieces)
                    progress.advance()
        after = tuner.distance(samples.judging())
        is_taken = after.divergence < before.divergence  # False where it is NaN
        tuner.settle(is_taken=is_taken)
        if is_taken:
            break
    beside = [name for name in low.outputs if not _is_score(low, name, tuner.blob)]
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
        "other_outputs": beside,
        "seconds": time.monotonic() - started,
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
    made = (
        f"The net was tuned to the float net's class scores in {said['passes']}"
        f" {'pass' if said['passes'] == 1 else 'passes'} over {said['samples']} calibration samples"
    )
    if said["other_outputs"]:
        made += f" (what becomes of {', '.join(said['other_outputs'])} was not looked at)"
    judged = f"on {said['judged_on']} held-back samples"
    if not said["is_taken"]:
        return f"{made}; the scores were no closer {judged}, so the net stayed as it was."
    before, after = (
        f"{said[side]['divergence']:.3g} ({100 * said[side]['flipped']:.3g} % of the predictions"
        " changed)"
        for side in ("before", "after")
    )
    return f"{made}; divergence from them {judged}: before {before}, after {after}."


@dataclass
class _Samples:
    """The calibration samples: those that train, in another order in each pass, and the others.

    fits: samples that are run together, unless the options say how many.
    """

    feed: Feed
    mirrors: bool
    options: RunOptions
    fits: int
    kept: list[Inputs] = field(default_factory=list)  # where one part holds all, and no crop moves

    def __post_init__(self) -> None:
        source = self.feed.batches.source
        total = self.feed.batches.samples - len(source.skipped)  # known after a pass over it
        _require(total, self.feed, "readable ")
        self.judges = total // HELD_BACK
        self.count = total - self.judges
        fixed = self.options.batch_size
        self.piece = fixed or min(BATCH, self.fits, self.count)
        # Some nets take one batch size alone: what does not fill a piece is left out then.
        self.is_fixed = fixed is not None
        self.batch = max(1, min(BATCH, self.count) // self.piece) * self.piece
        self.steps = self.count // self.batch  # of one pass
        shapes = self.feed.batches.shapes.values()
        size = 4 * sum(math.prod(shape) for shape in shapes)
        self.most = max(self.batch, HELD_BYTES // max(1, size))

    def judging(self) -> Iterator[Inputs]:
        """The samples that are held back, as they are run elsewhere, in pieces; `judges` counts
        those that are given."""
        rest: Inputs = {}
        self.judges = 0
        for inputs in _of_feed(self.feed, held_back=True):
            samples = _joined([rest, inputs]) if rest else inputs
            rest = {}
            for piece in self._pieces(samples):
                if _length(piece) == self.piece:
                    self.judges += self.piece
                    yield piece
                else:
                    rest = piece
        if rest and not (self.is_fixed and self.judges):
            self.judges += _length(rest)
            yield rest

    def batches(self, number: int) -> Iterator[list[Inputs]]:
        """The batches of one pass, each in pieces; what does not fill a batch is left out."""
        # torch reads 32 bits of a seed
        random = torch.Generator().manual_seed((self.options.seed * SPREAD + number) % SEEDS)
        rest: Inputs = {}
        for part in self._parts(number):
            samples = _joined([rest, part]) if rest else part
            order = torch.randperm(_length(samples), generator=random)
            for picks in torch.split(order, self.batch):
                picked = {name: values[picks] for name, values in samples.items()}
                rest = picked if len(picks) < self.batch else {}
                if not rest:
                    yield self._pieces(self._mirrored(picked, random))

    def _parts(self, number: int) -> Iterator[Inputs]:
        """Samples that fit in memory together."""
        if self.kept:
            yield from self.kept
            return
        parts = 0
        gathered: list[Inputs] = []
        feed, moves = self._feed_of(number)
        for inputs in _of_feed(feed, held_back=False):
            gathered.append(inputs)
            if sum(map(_length, gathered)) >= self.most:
                parts += 1
                whole = _joined(gathered)
                gathered.clear()
                yield whole
                del whole
        if gathered:
            last = _joined(gathered)
            self.kept = [] if moves or parts else [last]
            yield last

    def _feed_of(self, number: int) -> tuple[Feed, bool]:
        """The feed with crops from random places, others in each pass; whether there are any."""
        own, transform = self.feed.batches, self.feed.batches.transform
        if transform is None or transform.crop is None:
            return self.feed, False
        shapes = {name: (1, *shape) for name, shape in own.shapes.items()}
        made = Batches(
            own.source, transform.with_phase("TRAIN"), own.batch_size, shapes, limit=own.limit,
            seed=self.options.seed * SPREAD + number, skip=own.skip,
        )  # fmt: skip
        return replace(self.feed, batches=made), True

    def _mirrored(self, samples: Inputs, random: torch.Generator) -> Inputs:
        if not self.mirrors:
            return samples
        turned = torch.rand(_length(samples), generator=random) < 0.5
        for values in samples.values():
            if values.dim() == 4:
                values[turned] = values[turned].flip(3)
        return samples

    def _pieces(self, samples: Inputs) -> list[Inputs]:
        return [
            {name: values[i : i + self.piece] for name, values in samples.items()}
            for i in range(0, _length(samples), self.piece)
        ]


def _of_feed(feed: Feed, *, held_back: bool) -> Iterator[Inputs]:
    """The samples that are held back, or the others, batch by batch."""
    start = 0
    for batch in feed:
        blobs = {name: torch.as_tensor(values) for name, values in batch.blobs.items()}
        places = range(start, start + _length(blobs))
        start += len(places)
        wanted = torch.tensor([is_held_back(i) == held_back for i in places])
        if bool(wanted.any()):
            yield {name: values[wanted] for name, values in blobs.items()}


def _joined(parts: list[Inputs]) -> Inputs:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _length(samples: Inputs) -> int:
    return len(next(iter(samples.values())))
