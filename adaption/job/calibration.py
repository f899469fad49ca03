"""The data that ranges, rounding and biases come from, beside those that are scored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from adaption.data import Transform
from adaption.data.given import is_path
from adaption.errors import DataError, UsageError, counted, one_line
from adaption.graph import NetSpec, input_shapes
from adaption.io.caffemodel import Weights
from adaption.job.feed import Feed, feed_from_data
from adaption.options import RunOptions
from adaption.options.checks import OrNone, Whole

__all__ = ["Calibration", "calibration_note"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Calibration:
    """Where calibration samples come from.

    data: as of `quantize`; None: what is scored serves for calibration, too.
    root: folder that the files of a list are relative to; None: that of the scored data.
    limit: the most samples.
    """

    data: Any = None
    root: PathLike | None = None
    limit: int | None = None

    def check(self) -> None:
        """Raises: FieldError; UsageError on settings of calibration data without such data."""
        OrNone(Whole("1 or more", least=1))("calibration_limit", self.limit)
        for name in ("root", "limit"):
            if self.data is None and getattr(self, name) is not None:
                raise UsageError(
                    f"calibration_{name} is given without calibration data",
                    "name the data with --calibration, or use --limit for the data of both",
                )

    def feed(
        self,
        spec: NetSpec,
        scored: Feed,
        transform: Transform | None,
        options: RunOptions,
        weights: Weights,
        root: PathLike | None,
    ) -> Feed:
        """The calibration data, prepared as the scored data is.

        Args:
            spec: the net, its data layers still there.
            scored: what accuracy is stated on; returned where nothing else is given.
            transform, root: of the scored data.
        Raises: DataError where both do not suit one net.
        """
        if self.data is None:
            return scored
        own = replace(options, limit=self.limit)
        made = feed_from_data(
            spec,
            self.data,
            transform or scored.batches.transform,
            own,
            root=self.root or root,
            weights=weights,
        )
        shapes, wanted = _of_a_sample(made.spec), _of_a_sample(scored.spec)
        for name, shape in wanted.items():
            if shapes.get(name) != shape:
                raise DataError(
                    f'gives input "{name}" the shape {shapes.get(name)} per sample, the data that'
                    f" is scored {shape}",
                    "calibrate on data of the same size, or have both resized (--resize, --crop)",
                ).at(file=made.path)
        return made

    def origin(self, used: Feed) -> dict[str, Any]:
        """What a kept reference depends on beside the scored data."""
        if self.data is None:
            return {}
        return {"calibration": used.batches.source.origin, "calibration_limit": self.limit}

    def entry(self, used: Feed, scored: Feed, samples: int) -> dict[str, Any]:
        """The entry `calibration` of summary.json."""
        said = used.describe()
        is_scored = used is scored or (
            is_path(self.data) and os.path.realpath(used.path) == os.path.realpath(scored.path)
        )
        return {**said, "samples": samples, "is_scored": is_scored}


def calibration_note(entry: Mapping[str, Any]) -> str:
    """What the report says of the entry `calibration`, one sentence or two."""
    samples = counted(entry["samples"], "sample")
    if entry["is_scored"]:
        return (
            f"Calibration: {samples} of the data that accuracy is stated on, too; with"
            " --calibration accuracy is stated on samples that took no part."
        )
    return f"Calibration: {samples} of {one_line(entry['source'])}; accuracy is of others."


def _of_a_sample(spec: NetSpec) -> dict[str, tuple[int, ...]]:
    return {name: shape[1:] for name, shape in input_shapes(spec).items()}
