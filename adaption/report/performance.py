"""What a recipe's performance model says over a run: word lengths, non-zeros, gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from adaption.report.chart import Panel, Series
from adaption.report.format import ABSENT, significant
from adaption.report.training_log import GAINS, TrainingLog

__all__ = ["performance_panels", "performance_rows"]


def performance_panels(logs: Sequence[TrainingLog]) -> list[Panel]:
    """Word length and share of non-zeros per layer, and gains against float32, over iterations."""
    lengths: list[Series] = []
    live: list[Series] = []
    gains: list[Series] = []
    for log in logs:
        head = f"{log.name}: " if len(logs) > 1 else ""
        names = list(dict.fromkeys(r["layer"] for e in log.performance for r in e["layers"]))
        for name in names:
            lengths.append(Series(head + name, _of_layer(log, name, "word_length")))
            live.append(Series(head + name, _of_layer(log, name, "nonzero")))
        for key in ("speedup", "speedup_inference"):
            gains.append(Series(head + GAINS[key], _points(log, key)))
    panels = [
        Panel("word length", lengths),
        Panel("share of weights that are not zero", live),
        Panel("gain against float32 (model)", [s for s in gains if s.points]),
    ]
    return [panel for panel in panels if panel.series]


def _of_layer(log: TrainingLog, name: str, key: str) -> list[tuple[float, float]]:
    return [
        (float(event["iter"]), float(row[key]))
        for event in log.performance
        for row in event["layers"]
        if row["layer"] == name
    ]


def _points(log: TrainingLog, key: str) -> list[tuple[float, float]]:
    values: list[tuple[float, Any]] = [(float(e["iter"]), e.get(key)) for e in log.performance]
    return [(x, float(y)) for x, y in values if y is not None]


def performance_rows(log: TrainingLog) -> Iterator[tuple[str, ...]]:
    """Rows of the summary: first and last value of each figure."""
    if not log.performance:
        return
    for key, label in GAINS.items():
        points = _points(log, key)
        if points:
            first, last = points[0][1], points[-1][1]
            cells = (
                str(len(points)),
                f"{points[-1][0]:.0f}",
                significant(first),
                significant(last),
            )
            yield (log.name, label, *cells, ABSENT, ABSENT)
    for row in log.performance[-1]["layers"]:
        points = _of_layer(log, row["layer"], "word_length")
        cells = (str(len(points)), f"{points[-1][0]:.0f}", f"{points[0][1]:.0f}",
                 f"{points[-1][1]:.0f}")  # fmt: skip
        yield (log.name, f"{row['layer']} word length", *cells, ABSENT, ABSENT)
