"""score: the accuracy of one net, float or with formats, on data of any kind."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaption.data import Transform
from adaption.errors import DataError, UsageError, counted
from adaption.io.limits import Size, within_limit
from adaption.job.load import Opened, open_net
from adaption.job.quality import label_warnings
from adaption.net import Point
from adaption.net.plan import KINDS
from adaption.numerics import Format
from adaption.options import COMMON, NET, RunOptions, takes_options
from adaption.precision.classifiers import Classifiers, find_classifiers, holds_scores
from adaption.precision.evaluate import Run, run_net
from adaption.report import track
from adaption.report.format import ABSENT, count, percent
from adaption.report.tables import Grid

__all__ = ["DataScore", "score"]

PathLike = str | os.PathLike[str]
FORMAT = "adaption.data_score/1"


@dataclass(frozen=True)
class DataScore:
    """What `score` found.

    accuracy: top-1 and top-5 shares of the main classifier; top-5 is None with five classes or
    fewer. scores: one entry per classifier: `blob`, `is_main`, `accuracy`, `samples`, `classes`,
    `labels_outside`, `labels_range`. formats: word lengths by kind of point, as in {"weight": [8]};
    empty for a float net. data, preprocessing: as in the summary of `quantize`.
    """

    net: str
    samples: int
    accuracy: Mapping[str, float | None]
    scores: Sequence[Mapping[str, Any]]
    formats: Mapping[str, Sequence[int]]
    data: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "format": FORMAT,
            "net": self.net,
            "samples": self.samples,
            "accuracy": dict(self.accuracy),
            "scores": [dict(entry) for entry in self.scores],
            "formats": {kind: list(bits) for kind, bits in self.formats.items()},
            "data": dict(self.data),
            "preprocessing": dict(self.preprocessing),
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }

    def grid(self) -> Grid:
        """One line per classifier, the main one first."""
        said = [f"{kind} {', '.join(map(str, bits))}" for kind, bits in self.formats.items()]
        kinds = f"bits: {'; '.join(said)}" if said else "float"
        title = f"{self.net}: {counted(self.samples, 'sample')} of {self.data['source']}, {kinds}"
        rows = []
        for entry in sorted(self.scores, key=lambda entry: not entry["is_main"]):
            found = entry["accuracy"] or {}
            right = found.get("top1")
            number = ABSENT if right is None else count(round(right * entry["samples"]))
            shares = percent(right), percent(found.get("top5"))
            rows.append([str(entry["blob"]), *shares, number, count(entry["samples"])])
        return Grid(("classifier", "top-1", "top-5", "right", "of"), rows, title)


@takes_options(options=(COMMON, *NET, "score", "device"))
@within_limit
def score(
    net: PathLike,
    weights: PathLike,
    data: Any = None,
    *,
    transform: Transform | None = None,
    root: PathLike | None = None,
    options: RunOptions = RunOptions(),
    quiet: bool = False,
    memory_limit: Size | None = None,
    **choices: Any,
) -> DataScore:
    """Top-1 and top-5 shares of a net on labelled data; formats that the net has are in force.

    Args:
        net, weights: prototxt (deploy or train_val) and caffemodel, float or with formats.
        data, transform, root, options, quiet, memory_limit, choices: as of `quantize`.
    Raises:
        DataError where the data has no labels.
        UsageError where nothing tells which output holds class scores.
        AdaptionError on other bad input.
    """
    opened = open_net(net, weights, data, options, transform=transform, root=root)
    scores = find_classifiers(opened.feed.spec, opened.net, options.score)
    _require_classes(opened, scores)
    batches = track(opened.feed, f"testing {os.fspath(weights)}", quiet=quiet, unit="batches")
    run = run_net(opened.net, batches, scores=scores)
    found = run.accuracy()
    if found is None:
        raise DataError(
            f'none of {counted(run.samples, "sample")} has a label that counts for "{scores.main}"',
            "give data with a label for each sample",
        ).at(file=opened.feed.path)
    entries = _entries(run)
    return DataScore(
        net=opened.net.spec.name or Path(net).stem,
        samples=run.samples,
        accuracy=found,
        scores=entries,
        formats=_word_lengths(opened.net.plan),
        data=opened.feed.describe(),
        preprocessing=opened.feed.preprocessing(),
        notes=(scores.why,) if scores.why else (),
        warnings=(*opened.net.notices, *label_warnings(entries)),
    )


def _require_classes(opened: Opened, scores: Classifiers) -> None:
    """Raises where accuracy cannot be stated, before the net runs over the data."""
    if scores.main is None:
        outputs = ", ".join(scores.unclear or opened.feed.spec.outputs)
        fact = "no output of the net holds one score per class"
        if scores.unclear:
            fact = f"the outputs {outputs} may all be class scores"
        raise UsageError(
            f"{fact}, so its accuracy is not known",
            f"name the blob with --score (outputs: {outputs}); for means of losses and of other"
            " outputs run `adaption test` without --data on a net with data layers",
        ).at(file=opened.feed.spec.file)
    main = next(one for one in scores.all if one.scores == scores.main)
    shape = opened.net.blobs[main.scores].shape
    if main.label is None and not holds_scores(shape):
        raise UsageError(
            f'blob "{main.scores}" has shape {shape}, a map of scores, and the data has'
            " one label per sample: accuracy cannot be computed",
            "add an Accuracy layer that reads it and a blob of labels, and leave out --data",
        ).at(file=opened.feed.spec.file)
    if main.label is None and not opened.feed.batches.has_labels:
        raise DataError(
            "has no labels, so accuracy cannot be stated",
            "give labelled data: folders named by class, a list of `file label` lines, an LMDB,"
            " or arrays with a label array",
        ).at(file=opened.feed.path)


def _entries(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "blob": name,
            "is_main": name == run.main,
            "accuracy": tally.accuracy(),
            **tally.labels_entry(),
        }
        for name, tally in run.scores.items()
    ]


def _word_lengths(plan: Mapping[Point, Format]) -> dict[str, list[int]]:
    """By kind of point, which word lengths the formats have, fewest bits first."""
    found: dict[str, set[int]] = {}
    for point, fmt in plan.items():
        found.setdefault(point.kind, set()).add(fmt.word_length)
    return {kind: sorted(found[kind]) for kind in KINDS if kind in found}
