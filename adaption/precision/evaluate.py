"""Run a net over data and gather what tells two nets apart: predictions, outputs, rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaption.data.loader import Batch
from adaption.net import Net
from adaption.net.finite import nan_error
from adaption.net.net import Observer
from adaption.net.node import Node
from adaption.net.twin import Before, twin_of
from adaption.numerics import FixedPoint, Format
from adaption.numerics.measures import stated_db
from adaption.precision.classifiers import Classifier, Classifiers
from adaption.precision.counting import RoundingCounts, count_rounding, round_and_count_
from adaption.precision.detections import compare_detections
from adaption.precision.measure import ActivationObserver
from adaption.precision.turns import Lane, Turns
from adaption.precision.zeros import ZerosOfBlobs

__all__ = [
    "PointError",
    "Run",
    "compare_runs",
    "refuse_nan_outputs",
    "run_net",
]

NOBODY = Classifiers()
OUTPUT_BUDGET = 64 << 20  # bytes of output values kept per blob for comparing two nets


@dataclass
class PointError:
    """What rounding does at one point, summed over all values seen."""

    count: int = 0
    saturated: int = 0
    flushed: int = 0  # non-zero values that became zero
    zeros_before: int = 0
    zeros_after: int = 0
    signal: float = 0.0
    noise: float = 0.0

    def update(self, x: Tensor, y: Tensor, fmt: FixedPoint) -> None:
        """Take in `x` and its rounded values `y`."""
        self.add(x.numel(), count_rounding(x, y, fmt.min_value, fmt.max_value))

    def add(self, count: int, seen: RoundingCounts) -> None:
        """Take in what was counted of a tensor of `count` values."""
        self.count += count
        self.saturated += seen.saturated
        self.zeros_before += seen.zeros_before
        self.zeros_after += seen.zeros_after
        self.flushed += seen.zeros_after - seen.zeros_before
        self.signal += seen.signal
        self.noise += seen.noise

    @property
    def sqnr_db(self) -> float:
        return _decibel(self.signal, self.noise)

    def to_dict(self) -> dict[str, Any]:
        """Shares and SQNR as the summary lists them; SQNR None means exact."""
        count = max(1, self.count)
        return {
            "saturated_share": self.saturated / count,
            "flushed_share": self.flushed / count,
            "zero_share_before": self.zeros_before / count,
            "zero_share_after": self.zeros_after / count,
            "sqnr_db": stated_db(self.sqnr_db),
        }


@dataclass
class Tally:
    """What one classifier said, and how often it was right."""

    classes: int = 0
    predictions: list[NDArray[np.int32]] = field(default_factory=list)  # -1: scores that are NaN
    top1: int = 0
    top5: int = 0
    labelled: int = 0
    outside: int = 0  # labels that are no class
    least_label: int | None = None
    greatest_label: int | None = None

    def accuracy(self) -> dict[str, float | None] | None:
        """Top-1 and, with more than five classes, top-5 shares; None without labels."""
        if not self.labelled:
            return None
        return {
            "top1": self.top1 / self.labelled,
            "top5": self.top5 / self.labelled if self.classes > 5 else None,
        }

    def labels_entry(self) -> dict[str, Any]:
        """How many labels counted, and which were no class, as plain values."""
        return {
            "samples": self.labelled,
            "classes": self.classes,
            "labels_outside": self.outside,
            "labels_range": [self.least_label, self.greatest_label],
        }

    def add(self, rows: Tensor, labels: Tensor | None, ignored: int | None) -> None:
        """Take in scores (M, classes) and their labels (M,)."""
        self.classes = rows.shape[1]
        is_nan = rows.isnan().any(1)
        # Ties go to the highest class index, as in Caffe's Accuracy.
        best = rows.shape[1] - 1 - rows.flip(1).argmax(1)
        self.predictions.append(torch.where(is_nan, -1, best).numpy().astype(np.int32))
        if labels is None or len(labels) != len(rows):
            return
        counted = torch.ones_like(is_nan) if ignored is None else labels != ignored
        rows, want, is_nan = rows[counted], labels[counted], is_nan[counted]
        inside = (want >= 0) & (want < self.classes)
        own = rows.gather(1, want.clamp(0, self.classes - 1).unsqueeze(1))
        index = torch.arange(self.classes)
        ahead = ((rows > own) | ((rows == own) & (index > want.unsqueeze(1)))).sum(1)
        right = inside & ~is_nan
        self.top1 += int(((ahead < 1) & right).sum())
        self.top5 += int(((ahead < 5) & right).sum())
        self.labelled += len(want)
        self.outside += int((~inside).sum())
        if len(want):
            low, high = int(want.min()), int(want.max())
            self.least_label = low if self.least_label is None else min(low, self.least_label)
            self.greatest_label = (
                high if self.greatest_label is None else max(high, self.greatest_label)
            )


@dataclass
class Run:
    """One net's pass over the data. `main` is the blob of the classifier that speaks for the net;
    `boxes` are the outputs whose rows are detections."""

    samples: int = 0
    main: str | None = None
    scores: dict[str, Tally] = field(default_factory=dict)
    outputs: dict[str, list[Tensor]] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)
    points: dict[str, PointError] = field(default_factory=dict)  # rounded results, by layer
    input_zeros: dict[str, list[int]] = field(default_factory=dict)  # layer -> zeros, count

    @property
    def tally(self) -> Tally:
        """That of the main classifier; an empty one without any."""
        return self.scores.get(self.main or "", Tally())

    def accuracy(self) -> dict[str, float | None] | None:
        """Of the main classifier; see `Tally.accuracy`."""
        return self.tally.accuracy()

    def zero_input_share(self, layer: str) -> float:
        """Share of zeros among the values that a weight layer reads."""
        zeros, count = self.input_zeros.get(layer, (0, 0))
        return zeros / count if count else 0.0


def run_net(
    net: Net,
    batches: Iterable[Any],
    *,
    scores: Classifiers = NOBODY,
    observers: Sequence[Observer] = (),
) -> Run:
    """Forward over all batches.

    With several threads a second net on the same weights takes every other batch, where passes do
    not depend on each other (see net.twin); the result is the same to the bit. `net.blobs`
    then holds the last batch that was its own.

    Args:
        scores: the net's classifiers.
        observers: called for every layer besides the run's own, when layers in place may have
            overwritten their bottoms. One that is no ActivationObserver sees the batches one after
            the other.
    Raises: DataError naming the first layer that gave NaN, where it reached an output.
    """
    run = Run(main=scores.main, scores={c.scores: Tally() for c in scores.all})
    run.boxes = [
        top
        for node in net.nodes
        for top in node.spec.tops
        if node.layer.gives_boxes and top in net.outputs
    ]
    turns, before = Turns(map(_own, batches)), Before(net)
    lanes = [_Pass(run, net, scores, observers)]
    with lanes[0].metering():
        if not turns.one(lanes[0]):
            return run
    again = [o.alike() for o in observers if type(o) is ActivationObserver]
    if before.still_holds() and len(again) == len(observers):
        twin = twin_of(net)
        if twin is not None:
            lanes.append(_Pass(run, twin, scores, again))
    with ExitStack() as metered:
        for lane in lanes:
            metered.enter_context(lane.metering())
        turns.all(lanes)
    return run


def _own(batch: Any) -> Batch:
    """A batch whose source may fill the same arrays again while it is worked on."""
    blobs: dict[str, Any] = {
        n: x.clone() if isinstance(x, Tensor) else np.array(x) for n, x in batch.blobs.items()
    }
    labels = None if batch.labels is None else np.array(batch.labels)
    return Batch(blobs, labels, list(batch.names))


def refuse_nan_outputs(net: Net, scores: Classifiers, batch: Any) -> None:
    """Raise DataError where an output is NaN, naming the first layer that made it."""
    for name in dict.fromkeys([*(c.scores for c in scores.all), *net.outputs]):
        value = net.blobs[name].tensor
        if not torch.isnan(value).any():
            continue
        rows = value.reshape(value.shape[0], -1) if value.dim() else value.reshape(1, 1)
        number = int(torch.isnan(rows).any(1).nonzero()[0])
        sample = f"sample {batch.names[number]!r}" if len(rows) == len(batch.names) else ""
        raise nan_error(net, sample)


class _Pass(Lane):
    """Runs batches with one net. Counts zeros that weight layers read, and what rounding does to
    results, and calls the other observers. Rounding in place is counted by the point's meter,
    while it rounds."""

    def __init__(
        self, run: Run, net: Net, scores: Classifiers, observers: Sequence[Observer]
    ) -> None:
        self.made, self.net, self.scores, self.observers = run, net, scores, observers
        self._measuring = [o for o in observers if isinstance(o, ActivationObserver)]
        self._zeros = ZerosOfBlobs(self._measuring[0].zeros if self._measuring else None)
        self._seen: RoundingCounts | None = None  # by the meter, of the layer that runs
        # Of this batch, by layer: zeros and values that were read; values and what rounding did.
        self._read: list[tuple[str, int, int]] = []
        self._rounded: list[tuple[str, int, RoundingCounts]] = []

    def run(self, batch: Any) -> None:
        """Forward, and look at all blobs."""
        with torch.no_grad():
            self.net.forward(batch.blobs, observer=self._observe, in_place=True)

    def settle(self, batch: Any) -> None:
        """Add what was seen of the batch to the run."""
        run, net = self.made, self.net
        refuse_nan_outputs(net, self.scores, batch)
        run.samples += len(batch.names)
        for name, found, count in self._read:
            zeros = run.input_zeros.setdefault(name, [0, 0])
            zeros[0] += found
            zeros[1] += count
        for name, count, seen in self._rounded:
            run.points.setdefault(name, PointError()).add(count, seen)
        self._read.clear()
        self._rounded.clear()
        for observer in self._measuring:
            observer.finish()
        for one in self.scores.all:
            _score(run, net, one, batch.labels)
        _keep_outputs(run, net)

    @contextmanager
    def metering(self) -> Iterator[None]:
        """Have every rounding layer in place counted while it rounds."""
        points = [node.points for node in self.net.nodes if _is_counted(node)]
        for one in points:
            one.meter = self._meter
        try:
            yield
        finally:
            for one in points:
                one.meter = None

    def _meter(self, fmt: Format, x: Tensor, generator: torch.Generator | None) -> None:
        assert isinstance(fmt, FixedPoint)
        self._seen = round_and_count_(x, fmt, generator)

    def _observe(self, node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        name, seen = node.spec.name, self._seen
        self._seen = None
        if node.layer.is_weight_layer():
            for blob, x in zip(node.spec.bottoms, bottoms, strict=True):
                self._read.append((name, self._zeros.of(blob, x), x.numel()))
        if _is_counted(node):
            if seen is None:
                fmt = node.formats.activation
                assert isinstance(fmt, FixedPoint)
                seen = count_rounding(bottoms[0], tops[0], fmt.min_value, fmt.max_value)
            self._rounded.append((name, tops[0].numel(), seen))
        self._zeros.follow(node, tops, seen)
        for observer in self.observers:
            observer(node, bottoms, tops)


def _is_counted(node: Node) -> bool:
    return node.layer.kind == "rounding" and isinstance(node.formats.activation, FixedPoint)


def _score(run: Run, net: Net, one: Classifier, labels: NDArray[np.int64] | None) -> None:
    values = net.blobs[one.scores].tensor.cpu()
    rows = values.movedim(one.axis, -1).reshape(-1, values.shape[one.axis])
    given: Tensor | None = None
    if one.label is not None:
        given = net.blobs[one.label].tensor.cpu().flatten().long()
    elif labels is not None:
        given = torch.from_numpy(np.asarray(labels, np.int64))
    run.scores[one.scores].add(rows, given, one.ignore_label)


def _keep_outputs(run: Run, net: Net) -> None:
    """Outputs and scores per sample, in the order of the net's blobs; no losses and accuracies."""
    wanted = {name for name in net.outputs if net.blobs[name].shape} | run.scores.keys()
    for name in (n for n in net.blobs if n in wanted):
        kept = run.outputs.setdefault(name, [])
        value = net.blobs[name].tensor
        if sum(t.numel() for t in kept) * 4 + value.numel() * 4 <= OUTPUT_BUDGET:
            kept.append(value.to("cpu", copy=True))


