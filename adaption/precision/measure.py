"""Measure the dynamic range of weights, biases, activations and gradients in a streaming pass."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from adaption.errors import DataError, FieldError, UsageError, counted, one_line
from adaption.graph import refuse_repeated
from adaption.io.entries import Entries
from adaption.later import Tensor, torch
from adaption.net.display import MOST_LINES, as_frame, as_html, shortened
from adaption.net.plan import Point
from adaption.precision.row_files import load_rows, save_rows
from adaption.precision.sample import Sample, together
from adaption.precision.statistics import TensorStats
from adaption.table import columns

if TYPE_CHECKING:
    from adaption.net import Net
    from adaption.net.node import Node

__all__ = ["ActivationObserver", "Measurement", "measure_net", "measure_weights"]

FORMAT = "adaption.measurement/2"
MOST = 1 << 62
OF_WEIGHTS = ("weight", "bias")  # kinds that do not depend on the data


@dataclass(repr=False)
class Measurement:
    """Statistics by Point: a layer's weight, bias, and its top (kind "activation").

    A layer with several tops is measured over all of them together. With gradients there are the
    kinds "weight_grad", "bias_grad" and "activation_grad" (the diff of the top) as well, and of
    weight layers "bottom", what they read; of the last two each tensor also in its own scale.
    """

    net: str = ""
    samples: int = 0
    points: dict[Point, TensorStats] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] | None = None  # None: not known
    data: Mapping[str, Any] = field(default_factory=dict)  # where the samples come from
    batches: int = 0
    batch_size: int | None = None  # samples per batch: gradients depend on it
    is_complete: bool = True  # False: stopped, can be resumed
    notices: list[str] = field(default_factory=list)  # of the net that was run; not in the file

    def __getitem__(self, point: Point) -> TensorStats:
        found = self.points.get(point)
        if found is None:
            layers = dict.fromkeys(p.layer for p in self.points)
            raise FieldError(
                "measurement",
                f'without "{point}"',
                f"points of the layers {', '.join(layers)}",
                "measure the net that is proposed for, with its weights",
            )
        return found

    def merge(self, other: Measurement) -> Measurement:
        """Both measurements together; weights are the same in both and counted once.

        Raises: DataError when net, weights or preprocessing differ.
        """
        self._require_same(other)
        merged = Measurement(
            self.net, self.samples + other.samples, dict(self.points), self.preprocessing
        )
        merged.data = {"source": [*_sources(self), *_sources(other)]}
        merged.batches = self.batches + other.batches
        merged.batch_size = self.batch_size if self.batch_size == other.batch_size else None
        merged.is_complete = self.is_complete and other.is_complete
        for point, stats in other.points.items():
            mine = merged.points.get(point)
            if mine is None:
                merged.points[point] = stats
            elif point.kind not in OF_WEIGHTS:
                merged.points[point] = mine.merge(stats)
        return merged

    def _require_same(self, other: Measurement) -> None:
        if self.net != other.net:
            raise DataError(f"one measures the net {self.net!r}, the other {other.net!r}")
        differing = preprocessing_differences(self.preprocessing, other.preprocessing)
        if differing:
            raise DataError(
                f"the preprocessing differs: {'; '.join(differing)}",
                "measure with the same preprocessing everywhere",
            )
        for point in self.points.keys() & other.points.keys():
            if point.kind in OF_WEIGHTS:
                mine, its = self.points[point], other.points[point]
                if mine.count != its.count or (mine.bins != its.bins).any():
                    raise DataError(
                        f'the weights differ: "{point}" has other values',
                        "measure with the same weights everywhere",
                    )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, one line per tensor."""
        save_rows(path, self.head(), "tensors", self.rows())

    def head(self) -> dict[str, Any]:
        """What the file says before its tensors."""
        return {
            "format": FORMAT,
            "net": self.net,
            "samples": self.samples,
            "batches": self.batches,
            "batch_size": self.batch_size,
            "is_complete": self.is_complete,
            "data": dict(self.data),
            "preprocessing": None if self.preprocessing is None else dict(self.preprocessing),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """One entry per tensor."""
        for point, stats in self.points.items():
            yield {"layer": point.layer, "kind": point.kind, **stats.to_dict()}

    def table_rows(self) -> list[dict[str, Any]]:
        """One row per tensor: what a table shows of it."""
        return [
            {
                "layer": point.layer,
                "kind": point.kind,
                "count": stats.count,
                "min": stats.minimum,
                "max": stats.maximum,
                "mean": stats.mean,
                "std": stats.std,
                "zero_share": stats.zeros / max(1, stats.count),
                "percentile_99_9": stats.percentile(99.9),
            }
            for point, stats in self.points.items()
        ]

    def __repr__(self) -> str:
        rows = [
            (f"  {p.layer}", p.kind, f"{s.minimum:.4g} .. {s.maximum:.4g}")
            for p, s in self.points.items()
        ]
        left = len(rows) - (MOST_LINES - 2)
        lines = columns(shortened(rows, MOST_LINES - 1, (f"  ... {left} more",)))
        return "\n".join([one_line(self._title()), *lines])

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.table_rows())

    def _title(self) -> str:
        state = "" if self.is_complete else ", stopped before the end"
        return (
            f'Measurement of "{self.net}": {len(self.points)} tensors over {self.samples}'
            f" samples{state}"
        )

    def to_dataframe(self) -> Any:
        """One row per tensor, as a pandas.DataFrame. Raises: UsageError without pandas."""
        return as_frame(self.table_rows())

    def facts(self) -> list[str]:
        """What was measured on what, in words."""
        facts = [
            f"{counted(self.samples, 'sample')} in {counted(self.batches, 'batch', 'batches')}"
        ]
        facts += [f"data {source}" for source in _sources(self)]
        known = self.preprocessing or {}
        facts += [f"{name} {value}" for name, value in known.items() if value is not None]
        sampled = max((s.stride for s in self.points.values()), default=1)
        if sampled > 1:
            facts.append("of large tensors, only count, min and max are of all values")
        return facts

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote. Raises: FileFormatError when it is something else."""
        return load_rows(path, (FORMAT,), "measurement", "measure", cls._from_values)

    @classmethod
    def _from_values(cls, values: Entries) -> Self:
        points = {
            Point(row.text("layer"), row.text("kind")): TensorStats.from_dict(row)
            for row in values.rows("tensors")
        }
        has = values.optional
        return cls(
            values.text("net"),
            values.whole("samples", 0, MOST),
            points,
            values.plain("preprocessing") if has("preprocessing") else None,
            values.plain("data"),
            values.whole("batches", 0, MOST),
            values.whole("batch_size", 1, MOST) if has("batch_size") else None,
            values.flag("is_complete"),
        )


def preprocessing_differences(
    one: Mapping[str, Any] | None, other: Mapping[str, Any] | None
) -> list[str]:
    """What two preprocessings do not have in common, in words.

    Nothing where one of them is not known, as that of arrays that come preprocessed ({}).
    """
    return differences(one, other) if one and other else []


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The entries that two mappings do not have in common, in words."""
    names = [*one, *(name for name in other if name not in one)]
    return [
        f"{name} is {one.get(name)!r} in one and {other.get(name)!r} in the other"
        for name in names
        if one.get(name) != other.get(name)
    ]


