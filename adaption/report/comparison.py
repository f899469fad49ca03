"""comparison.html of a batch: variants of a net beside the float net, as curves and as a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adaption.io.atomic import atomic_write
from adaption.report.advice import NOTABLE_LOSS
from adaption.report.chart import Level, Panel, Series, panel_figure
from adaption.report.format import ABSENT, count, decibel, percent, points
from adaption.report.pages import render, tile
from adaption.report.tables import Grid

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["comparison_grid", "write_comparison"]

Row = Mapping[str, Any]

FLOAT = "float net"
COLUMNS = (  # keys of a row, which head the columns
    *("rule", "bits", "Top-1", "change", "Top-5", "flipped", "output SQNR"),
    *("zero weights", "zero inputs", "verified", "fine-tuned Top-1", "fine-tuned Top-5"),
)
PANELS = (  # title, key of a row, factor, key of the float net's value
    ("Top-1, %", "Top-1", 100, "float Top-1"),
    ("Top-1 after fine-tuning, %", "fine-tuned Top-1", 100, "float Top-1"),
    ("Flipped predictions, %", "flipped", 100, None),
    ("SQNR of the output, dB", "output SQNR", 1, None),
    ("Zero inputs, %", "zero inputs", 100, "float zero inputs"),
)


def comparison_grid(rows: Sequence[Row]) -> Grid:
    """The float net and a line per variant; columns that no variant has a value for are left out.

    Args:
        rows: entries of comparison.json: `rule`, `bits`, `folder` and the keys of COLUMNS, None
            where nothing was measured; `float Top-1`, `float Top-5`, `float zero weights` and
            `float zero inputs` are the float net's, the same in each row.
    """
    shown = [key for key in COLUMNS if not rows or any(row.get(key) is not None for row in rows)]
    cells = [[_cell(row, key) for key in shown] for row in rows]
    if rows:
        cells.insert(0, [_float_cell(rows[0], key) for key in shown])
    return Grid(shown, cells)


def write_comparison(rows: Sequence[Row], path: str | os.PathLike[str], net: str = "net") -> None:
    """Write curves over the word length and the table, with links to each variant's report.

    Args:
        rows: as for `comparison_grid`. A variant's line points to FOLDER/report.html beside `path`;
            a recipe's, whose `verified` is None, to its net FOLDER/net_lp.prototxt.
        net: its name.
    Raises: UsageError when `path` cannot be written.
    """
    grid = comparison_grid(rows)
    lines = [("", "", grid.rows[0])] if rows else []
    for row, cells in zip(rows, grid.rows[1:], strict=True):
        word, name = "report", "report.html"
        if row["verified"] is None:  # a recipe's formats are part of its net: no report, no proof
            word, name = "net", "net_lp.prototxt"
        lines.append((word, f"{row['folder']}/{name}", cells))
    page = render(
        "comparison.html.j2",
        title=f"{net}: quantized variants",
        facts=_facts(rows),
        tiles=list(_tiles(rows)),
        figures=list(_figures(rows)),
        columns=grid.columns,
        lines=lines,
    )
    with atomic_write(path, "w") as out:
        out.write(page)


def _cell(row: Row, key: str) -> str:
    value = row.get(key)
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if key == "output SQNR":
        return decibel(value)
    if key == "change":
        return points(value)
    return percent(value) if isinstance(value, float) else str(value)


def _float_cell(row: Row, key: str) -> str:
    if key == "rule":
        return FLOAT
    return "32" if key == "bits" else percent(row.get(f"float {key}"))


def _facts(rows: Sequence[Row]) -> list[str]:
    rules = list(dict.fromkeys(str(row["rule"]) for row in rows))
    lengths = sorted({int(row["bits"]) for row in rows}, reverse=True)
    facts = [f"{count(len(rows))} variants"]
    if rows:
        facts += [f"rules {', '.join(rules)}", f"{', '.join(map(str, lengths))} bits"]
    return facts


def _tiles(rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    """What a reader looks for: the float net, how few bits will do, whether all is proved."""
    scored = [row for row in rows if row.get("Top-1") is not None]
    if scored:
        full = scored[0]["float Top-1"]
        yield tile("Float net", percent(full), "Top-1")
        close = [row for row in scored if row["Top-1"] >= full - NOTABLE_LOSS]
        least = min(close, key=lambda row: (row["bits"], -row["Top-1"]), default=None)
        label = f"Fewest bits within {100 * NOTABLE_LOSS:g} point of float"
        if least is None:
            yield tile(label, "none", "try more bits, --best, or --finetune", "warn")
        else:
            note = f"rule {least['rule']}, Top-1 {percent(least['Top-1'])}"
            yield tile(label, f"{least['bits']} bits", note, "good")
        best = max(scored, key=lambda row: (row["Top-1"], -row["bits"]))
        yield tile(
            "Best Top-1", percent(best["Top-1"]), f"rule {best['rule']}, {best['bits']} bits"
        )
    proved = [row["verified"] for row in rows if row["verified"] is not None]
    if not proved:
        return
    good = all(proved)
    note = f"{sum(proved)} of {len(proved)} variants: files and simulation agree"
    yield tile("Verification", "ok" if good else "FAILED", note, "good" if good else "bad")


def _figures(rows: Sequence[Row]) -> Iterator[Markup]:
    """A figure per quantity that was measured: a curve per rule, and the float net's value."""
    rules = list(dict.fromkeys(str(row["rule"]) for row in rows))
    for i, (title, key, scale, float_key) in enumerate(PANELS):
        series = []
        for rule in rules:
            measured = [r for r in rows if r["rule"] == rule and r.get(key) is not None]
            places = sorted((float(r["bits"]), scale * r[key]) for r in measured)
            if places:
                series.append(Series(rule, places))
        if not series:
            continue
        full = rows[0].get(float_key) if float_key else None
        levels = [] if full is None else [Level(FLOAT, scale * full)]
        panel = Panel(title, series, x_label="bits", levels=levels, has_markers=True)
        yield panel_figure(f"curves-{i}", panel)
