"""A share of calibration samples, so that what is chosen is judged on others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adaption.errors import DataError, UsageError
from adaption.job.calibration import Calibration
from adaption.job.feed import Feed
from adaption.options import Budget
from adaption.precision.refining.refine import MOST_SAMPLES

__all__ = ["Share", "shares_of", "split"]


@dataclass(frozen=True)
class Share:
    """Some samples of a feed, spread evenly over it, or the others.

    count: samples of the share that formats come from, of `samples` in all.
    is_rest: this is what that share leaves.
    """

    feed: Feed
    count: int
    samples: int
    is_rest: bool

    def __iter__(self) -> Iterator[Any]:
        start = 0
        for batch in self.feed:
            rows = [i for i in range(len(batch.names)) if self._holds(start + i)]
            start += len(batch.names)
            if rows:
                yield batch._replace(
                    blobs={name: values[rows] for name, values in batch.blobs.items()},
                    labels=None if batch.labels is None else batch.labels[rows],
                    names=[batch.names[i] for i in rows],
                )

    def __len__(self) -> int:
        return len(self.feed)

    def _holds(self, index: int) -> bool:
        is_first = (index + 1) * self.count // self.samples > index * self.count // self.samples
        return is_first != self.is_rest


def shares_of(
    measured_on: Feed, calibrating: Calibration, budget: Budget, curve: int = 0
) -> tuple[Feed | Share, Share | None]:
    """The calibration samples that formats come from, and those that judge word lengths.

    Raises: UsageError where accuracy is asked for and there is no calibration data; DataError.
    """
    if budget.max_drop is None and not curve:
        return measured_on, None
    if calibrating.data is None:
        raise UsageError(
            "what word lengths do to accuracy is judged on calibration data, so that accuracy can"
            " be stated on samples that took no part",
            "give it with --calibration; other data than --data",
        )
    return split(measured_on, MOST_SAMPLES)


def split(feed: Feed, most: int) -> tuple[Share, Share]:
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
    return Share(feed, count, samples, False), Share(feed, count, samples, True)
