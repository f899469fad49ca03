"""Training logs: ours, our --log-json files, and Caffe's of every age, as rows of numbers.

Expressions as in Caffe's tools/extra/parse_log.py, widened to what later and earlier releases and
forks write. Unlike there, a row's learning rate is that of its own iteration.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from adaption.errors import FileFormatError
from adaption.io.files import read_text

__all__ = ["LogRow", "TrainingLog", "read_log"]

PathLike = str | os.PathLike[str]

_LONGEST_LINE = 100_000  # characters; no log has such

# glog writes the year since release 0.6.
_STAMP = re.compile(r"[IWEF](\d{4})?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d+) +\d+ [\w.]+:\d+\] ")
# As glibc prints them, and as Microsoft's library does: 1.#QNAN, -1.#IND, 1.#INF.
_NUMBER = r"([-+]?(?:1\.#[A-Z]+|\d[\d.]*(?:[eE][-+]?\d+)?|\.\d+|nan|inf))"
_ITERATION = re.compile(r"Iteration (\d{1,18})")
_LOSS = re.compile(rf"Iteration \d+\b.*?,\s+loss = {_NUMBER}")  # "(5 iter/s, 4s/20 iters)" between
_RATE = re.compile(rf"\blr = {_NUMBER}")
_TESTING = re.compile(r"Testing net(?: \(#(\d{1,9})\))?")
_TRAIN = re.compile(rf"Train net output #\d+: (\S+) = {_NUMBER}( \(\*)?")
_TEST = re.compile(rf"Test net output #\d+: (\S+) = {_NUMBER}( \(\*)?")
_SCORE = re.compile(rf"Test score (#\d+): {_NUMBER}")  # before Test net output, in 2013


# Figures of a recipe's model of cost, in the events "performance", and what they are called.
GAINS = {
    "speedup": "training speedup",
    "speedup_inference": "inference speedup",
    "size_ratio": "model size",
    "size_ratio_weighted": "model size by entries",
    "memory": "memory while training",
}


@dataclass
class LogRow:
    """What a log says about one iteration of training, or about one test.

    loss: smoothed training loss, or the test loss where it is logged. outputs: by blob name; of a
    blob of several values, `name`, `name[1]`, ...
    """

    iteration: int
    seconds: float | None = None  # since the start of the log's first run
    lr: float | None = None
    loss: float | None = None
    outputs: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Take in one output."""
        count = sum(key == name or key.startswith(f"{name}[") for key in self.outputs)
        self.outputs[f"{name}[{count}]" if count else name] = value