def measure_net(
    net: Net,
    batches: Iterable[Any],
    *,
    legacy_rule: bool = False,
    backward: bool = False,
    every_layer: bool = False,
    every_value: bool = False,
    preprocessing: Mapping[str, Any] | None = None,
    into: Measurement | None = None,
    after_batch: Callable[[Measurement], None] | None = None,
) -> Measurement:
    """Run the net over all batches and gather statistics of every tensor.

    Batch norm and scale in place behind a convolution run as one with it where they can, so that
    measuring costs little more than a forward pass; the sums inside such a chain, which exist
    nowhere then, are measured only with `every_layer`.

    Args:
        net: a float net with its weights, phase TEST.
        batches: see data.loader.Batch; `.blobs` holds arrays by input blob name.
        legacy_rule: also count what the rule `adaption-legacy` looks at with a threshold.
        backward: also run backward, and measure the diffs of weights, biases and tops, and the
            bottoms of weight layers.
        every_layer: run each layer on its own.
        every_value: look at all values; otherwise only count, min and max of tensors of more than
            16384 values per batch are of all of them, and the rest of a sample of other values each
            batch: 16384 of the first, half as many of each behind it, no less than 2048.
        into: a measurement of this net to go on with.
        after_batch: called with the measurement after each batch.
    Raises: DataError when there is no batch; UsageError with `backward` for a net without a loss.
    """
    if backward and not any(any(node.loss_weights) for node in net.nodes):
        raise UsageError(
            "backward needs a net with a loss", "give the train_val prototxt, with labels"
        ).at(file=net.spec.file)
    made = into
    if made is None:
        made = measure_weights(net, legacy_rule=legacy_rule)
        made.preprocessing = preprocessing
    tops = ActivationObserver(made, legacy_rule=legacy_rule, every_value=every_value)

    def observe(node: Node, bottoms: Sequence[Tensor], own_tops: Sequence[Tensor]) -> None:
        if backward and node.layer.is_weight_layer():
            _add(made, Point(node.spec.name, "bottom"), map(_with_own_scale, bottoms))
        tops(node, bottoms, own_tops)

    with torch.set_grad_enabled(backward):
        for batch in batches:
            if backward:
                net.clear_param_diffs()
            net.forward(batch.blobs, observer=observe, fused=not (every_layer or backward))
            tops.finish()
            if backward:
                _measure_backward(net, made)
            made.samples += len(batch.names)
            made.batches += 1
            if after_batch is not None:
                after_batch(made)
    if not made.samples:
        raise DataError("no samples to measure on", "give at least one image or array")
    return made