def compare_runs(reference: Run, other: Run) -> dict[str, Any]:
    """What tells two runs over the same data apart: flipped predictions of the main classifier, all
    classifiers one by one, SQNR of each output in dB, boxes of detectors."""
    sqnr: dict[str, float | None] = {}
    detections: dict[str, Any] = {}
    for name, kept in reference.outputs.items():
        pairs = list(zip(kept, other.outputs.get(name, []), strict=False))
        if name in reference.boxes:
            detections[name] = compare_detections((x.numpy(), y.numpy()) for x, y in pairs)
        elif pairs and all(x.shape == y.shape for x, y in pairs):
            signal = sum(float(x.double().square().sum()) for x, _ in pairs)
            noise = sum(float((x.double() - y.double()).square().sum()) for x, y in pairs)
            sqnr[name] = stated_db(_decibel(signal, noise))
    scores = [
        {
            "blob": name,
            "is_main": name == reference.main,
            "float": tally.accuracy(),
            "quantized": other.scores[name].accuracy(),
            **tally.labels_entry(),
            "flipped_predictions": _flipped(tally, other.scores[name]),
            "sqnr_db": sqnr.get(name),
        }
        for name, tally in reference.scores.items()
    ]
    return {
        "scores": scores,
        "flipped_predictions": _flipped(reference.tally, other.tally),
        "output_sqnr_db": sqnr,
        "detections": detections,
    }


def _flipped(a: Tally, b: Tally) -> dict[str, Any] | None:
    """How many predictions differ; None where there are none, or not as many in both."""
    if not a.predictions or not b.predictions:
        return None
    mine, theirs = np.concatenate(a.predictions), np.concatenate(b.predictions)
    if mine.shape != theirs.shape:
        return None
    count = int((mine != theirs).sum())
    return {"count": count, "share": count / max(1, len(mine)), "samples": len(mine)}


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
