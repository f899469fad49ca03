"""Run a net over data and gather what tells two nets apart: predictions, outputs, rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaption.graph import NetSpec
from adaption.layers.base import traits_of
from adaption.net import Net
from adaption.net.net import Observer
from adaption.net.node import Node
from adaption.numerics import FixedPoint

__all__ = ["PointError", "Run", "compare_runs", "holds_scores", "run_net", "score_blob"]

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
        self.count += x.numel()
        self.saturated += int(((x > fmt.max_value) | (x < fmt.min_value)).sum())
        before = x.numel() - int(torch.count_nonzero(x))
        after = y.numel() - int(torch.count_nonzero(y))
        self.zeros_before += before
        self.zeros_after += after
        self.flushed += after - before
        self.signal += float(torch.linalg.vector_norm(x, dtype=torch.float64)) ** 2
        self.noise += float(torch.linalg.vector_norm(x - y, dtype=torch.float64)) ** 2

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
            "sqnr_db": self.sqnr_db if math.isfinite(self.sqnr_db) else None,
        }


@dataclass
class Run:
    """One net's pass over the data."""

    samples: int = 0
    classes: int = 0
    predictions: list[NDArray[np.int64]] = field(default_factory=list)
    top1: int = 0
    top5: int = 0
    labelled: int = 0
    outputs: dict[str, list[Tensor]] = field(default_factory=dict)
    points: dict[str, PointError] = field(default_factory=dict)  # rounded results, by layer
    input_zeros: dict[str, list[int]] = field(default_factory=dict)  # layer -> zeros, count

    def accuracy(self) -> dict[str, float | None] | None:
        """Top-1 and, with more than five classes, top-5 shares; None without labels."""
        if not self.labelled:
            return None
        return {
            "top1": self.top1 / self.labelled,
            "top5": self.top5 / self.labelled if self.classes > 5 else None,
        }

    def zero_input_share(self, layer: str) -> float:
        """Share of zeros among the values that a weight layer reads."""
        zeros, count = self.input_zeros.get(layer, (0, 0))
        return zeros / count if count else 0.0


def score_blob(spec: NetSpec, net: Net) -> str | None:
    """The blob that holds class scores: what Accuracy reads, or the one output (N, K), K > 1.

    Among several such outputs the last Softmax decides; None when there is none.
    """
    for item in spec.layers:
        if traits_of(item, spec).reads_scores:
            return item.bottoms[0]
    scores = [name for name in spec.outputs if holds_scores(net.blobs[name].shape)]
    if len(scores) <= 1:
        return scores[0] if scores else None
    made_by = {top: s for s in spec.layers for top in s.tops}
    softmax = [name for name in scores if traits_of(made_by[name], spec).gives_scores]
    return softmax[0] if len(softmax) == 1 else None


def holds_scores(shape: Sequence[int]) -> bool:
    """True for one score per class: (N, K), K > 1; further axes of size 1 allowed."""
    return len(shape) >= 2 and shape[1] > 1 and math.prod(shape[2:]) == 1


def run_net(
    net: Net,
    batches: Iterable[Any],
    *,
    scores: str | None,
    observers: Sequence[Observer] = (),
) -> Run:
    """Forward over all batches.

    Args:
        scores: blob of class scores, or None.
        observers: called for every layer besides the run's own.
    """
    run = Run()

    def observe(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        run_observer(run, node, bottoms, tops)
        for observer in observers:
            observer(node, bottoms, tops)

    with torch.no_grad():
        for batch in batches:
            net.forward(batch.blobs, observer=observe)
            run.samples += len(batch.names)
            if scores is not None:
                _score(run, net.blobs[scores].tensor, batch.labels)
            _keep_outputs(run, net, scores)
    return run


def run_observer(run: Run, node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
    """Count zeros that weight layers read, and what rounding does to results."""
    name = node.spec.name
    if node.layer.is_weight_layer():
        seen = run.input_zeros.setdefault(name, [0, 0])
        for x in bottoms:
            seen[0] += x.numel() - int(torch.count_nonzero(x))
            seen[1] += x.numel()
    fmt = node.formats.activation
    if node.layer.kind == "rounding" and isinstance(fmt, FixedPoint):
        point = run.points.setdefault(name, PointError())
        point.update(bottoms[0], tops[0], fmt)


def _score(run: Run, scores: Tensor, labels: NDArray[np.int64] | None) -> None:
    rows = scores.flatten(1)
    run.classes = rows.shape[1]
    # Ties go to the highest class index, as in Caffe's Accuracy.
    best = rows.shape[1] - 1 - rows.flip(1).argmax(1)
    run.predictions.append(best.numpy().astype(np.int64))
    if labels is None:
        return
    want = torch.from_numpy(np.asarray(labels, np.int64))
    inside = (want >= 0) & (want < rows.shape[1])
    own = rows.gather(1, want.clamp(0, rows.shape[1] - 1).unsqueeze(1))
    index = torch.arange(rows.shape[1])
    ahead = ((rows > own) | ((rows == own) & (index > want.unsqueeze(1)))).sum(1)
    run.top1 += int(((ahead < 1) & inside).sum())
    run.top5 += int(((ahead < 5) & inside).sum())
    run.labelled += len(want)


def _keep_outputs(run: Run, net: Net, scores: str | None) -> None:
    """Outputs per sample; a net whose outputs are losses and accuracies is judged by its scores."""
    names = [name for name in net.outputs if net.blobs[name].shape]
    for name in names or ([scores] if scores else []):
        kept = run.outputs.setdefault(name, [])
        value = net.blobs[name].tensor
        if sum(t.numel() for t in kept) * 4 + value.numel() * 4 <= OUTPUT_BUDGET:
            kept.append(value.clone())


def compare_runs(reference: Run, other: Run) -> dict[str, Any]:
    """Flipped predictions, and SQNR of each output in dB, of two runs over the same data."""
    flips = None
    if reference.predictions:
        a, b = np.concatenate(reference.predictions), np.concatenate(other.predictions)
        count = int((a != b).sum())
        flips = {"count": count, "share": count / max(1, len(a)), "samples": len(a)}
    sqnr: dict[str, float | None] = {}
    for name, kept in reference.outputs.items():
        pairs = list(zip(kept, other.outputs.get(name, []), strict=False))
        if not pairs or pairs[0][0].shape != pairs[0][1].shape:
            continue
        signal = sum(float(x.double().square().sum()) for x, _ in pairs)
        noise = sum(float((x.double() - y.double()).square().sum()) for x, y in pairs)
        value = _decibel(signal, noise)
        sqnr[name] = value if math.isfinite(value) else None
    return {"flipped_predictions": flips, "output_sqnr_db": sqnr}


def _decibel(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
