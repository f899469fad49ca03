"""Measured ranges as a table for the shell and as one self-contained HTML file with histograms."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from adaption.errors import counted
from adaption.io.atomic import atomic_write
from adaption.report.figures import layer_figure
from adaption.report.format import percent, significant
from adaption.report.pages import OPEN_FIGURES, render
from adaption.report.tables import Grid

__all__ = ["measurement_grid", "write_measurement_report"]

Row = Mapping[str, Any]

_NOTE = (
    "99.9 %: percentile of the non-zero magnitudes. m: integer bits, sign counted, that hold every"
    " value; then the share of values beyond Qm.f with 1 and 2 bits less."
)
# Kinds as the two panels of a figure know them.
_PANELS = {
    "weight": ("", "weight"),
    "activation": ("", "activation"),
    "weight_grad": (", gradients", "weight"),
    "activation_grad": (", gradients", "activation"),
}


def measurement_grid(net: str, samples: int, rows: Iterable[Row]) -> Grid:
    """One line per tensor.

    Args:
        rows: entries of the measurement's file, see precision.measure.Measurement.rows.
    """
    lines = []
    for row in rows:
        beyond = list(row["saturation"].items())
        shares = [percent(share, unit="") for _, share in beyond[1:3]]
        lines.append(
            (
                *(str(row["layer"]), str(row["kind"])),
                *(significant(row[name]) for name in ("min", "max", "mean", "std")),
                percent(row["zeros"] / max(1, row["count"]), unit=""),
                significant(row["percentiles"]["99.9"]),
                beyond[0][0],
                *shares,
                *[""] * (2 - len(shares)),
            )
        )
    columns = ("layer", "tensor", "min", "max", "mean", "std", "zero %", "99.9 %", "m")
    title = f"{net or 'net'}: ranges over {counted(samples, 'sample')}"
    return Grid((*columns, "m-1: sat %", "m-2: sat %"), lines, title, _NOTE, text_columns=2)


def write_measurement_report(
    path: str | os.PathLike[str], net: str, facts: Iterable[str], rows: Iterable[Row]
) -> None:
    """Write table and histograms as one HTML file that fetches nothing.

    Args:
        facts: what was measured on what, a line each.
        rows: as for `measurement_grid`.
    Raises: UsageError when `path` cannot be written.
    """
    rows = list(rows)
    grid = measurement_grid(net, 0, rows)
    drawn: dict[str, dict[str, Any]] = {}
    for row in rows:
        suffix, panel = _PANELS.get(row["kind"], ("", ""))
        if panel:
            drawn.setdefault(f"{row['layer']}{suffix}", {})[panel] = {"histogram": _octaves(row)}
    figures = [
        {"name": name, "drawing": layer_figure(f"figure-{i}", {"name": name, **panels})}
        for i, (name, panels) in enumerate(drawn.items())
    ]
    page = render(
        "measurement.html.j2",
        title=f"{net or 'net'}: measured ranges",
        facts=list(facts),
        grid=grid,
        figures=figures,
        figures_open=len(figures) <= OPEN_FIGURES,
    )
    with atomic_write(path, "w") as out:
        out.write(page)


def _octaves(row: Row) -> dict[str, Any]:
    """The histogram of a row over whole powers of two, zeros apart, as figures take it."""
    fine = row["histogram"]
    steps = fine["steps"]
    octaves: dict[str, Any] = {"exponent_low": fine["exponent_low"], "zeros": row["zeros"]}
    for sign in ("negative", "positive"):
        counts = fine[sign]
        octaves[sign] = [sum(counts[i : i + steps]) for i in range(0, len(counts), steps)]
    return octaves
