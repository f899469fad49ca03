"""A share of calibration samples, so that what is chosen is judged on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from adaption.data import Batch
from adaption.errors import DataError, UsageError
from adaption.job.calibration import Calibration
from adaption.job.feed import Feed
from adaption.options import Budget
from adaption.precision.refining.refine import MOST_SAMPLES

__all__ = ["HELD_BACK", "Share", "is_held_back", "picked", "shares_of", "split"]

HELD_BACK = 8  # every so many-th sample, where the result of tuning is judged


@dataclass(frozen=True)
class Share:
    """Some samples of a feed, spread evenly over it, or the others.

    count: samples of the share that formats come from, of `samples` in all.
    is_rest: this is what that share leaves.
    holds_back: every HELD_BACK-th sample is in neither.
    """

    feed: Feed
    count: int
    samples: int
    is_rest: bool
    holds_back: bool = False

    def __iter__(self) -> Iterator[Batch]:
        return picked(self.feed, self._holds)

    def __len__(self) -> int:
        return len(self.feed)

    def _holds(self, index: int) -> bool:
        if self.holds_back and is_held_back(index):
            return False
        is_first = (index + 1) * self.count // self.samples > index * self.count // self.samples
        return is_first != self.is_rest


def picked(feed: Feed, holds: Callable[[int], bool]) -> Iterator[Batch]:
    """The samples of a feed whose number `holds` accepts, in batches of the feed's size, since some
    nets take no other; the last batch has what is left."""
    size = feed.batches.batch_size
    start, waiting = 0, list[Batch]()
    for batch in feed:
        rows = [i for i in range(len(batch.names)) if holds(start + i)]
        start += len(batch.names)
        waiting.append(_rows(batch, rows))
        if sum(len(one.names) for one in waiting) >= size:
            whole = _joined(waiting)
            yield _rows(whole, range(size))
            waiting = [_rows(whole, range(size, len(whole.names)))]
    rest = _joined(waiting)
    if rest.names:
        yield rest


def _rows(batch: Batch, rows: Sequence[int]) -> Batch:
    wanted = list(rows)
    return Batch(
        {name: values[wanted] for name, values in batch.blobs.items()},
        None if batch.labels is None else batch.labels[wanted],
        [batch.names[i] for i in wanted],
    )


def _joined(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    labels = [part.labels for part in parts if part.labels is not None]
    return Batch(
        {name: np.concatenate([part.blobs[name] for part in parts]) for name in parts[0].blobs},
        np.concatenate(labels) if labels else None,
        [name for part in parts for name in part.names],
    )


def is_held_back(index: int) -> bool:
    """Whether a sample of a feed judges the result of tuning."""
    return index % HELD_BACK == HELD_BACK - 1


def shares_of(
    measured_on: Feed,
    calibrating: Calibration,
    budget: Budget,
    curve: int = 0,
    *,
    holds_back: bool = False,
) -> tuple[Feed | Share, Share | None]:
    """The calibration samples that formats come from, and those that judge word lengths.

    Args:
        holds_back: leave out of both what `is_held_back` says.
    Raises: UsageError where accuracy is asked for and there is no calibration data; DataError.
    """
    if budget.max_drop is None and not curve:
        if not holds_back:
            return measured_on, None
        count = measured_on.batches.samples
        return Share(measured_on, count, count, False, True), None
    if calibrating.data is None:
        raise UsageError(
            "what word lengths do to accuracy is judged on calibration data, so that accuracy can"
            " be stated on samples that took no part",
            "give it with --calibration; other data than --data",
        )
    return split(measured_on, MOST_SAMPLES, holds_back=holds_back)


def split(feed: Feed, most: int, *, holds_back: bool = False) -> tuple[Share, Share]:
    """At most `most` samples and at most half of them, and the others.

    Raises: DataError where there is but one sample.
    """
    samples = feed.batches.samples
    if samples < 2:
        raise DataError(
            "is one calibration sample, and a search needs some for formats and others to judge"
            " word lengths on",
            "give more",
        ).at(file=feed.path)
    count = min(most, samples // 2)
    fit, rest = (Share(feed, count, samples, is_rest, holds_back) for is_rest in (False, True))
    return fit, rest