class ActivationObserver:
    """Gathers the statistics of every layer's tops: an observer for Net.forward.

    `finish` is to be called behind each pass: it adds what was seen to the measurement, after
    samples of large tensors have been counted together.
    """

    def __init__(
        self, made: Measurement, *, legacy_rule: bool = False, every_value: bool = True
    ) -> None:
        self.made = made
        self.legacy_rule = legacy_rule
        self.every_value = every_value
        # Of this pass: parts by blob, as it is now, and what is still to be counted by point.
        self._latest: dict[str, list[Sample]] = {}
        self._waiting: list[tuple[Point, list[Sample]]] = []

    def __call__(self, node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        spec = node.spec
        known = [self._latest[b] for b in spec.bottoms if b in self._latest]
        parts = self._derived(node, known) if len(known) == len(spec.bottoms) > 0 else None
        if parts is None:
            found = [[self._look_at(top)] for top in tops]
            parts = [part for of_top in found for part in of_top]
        else:
            found = [parts] * len(tops)
            parts = parts * len(tops)
        self._latest.update(zip(spec.tops, found, strict=True))
        if spec.is_split or not parts:
            return
        self._waiting.append((Point(spec.name, "activation"), parts))

    def alike(self) -> ActivationObserver:
        """One for another net that computes the same, with the same measurement."""
        return ActivationObserver(
            self.made, legacy_rule=self.legacy_rule, every_value=self.every_value
        )

    def zeros(self, blob: str) -> int | None:
        """How many zeros a blob of this pass holds; None where only a sample tells."""
        parts = self._latest.get(blob)
        if parts is None or any(part.stride > 1 for part in parts):
            return None
        return sum(part.stats.zeros for part in parts)

    def finish(self) -> None:
        """Count what was kept of this pass."""
        for point, parts in self._waiting:
            held = self.made.points.get(point)
            if held is None:
                self.made.points[point] = together(parts)
                continue
            for part in parts:
                held.add(part.stats)
        self._waiting.clear()

    def _look_at(self, top: Tensor) -> Sample:
        turn = None if self.every_value else self.made.batches
        if turn is not None and not self.legacy_rule:
            return Sample.of(top, turn)
        return Sample.finished(TensorStats.of(top, legacy_rule=self.legacy_rule, turn=turn))

    @staticmethod
    def _derived(node: Node, of_bottoms: list[list[Sample]]) -> list[Sample] | None:
        """What each top holds, where that follows from the bottoms."""
        if node.formats.activation is not None:  # it is rounded
            return None
        parts = [part for of_bottom in of_bottoms for part in of_bottom]
        if node.layer.rearranges:
            return parts
        if not node.layer.rectifies():
            return None
        rectified = [part.rectified() for part in parts]
        return None if None in rectified else rectified  # type: ignore[return-value]


def measure_weights(net: Net, *, legacy_rule: bool = False) -> Measurement:
    """Statistics of each layer's weight (blob 0, full precision) and bias.

    Raises: LayerError when layers with weights share a name.
    """
    refuse_repeated(net.spec, {node.spec.name for node in net.nodes if node.blobs})
    made = Measurement(net=net.name)
    for node in net.nodes:
        for blob, kind in zip(node.masters, OF_WEIGHTS, strict=False):
            stats = TensorStats.of(blob.tensor, legacy_rule=legacy_rule)
            made.points[Point(node.spec.name, kind)] = stats
    return made


def _measure_backward(net: Net, made: Measurement) -> None:
    """Run backward layer by layer: a later layer in place overwrites the diff of its top."""
    for node in reversed(net.nodes):
        if not node.needs_backward:
            continue
        diffs = [net.blobs[top].grad for top in node.spec.tops]
        if not node.spec.is_split:
            of = _with_own_scale if node.layer.is_weight_layer() else TensorStats.of
            _add(made, Point(node.spec.name, "activation_grad"), map(of, diffs))
        net.backward(start=node.spec.name, end=node.spec.name)
        for blob, flag, kind in zip(
            node.masters, node.gradient_flags(), ("weight_grad", "bias_grad"), strict=False
        ):
            if flag:
                _add(made, Point(node.spec.name, kind), [TensorStats.of(blob.grad)])


def _with_own_scale(x: Tensor) -> TensorStats:
    stats = TensorStats.of(x)
    if 2.0**-30 < stats.max_abs < 2.0**30 or not math.isfinite(stats.max_abs):
        stats.own_scale = stats.over_own_power()
    else:  # squares of such values leave float32
        _, exponent = math.frexp(stats.max_abs)
        scaled = (x.detach().double() * 2.0 ** (1 - exponent)).float()
        stats.own_scale = TensorStats.of(scaled)
    return stats


def _add(made: Measurement, point: Point, found: Iterable[TensorStats]) -> None:
    for stats in found:
        held = made.points.get(point)
        if held is None:
            made.points[point] = stats.copy()
        else:
            held.add(stats)


def _sources(made: Measurement) -> list[Any]:
    source = made.data.get("source", [])
    return list(source) if isinstance(source, list) else [source]
