"""Curves and tables of training logs. Caffe: tools/extra/parse_log.py, plot_training_log.py."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaption.errors import FieldError, UsageError
from adaption.io.atomic import atomic_write, together
from adaption.io.outputs import keep_inputs
from adaption.report.chart import Panel, Point, Series, chart_png, chart_svg, panel_figure
from adaption.report.format import ABSENT, duration, significant
from adaption.report.pages import render
from adaption.report.performance import performance_panels, performance_rows
from adaption.report.tables import Grid
from adaption.report.training_log import LogRow, TrainingLog, read_log

__all__ = ["LogPlot", "plot_log"]

PathLike = str | os.PathLike[str]
SUFFIXES = (".png", ".svg", ".html")


@dataclass(frozen=True)
class LogPlot:
    """Logs that were read, and the files that were written of them."""

    logs: tuple[TrainingLog, ...]
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": "adaption.log_plot/1",
            "logs": [log.to_dict() for log in self.logs],
            "files": [os.fspath(file) for file in self.files],
        }

    def table(self) -> str:
        """`grid` as text."""
        return self.grid().plain()

    def grid(self) -> Grid:
        """How the training loss and the test outputs of each log ended."""
        rows = [row for log in self.logs for row in _summary(log)]
        columns = ("log", "curve", "points", "last iteration", "first", "last", "best", "at")
        notes = [
            f"{log.name}: done again from iteration {', '.join(map(str, log.restarts))} on;"
            " the later part counts."
            for log in self.logs
            if log.restarts
        ]
        notes += [note for log in self.logs for note in _not_finite(log)]
        return Grid(columns, rows, note="\n".join(notes), text_columns=2)


def plot_log(
    *logs: PathLike,
    out: PathLike | None = None,
    csv: PathLike | None = None,
    join: bool = False,
    by: str = "iterations",
    log_scale: bool = False,
) -> LogPlot:
    """Read training logs, draw loss, accuracy and learning rate, and write tables.

    Args:
        logs: what `caffe train` or `adaption train` wrote to standard error, at any age, or files
            of --log-json. Each is one run, with its own curves.
        out: .png, .svg or .html file to draw into.
        csv: folder, made when it is missing, for tables as parse_log.py writes them: `LOG.train`,
            `LOG.test`, and `LOG.test1`, ... for further test nets.
        join: treat the logs as parts of one run, oldest first.
        by: "iterations" or "seconds", the x axis.
        log_scale: draw losses on a logarithmic axis.
    Raises: FileFormatError when a file is not a log; FieldError or UsageError on other bad
        arguments.
    """
    if not logs:
        raise UsageError("no log is given", "name at least one")
    if by not in ("iterations", "seconds"):
        raise FieldError("by", by, "iterations, seconds")
    if out is not None and Path(out).suffix not in SUFFIXES:
        raise FieldError("out", os.fspath(out), f"a file that ends in {', '.join(SUFFIXES)}")
    keep_inputs([out], logs)
    read = [read_log(*logs)] if join else [read_log(log) for log in logs]
    files = []
    with together():
        if csv is not None:
            Path(csv).mkdir(parents=True, exist_ok=True)
            files += [file for log in read for file in _write_tables(log, Path(csv))]
        if out is not None:
            _write_chart(read, Path(out), by, log_scale)
            files.append(Path(out))
    return LogPlot(tuple(read), tuple(files))


# -- curves --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Curve:
    """One quantity of a log over its rows."""

    label: str
    rows: Sequence[LogRow]
    value: Callable[[LogRow], float | None]
    is_loss: bool
    is_test: bool = False

    def points(self, by: str) -> list[Point]:
        values = []
        for row in self.rows:
            x, y = (row.iteration if by == "iterations" else row.seconds), self.value(row)
            if x is not None and y is not None:
                values.append((float(x), y))
        return values


def _curves(log: TrainingLog) -> Iterator[_Curve]:
    """The training loss, training outputs that are no loss, and every output of every test net."""
    if any(row.loss is not None for row in log.train):
        yield _Curve("train loss", log.train, lambda row: row.loss, is_loss=True)
        shown = [name for name in _names(log.train) if not _is_loss(log, name)]
    else:
        shown = _names(log.train)
    for name in shown:
        yield _Curve(f"train {name}", log.train, _output(name), _is_loss(log, name))
    for number, rows in sorted(log.tests.items()):
        head = "test" if len(log.tests) == 1 else f"test #{number}"
        for name in _names(rows):
            yield _Curve(f"{head} {name}", rows, _output(name), _is_loss(log, name), is_test=True)


def _names(rows: Iterable[LogRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.outputs))


def _output(name: str) -> Callable[[LogRow], float | None]:
    return lambda row: row.outputs.get(name)


def _is_loss(log: TrainingLog, name: str) -> bool:
    """By its weight in the log; logs without weights have it by name."""
    return name in log.losses or (not log.losses and "loss" in name.lower())


def _panels(logs: Sequence[TrainingLog], by: str, log_scale: bool) -> list[Panel]:
    """Losses, other outputs, and the learning rate; what no log has is left out."""
    losses: list[Series] = []
    others: list[Series] = []
    rates: list[Series] = []
    for log in logs:
        head = f"{log.name}: " if len(logs) > 1 else ""
        for curve in _curves(log):
            series = Series(head + curve.label, curve.points(by), is_dashed=curve.is_test)
            (losses if curve.is_loss else others).append(series)
        rate = _Curve("learning rate", log.train, lambda row: row.lr, is_loss=False)
        rates.append(Series(head + rate.label, rate.points(by)))
    rates = [series for series in rates if series.points]
    values = [y for series in rates for _, y in series.points if y > 0]
    spans_decades = bool(values) and max(values) > 8 * min(values)
    panels = [
        Panel("loss", losses, by, log_scale),
        Panel("outputs" if _beyond_one(others) else "accuracy", others, by),
        Panel("learning rate", rates, by, spans_decades),
    ]
    return [panel for panel in panels if panel.series]


def _beyond_one(series: Sequence[Series]) -> bool:
    return any(not 0 <= y <= 1 for one in series for _, y in one.points)


def _write_chart(logs: Sequence[TrainingLog], out: Path, by: str, log_scale: bool) -> None:
    panels = _panels(logs, by, log_scale)
    if by == "iterations":
        panels += performance_panels(logs)
    title = f"Training of {', '.join(log.name for log in logs)}"
    match out.suffix:
        case ".png":
            data = chart_png(panels)
        case ".svg":
            data = chart_svg(title, panels).encode()
        case _:
            data = _page(title, panels, logs).encode()
    with atomic_write(out, "wb") as file:
        file.write(data)


def _page(title: str, panels: Sequence[Panel], logs: Sequence[TrainingLog]) -> str:
    """A self-contained HTML page: a figure per panel, and the table."""
    grid = LogPlot(tuple(logs), ()).grid()
    figures = [panel_figure(f"chart-{i}", panel) for i, panel in enumerate(panels)]
    notes = grid.note.splitlines()
    return render(
        "plot_log.html.j2", title=title, facts=[], figures=figures, grid=grid, notes=notes
    )


# -- tables --------------------------------------------------------------------------------------


def _summary(log: TrainingLog) -> Iterator[tuple[str, ...]]:
    """Per curve: how many points, where it ends, its first, last and best value; the best of those
    that are numbers."""
    for curve in _curves(log):
        points = curve.points("iterations")
        if not points:
            continue
        finite = [(x, y) for x, y in points if math.isfinite(y)]
        pick = min if curve.is_loss else max
        at, best = pick(finite, key=lambda point: point[1]) if finite else (None, None)
        values = (points[0][1], points[-1][1], best)
        place = ABSENT if at is None else f"{at:.0f}"
        cells = [str(len(points)), f"{points[-1][0]:.0f}", *map(significant, values), place]
        yield (log.name, curve.label, *cells)
    yield from performance_rows(log)
    if log.train and log.train[-1].seconds is not None and log.train[-1].seconds > 0:
        took = duration(log.train[-1].seconds)
        yield (log.name, "time", ABSENT, str(log.train[-1].iteration), ABSENT, took, ABSENT, ABSENT)


def _not_finite(log: TrainingLog) -> Iterator[str]:
    """A sentence for each curve that holds NaN or infinities."""
    for curve in _curves(log):
        points = curve.points("iterations")
        bad = [(x, y) for x, y in points if not math.isfinite(y)]
        if not bad:
            continue
        text = f"{log.name}: {curve.label} is {significant(bad[0][1])} at iteration {bad[0][0]:.0f}"
        if len(bad) == sum(x >= bad[0][0] for x, _ in points):
            yield f"{text} and stays so: the run diverged."
        else:
            yield f"{text}, {len(bad)} times of {len(points)}."


def _write_tables(log: TrainingLog, folder: Path) -> Iterator[Path]:
    """Files as parse_log.py names and fills them."""
    tables = [("train", [row for row in log.train if row.outputs or row.loss is not None])]
    tables += [(f"test{n or ''}", rows) for n, rows in sorted(log.tests.items())]
    for suffix, rows in tables:
        if not rows:
            continue
        names = _names(rows)
        if suffix == "train" and "loss" not in names:
            names = ["loss", *names]
        path = folder / f"{log.name}.{suffix}"
        with atomic_write(path, "w") as out:
            writer = csv.writer(out)
            writer.writerow(["NumIters", "Seconds", "LearningRate", *names])
            rates = _rates(rows, log.train)
            for row, rate in zip(rows, rates, strict=True):
                values = [
                    row.outputs.get(name, row.loss if name == "loss" else "") for name in names
                ]
                writer.writerow([float(row.iteration), row.seconds, rate, *values])
        yield path


def _rates(rows: Sequence[LogRow], train: Sequence[LogRow]) -> list[float | None]:
    """The learning rate of each row's iteration; else of the last one logged before it."""
    known = [(row.iteration, row.lr) for row in train if row.lr is not None]
    values = []
    for row in rows:
        before = [lr for iteration, lr in known if iteration <= row.iteration]
        values.append(before[-1] if before else (known[0][1] if known else None))
    return values
