"""Measure the dynamic range of weights, biases and every activation, in one streaming pass."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from adaption.errors import DataError, FileFormatError
from adaption.net import Net, Point
from adaption.net.node import Node
from adaption.precision.sidecar import save_rows
from adaption.precision.statistics import TensorStats

__all__ = ["Measurement", "measure", "measure_weights"]

FORMAT = "adaption.measurement/1"
SKIPPED = ("Split",)  # hand their bottom on


@dataclass
class Measurement:
    """Statistics by Point: a layer's weight, bias, and its top (kind "activation").

    A layer with several tops is measured over all of them together.
    """

    net: str = ""
    samples: int = 0
    points: dict[Point, TensorStats] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, point: Point) -> TensorStats:
        return self.points[point]

    def merge(self, other: Measurement) -> Measurement:
        """Both measurements together; weights are the same in both and counted once."""
        merged = Measurement(
            self.net, self.samples + other.samples, dict(self.points), self.preprocessing
        )
        for point, stats in other.points.items():
            mine = merged.points.get(point)
            if mine is None:
                merged.points[point] = stats
            elif point.kind == "activation":
                merged.points[point] = mine.merge(stats)
        return merged

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, one line per tensor."""
        head = {
            "format": FORMAT,
            "net": self.net,
            "samples": self.samples,
            "preprocessing": dict(self.preprocessing),
        }
        rows = ({"layer": p.layer, "kind": p.kind, **s.to_dict()} for p, s in self.points.items())
        save_rows(path, head, "tensors", rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote. Raises: FileFormatError when it is something else."""
        try:
            values = json.loads(Path(path).read_text("utf-8"))
            if values["format"] != FORMAT:
                raise FileFormatError(f"has format {values['format']!r}, allowed: {FORMAT!r}")
            points = {
                Point(row["layer"], row["kind"]): TensorStats.from_dict(row)
                for row in values["tensors"]
            }
            return cls(values["net"], values["samples"], points, values["preprocessing"])
        except FileFormatError as error:
            raise error.at(file=path) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileFormatError(
                f"is no measurement: {error}", "write it with `adaption measure`"
            ).at(file=path) from None


def measure(
    net: Net,
    batches: Iterable[Any],
    *,
    legacy_rule: bool = False,
    preprocessing: Mapping[str, Any] | None = None,
) -> Measurement:
    """Run the net over all batches and gather statistics of every tensor.

    Args:
        net: a float net with its weights, phase TEST.
        batches: see data.loader.Batch; `.blobs` holds arrays by input blob name.
        legacy_rule: also count what the rule `adaption-legacy` looks at.
    Raises: DataError when there is no batch.
    """
    made = measure_weights(net, legacy_rule=legacy_rule)
    made.preprocessing = dict(preprocessing or {})
    observer = activation_observer(made, legacy_rule=legacy_rule)
    with torch.no_grad():
        for batch in batches:
            net.forward(batch.blobs, observer=observer)
            made.samples += len(batch.names)
    if not made.samples:
        raise DataError("no samples to measure on", "give at least one image or array")
    return made


def activation_observer(made: Measurement, *, legacy_rule: bool = False) -> Any:
    """An observer for Net.forward that gathers the statistics of every layer's tops."""

    def observe(node: Node, bottoms: Any, tops: Any) -> None:
        if node.spec.type in SKIPPED or not tops:
            return
        point = Point(node.spec.name, "activation")
        stats = made.points.get(point)
        if stats is None:
            stats = made.points[point] = _new_stats(legacy_rule)
        for top in tops:
            stats.update(top)

    return observe


def measure_weights(net: Net, *, legacy_rule: bool = False) -> Measurement:
    """Statistics of each layer's weight (blob 0, full precision) and bias."""
    made = Measurement(net=net.name)
    for node in net.nodes:
        for blob, kind in zip(node.masters, ("weight", "bias"), strict=False):
            stats = _new_stats(legacy_rule)
            stats.update(blob.tensor)
            made.points[Point(node.spec.name, kind)] = stats
    return made


def _new_stats(legacy_rule: bool) -> TensorStats:
    return TensorStats.counting_above() if legacy_rule else TensorStats()
