"""A measured figure beside its target; the table, the file and the comparison of figures."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from turns import Spread, spread_of

import adaption

__all__ = ["NOT_INSTALLED", "Figure", "Run", "changes", "facts_of", "join", "machine",
           "milliseconds", "table"]  # fmt: skip

# Distributions whose versions a figure depends on. OpenCV has several names.
PACKAGES = ("torch", "onnxruntime", "opencv-python-headless", "opencv-python",
            "opencv-contrib-python", "brevitas", "numpy", "pillow")  # fmt: skip
HEADER = ("row", "what", "ours", "against", "ratio", "target", "reached", "others, same base")
NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    row: str
    what: str
    ours: str = ""  # what we take, with its unit
    base: str = ""  # what `value` is a ratio to, and what that takes
    value: Spread | None = None  # None: not measured, `note` says why
    unit: str = ""  # of the value; of a ratio none
    target: float | None = None  # the most that `value` shall be
    peers: Mapping[str, Spread | str] = field(default_factory=dict)  # a word: why there is none
    note: str = ""
    is_failed: bool = False

    @property
    def is_reached(self) -> bool | None:
        """Whether the median is within the target; None where there is nothing to compare."""
        if self.value is None or self.target is None:
            return None
        return bool(self.value.median <= self.target)

    @classmethod
    def skipped(cls, row: str, what: str, reason: str) -> Self:
        return cls(row, what, note=reason)

    @classmethod
    def failed(cls, row: str, error: str) -> Self:
        return cls(row, "the rest of this row", note=error, is_failed=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `asdict` made."""
        made = dict(values)
        made["value"] = None if made["value"] is None else Spread(**made["value"])
        made["peers"] = {
            name: peer if isinstance(peer, str) else Spread(**peer)
            for name, peer in made["peers"].items()
        }
        return cls(**made)


@dataclass(frozen=True)
class Run:
    """Figures, and where they come from."""

    facts: Mapping[str, Any]
    figures: Sequence[Figure]

    def with_figures(self, more: Sequence[Figure], order: Sequence[str]) -> Run:
        """These and more, by row in the given order."""
        figures = [*self.figures, *more]
        return Run(self.facts, sorted(figures, key=lambda figure: order.index(figure.row)))

    def save(self, path: Path) -> None:
        made = {**self.facts, "figures": [asdict(figure) for figure in self.figures]}
        path.write_text(json.dumps(made, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote. Raises: ValueError naming a file that is something else."""
        try:
            made = json.loads(path.read_text())
            return cls(made, [Figure.from_dict(each) for each in made.pop("figures")])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not a file that --json wrote ({error})") from None

    def heading(self) -> str:
        """Date, machine and versions, in a sentence or two."""
        facts = self.facts
        packages = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
        quick = "; `--quick`: fewer rounds, smaller data" if facts["quick"] else ""
        return (
            f"{facts['date']}; {facts['machine']}, {facts['threads']} of {facts['cores']} cores;"
            f" Python {facts['python']}, {packages}{quick}."
        )


def facts_of(threads: int, quick: bool) -> dict[str, Any]:
    """Where and with what a run was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "versions": versions(),
        "quick": quick,
    }


def machine() -> str:
    """The processor, and its instructions for products of floats and of 8-bit integers."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = next((x.split(":")[1].strip() for x in text.splitlines() if "model name" in x), "")
    has = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
           if flag in text.split()]  # fmt: skip
    return f"{name or platform.machine()} ({', '.join(has) or platform.machine()})"


def versions() -> dict[str, str]:
    """Ours, and those of the packages that are installed."""
    found = {"adaption": adaption.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def join(runs: Sequence[Run]) -> Run:
    """Rows that were measured apart as one run; of a figure measured twice the later one.

    Raises: ValueError where they come from different machines, threads or versions.
    """
    for run in runs[1:]:
        differing = [key for key, value in runs[0].facts.items()
                     if key != "date" and run.facts.get(key) != value]  # fmt: skip
        if differing:
            raise ValueError(f"the runs differ in {', '.join(differing)}")
    figures = {(f.row, f.what): f for run in runs for f in run.figures}
    latest = max(run.facts["date"] for run in runs)
    return Run({**runs[0].facts, "date": latest}, list(figures.values()))


def number(value: float) -> str:
    """Three digits, two of small ones, without an exponent."""
    size = abs(value)
    if 0 < size < 0.095:
        digits = 1 - math.floor(math.log10(size))
    else:
        digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{digits}f}"


def milliseconds(seconds: Sequence[float]) -> str:
    """Their median, as the table shows it."""
    return f"{spread_of(seconds).median * 1e3:.1f} ms"


def shown(value: Spread | str, unit: str = "") -> str:
    if isinstance(value, str):
        return value
    unit = unit and f" {unit}"
    if value.low == value.high:
        return number(value.median) + unit
    return f"{number(value.median)}{unit} ({number(value.low)}..{number(value.high)})"


def cells(figure: Figure) -> tuple[str, ...]:
    value = "" if figure.value is None else shown(figure.value, figure.unit)
    target = "" if figure.target is None else f"<= {number(figure.target)} {figure.unit}".rstrip()
    reached = {None: "", True: "yes", False: "no"}[figure.is_reached]
    others = "; ".join(f"{name} {shown(peer)}" for name, peer in figure.peers.items())
    if figure.value is None:
        value = "failed" if figure.is_failed else "skipped"
    if figure.note:
        others = f"{others}; {figure.note}" if others else figure.note
    return (figure.row, figure.what, figure.ours, figure.base, value, target, reached, others)


def table(figures: Iterable[Figure]) -> str:
    """Markdown, in columns that line up in a terminal, too."""
    rows = [HEADER, *(cells(figure) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = len(HEADER[-1])  # remarks may be long
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def changes(before: Run, now: Run) -> str:
    """How the figures of one run differ from those of another, a line for each in both."""
    lines = []
    for key in ("machine", "threads", "quick", "python", "versions"):
        if before.facts.get(key) != now.facts.get(key):
            lines.append(f"{key} differs: {before.facts.get(key)} then, {now.facts.get(key)} now")
    old = {(f.row, f.what): f for f in before.figures}
    for figure in now.figures:
        earlier = old.pop((figure.row, figure.what), None)
        name = f"{figure.row}: {figure.what}:"
        if earlier is None or earlier.value is None or figure.value is None:
            lines.append(f"{name} measured in one of the runs only")
            continue
        a, b = earlier.value, figure.value
        change = f"{100 * (b.median / a.median - 1):+.0f} %" if a.median else "was 0"
        apart = b.low > a.high or b.high < a.low
        word = ("worse" if b.median > a.median else "better") if apart else "within the spread"
        if a.median == b.median:
            change, word = "+0 %", "the same"
        lines.append(f"{name} {shown(a)} -> {shown(b)}, {change}, {word}")
    lines += [f"{row}: {what}: measured in one of the runs only" for row, what in old]
    return "\n".join(lines)
