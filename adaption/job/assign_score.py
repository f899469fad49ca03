"""Predictions of a net over a feed: accuracy, and mismatches of two nets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaption.errors import LayerError
from adaption.graph import NetSpec
from adaption.layers.base import traits_of
from adaption.net import Net
from adaption.precision.classifiers import find_classifiers

__all__ = ["Predictions", "Ranges", "logits_of", "predict"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """The class that a net gives each sample, and the labels where there are some."""

    classes: Ints
    labels: Ints | None

    @property
    def accuracy(self) -> float | None:
        """The share of samples whose class is their label; None without labels."""
        if self.labels is None or not len(self.labels):
            return None
        return float((self.classes == self.labels).mean())

    def mismatches(self, other: Predictions) -> float:
        """The share of samples that another net gives another class."""
        return float((self.classes != other.classes).mean())


@dataclass
class Ranges:
    """Least and greatest values of blobs over passes.

    blobs: by name of what they hold.
    """

    blobs: Mapping[str, str]
    found: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def look(self, net: Net) -> None:
        """Take in what a pass has left."""
        for name, blob in self.blobs.items():
            least, greatest = torch.aminmax(net.blobs[blob].tensor.detach())
            before = self.found.get(name, (least, greatest))
            self.found[name] = torch.minimum(before[0], least), torch.maximum(before[1], greatest)

    def values(self) -> dict[str, tuple[float, float]]:
        """Least and greatest value by name."""
        return {name: (float(a), float(b)) for name, (a, b) in self.found.items()}


def logits_of(spec: NetSpec, net: Net) -> str:
    """The blob of the main classifier's scores, before the softmax where there is one.

    Raises: LayerError when the net does not classify.
    """
    found = find_classifiers(spec, net)
    if found.main is None:
        several = f" (of {', '.join(found.unclear)} any could be them)" if found.unclear else ""
        raise LayerError(
            f"gives no class scores, from which mismatches could be counted{several}",
            "give a net with a SoftmaxWithLoss or Accuracy layer in phase TEST",
        ).at(file=spec.file)
    maker = next(item for item in reversed(spec.layers) if found.main in item.tops)
    return maker.bottoms[0] if traits_of(maker, spec).gives_scores else found.main


def predict(
    net: Net, batches: Iterable[Any], scores: str, ranges: Ranges | None = None
) -> Predictions:
    """Run a net over batches.

    Args:
        scores: blob of class scores; of equal ones the last class counts, as in Caffe's Accuracy.
        ranges: looks at every pass.
    """
    classes: list[Ints] = []
    labels: list[Ints] = []
    with torch.no_grad():
        for batch in batches:
            net.forward(batch.blobs)
            flat = net.blobs[scores].tensor.flatten(1)
            best = flat.shape[1] - 1 - flat.flip(1).argmax(1)
            classes.append(best.cpu().numpy().astype(np.int64))
            if batch.labels is not None:
                labels.append(np.asarray(batch.labels, np.int64))
            if ranges is not None:
                ranges.look(net)
    return Predictions(np.concatenate(classes), np.concatenate(labels) if labels else None)
