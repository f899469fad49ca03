"""The calibration samples of tuning: those that train, and those that are held back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from adaption.data import Batches
from adaption.errors import DataError
from adaption.job.feed import Feed
from adaption.job.share import HELD_BACK, is_held_back, picked
from adaption.options import RunOptions

__all__ = ["TuningSamples", "require_enough"]

BATCH = 32
LEAST = 2 * HELD_BACK  # samples
HELD_BYTES = 1 << 28  # of samples that are shuffled together; joining them takes as much again
SEEDS, SPREAD = 1 << 32, 1_000_003  # seeds of passes, and how far apart those of two runs are

Inputs = dict[str, Tensor]


def require_enough(count: int, feed: Feed, kind: str = "") -> None:
    """Raises: DataError where there are too few samples to tune on."""
    if count < LEAST:
        raise DataError(
            f"holds {count} {kind}samples, allowed for tuning: {LEAST} or more",
            "give more with --calibration, a thousand if you can, or leave out --tune",
        ).at(file=feed.path)


@dataclass
class TuningSamples:
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
        require_enough(total, self.feed, "readable ")
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
        """The samples that are held back, prepared as in every other pass, in pieces. `judges`
        becomes the number of samples that are given."""
        rest: Inputs = {}
        self.judges = 0
        for inputs in _of_feed(self.feed, is_held_back):
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
                batch = {name: values[picks] for name, values in samples.items()}
                rest = batch if len(picks) < self.batch else {}
                if not rest:
                    yield self._pieces(self._mirrored(batch, random))

    def _parts(self, number: int) -> Iterator[Inputs]:
        """Samples that fit in memory together."""
        if self.kept:
            yield from self.kept
            return
        parts = 0
        gathered: list[Inputs] = []
        feed, moves = self._feed_of(number)
        for inputs in _of_feed(feed, _trains):
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


def _of_feed(feed: Feed, holds: Callable[[int], bool]) -> Iterator[Inputs]:
    """Input blobs of the samples whose number `holds` accepts."""
    for batch in picked(feed, holds):
        yield {name: torch.as_tensor(values) for name, values in batch.blobs.items()}


def _trains(index: int) -> bool:
    return not is_held_back(index)


def _joined(parts: list[Inputs]) -> Inputs:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _length(samples: Inputs) -> int:
    return len(next(iter(samples.values())))