@dataclass
class TrainingLog:
    """One training run. Where a resumed run repeats iterations, the later ones count.

    tests: rows by number of the test net. losses: names of the outputs that are losses.
    restarts: iterations from which the run was done again. performance: what a recipe's model says
    at displays, as --log-json has it.
    """

    name: str
    train: list[LogRow] = field(default_factory=list)
    tests: dict[int, list[LogRow]] = field(default_factory=dict)
    losses: set[str] = field(default_factory=set)
    restarts: list[int] = field(default_factory=list)
    performance: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; what is not finite becomes None."""
        plain: dict[str, Any] = _finite(
            {
                "format": "adaption.training_log/1",
                "name": self.name,
                "train": [asdict(row) for row in self.train],
                "tests": {str(n): [asdict(r) for r in rows] for n, rows in self.tests.items()},
                "losses": sorted(self.losses),
                "restarts": self.restarts,
                **({"performance": self.performance} if self.performance else {}),
            }
        )
        return plain


def read_log(*paths: PathLike) -> TrainingLog:
    """The run that one log records, or that several record in turn (resumed runs, oldest first).

    Raises: FileFormatError when a file is missing or holds no line of a training run.
    """
    log = TrainingLog(Path(paths[0]).name)
    reader = _Reader(log)
    for path in paths:
        before = reader.found
        text = read_text(path, "a training log", errors="replace")
        year = datetime.fromtimestamp(Path(path).stat().st_mtime).year
        reader.read(text.splitlines(), year)
        if reader.found == before:
            raise FileFormatError(
                "holds no line of a training run, such as `Iteration 100, loss = 2.3`",
                "give what `caffe train` or `adaption train` writes to standard error, or the file"
                " of --log-json",
                file=path,
            )
    return log


class _Reader:
    """Fills a TrainingLog line by line."""

    def __init__(self, log: TrainingLog) -> None:
        self.log = log
        self.found = 0  # lines that were used
        self.start: datetime | None = None
        self.iteration: int | None = None
        self.net = 0
        self.row: LogRow | None = None  # of training
        self.test: LogRow | None = None

    def read(self, lines: Iterable[str], year: int) -> None:
        clock = _Clock(year)
        offset = 0.0  # of the JSON events' own seconds
        for line in lines:
            if line.startswith("{"):
                event = _event(line)
                if event.get("event") == "start":
                    offset = self._last_seconds()
                self._take_event(event, offset)
                continue
            if len(line) > _LONGEST_LINE:
                continue
            stamp = _STAMP.search(line)
            now = clock.read(stamp) if stamp else None
            if now is not None and (self.start is None or ("Solving" in line and not self.found)):
                self.start = now
            seconds = None
            if now is not None and self.start is not None:
                seconds = (now - self.start).total_seconds()
            with suppress(ValueError):  # a number that is cut or garbled is skipped
                self._take(line[stamp.end() :] if stamp else line, seconds)

    def _last_seconds(self) -> float:
        rows = [*self.log.train, *(row for rows in self.log.tests.values() for row in rows)]
        return max((row.seconds for row in rows if row.seconds is not None), default=0.0)

    # -- Caffe's lines -----------------------------------------------------------------------

    def _take(self, text: str, seconds: float | None) -> None:
        if match := _ITERATION.search(text):
            self._go_to(int(match[1]))
            if testing := _TESTING.search(text):
                self.net = int(testing[1] or 0)
                self.test = None
            if loss := _LOSS.search(text):
                self._train_row(seconds).loss = _value(loss[1])
            elif rate := _RATE.search(text):
                self._train_row(seconds).lr = _value(rate[1])
        elif self.iteration is None:
            return
        elif output := _TRAIN.search(text):
            self._output(self._train_row(seconds), output)
        elif output := _TEST.search(text):
            self._output(self._test_row(seconds), output)
        elif score := _SCORE.search(text):
            self._test_row(seconds).add(score[1], _value(score[2]))
        elif text.strip().startswith("Test loss: "):
            self._test_row(seconds).loss = _value(text.rpartition(": ")[2].strip())

    def _output(self, row: LogRow, match: re.Match[str]) -> None:
        row.add(match[1], _value(match[2]))
        if match[3]:
            self.log.losses.add(match[1])

    def _train_row(self, seconds: float | None) -> LogRow:
        assert self.iteration is not None
        if self.row is None or self.row.iteration != self.iteration:
            self.row = self._append(self.log.train, seconds)
        return self.row

    def _test_row(self, seconds: float | None) -> LogRow:
        if self.test is None:
            self.test = self._append(self.log.tests.setdefault(self.net, []), seconds)
        return self.test

    def _append(self, rows: list[LogRow], seconds: float | None) -> LogRow:
        assert self.iteration is not None
        self.found += 1
        if rows and rows[-1].iteration == self.iteration:  # displayed again behind a restart
            rows.pop()
        rows.append(LogRow(self.iteration, seconds))
        return rows[-1]

    def _go_to(self, iteration: int) -> None:
        """Note the iteration; behind a restart, forget what is done again."""
        if self.iteration is not None and iteration < self.iteration:
            self.log.restarts.append(iteration)
            self.row = self.test = None
            done = self.log.performance
            self.log.performance = [e for e in done if e["iter"] <= iteration]
            for rows in (self.log.train, *self.log.tests.values()):
                while rows and rows[-1].iteration >= iteration:
                    rows.pop()
        self.iteration = iteration

    # -- our own events ----------------------------------------------------------------------

    def _take_event(self, event: dict[str, Any], offset: float) -> None:
        kind = event.get("event")
        if kind == "performance" and _is_performance(event):
            self.log.performance.append(event)
        if kind not in ("train", "test") or not isinstance(event.get("iter"), int):
            return
        self._go_to(event["iter"])
        seconds = offset + float(event.get("seconds") or 0.0)
        if kind == "train":
            row = self._append(self.log.train, seconds)
            row.lr = event.get("lr")
        else:
            row = self._append(self.log.tests.setdefault(int(event.get("net") or 0), []), seconds)
        if "loss" in event:
            row.loss = math.nan if event["loss"] is None else event["loss"]  # see JsonLog
        self.log.losses.update(event.get("loss_weights") or {})
        for name, values in (event.get("outputs") or {}).items():
            for value in values if isinstance(values, list) else [values]:
                row.add(name, math.nan if value is None else float(value))


def _value(text: str) -> float:
    """A number as some C library prints it."""
    sign, has_hash, word = text.partition("1.#")
    if has_hash:
        text = sign + ("inf" if word == "INF" else "nan")
    return float(text)


class _Clock:
    """Times of log lines; a stamp without the year starts in the file's, and may pass on."""

    def __init__(self, year: int) -> None:
        self.year = year
        self.last: datetime | None = None

    def read(self, stamp: re.Match[str]) -> datetime | None:
        year, month, day, hour, minute, second, fraction = stamp.groups()
        time = f"{hour}:{minute}:{second}.{fraction[:6]:0<6}"
        try:
            now = datetime.fromisoformat(f"{year or self.year}-{month}-{day} {time}")
            if not year and self.last is not None and now.month < self.last.month:
                self.year += 1
                now = now.replace(year=self.year)
        except ValueError:  # no such day, as of another kind of line
            return None
        self.last = now
        return now


def _event(line: str) -> dict[str, Any]:
    """The JSON object of a line; empty when it is cut, as the last one of a killed run, or holds
    something else than JsonLog writes."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(event, dict) or event.get("event") not in ("train", "test"):
        return event if isinstance(event, dict) else {}
    outputs, weights = event.get("outputs") or {}, event.get("loss_weights") or {}
    if not isinstance(outputs, dict) or not isinstance(weights, dict):
        return {}
    values = [event.get(name) for name in ("lr", "loss", "seconds")]
    for value in outputs.values():
        values += value if isinstance(value, list) else [value]
    is_fine = all(map(_is_number, values)) and _is_count(event.get("net"))
    return event if is_fine and _is_count(event.get("iter")) else {}


def _is_number(value: object) -> bool:
    """Whether a value is a number as JsonLog writes it; null stands for what is not finite."""
    if value is None or isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62


def _is_count(value: object) -> bool:
    return value is None or (_is_number(value) and isinstance(value, int) and value >= 0)


def _is_performance(event: dict[str, Any]) -> bool:
    """Whether an event has what the curves need."""
    rows = event.get("layers")
    return (
        event.get("iter") is not None
        and _is_count(event["iter"])
        and event.get("speedup") is not None
        and all(_is_number(event.get(name)) for name in GAINS)
        and isinstance(rows, list)
        and all(
            isinstance(row, dict)
            and isinstance(row.get("layer"), str)
            and all(
                row.get(name) is not None and _is_number(row[name])
                for name in ("word_length", "nonzero")
            )
            for row in rows
        )
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
