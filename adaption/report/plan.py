"""A plan as a table: formats, reasons, and what the formats do to the values measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adaption.report.format import Q_CONVENTION, decibel, percent, significant
from adaption.report.tables import Grid

__all__ = ["plan_grid"]


def plan_grid(net: str, rule: str, lengths: str, rows: Iterable[Mapping[str, Any]]) -> Grid:
    """One line per point; `rows` as in plan.json."""
    lines = []
    for row in rows:
        measured = "saturated" in row
        lines.append(
            (
                *(str(row["layer"]), str(row["kind"]), str(row["q"]), str(row["reason"])),
                significant(row.get("min")),
                significant(row.get("max")),
                percent(row.get("saturated"), unit=""),
                percent(row.get("flushed"), unit=""),
                decibel(row["sqnr_db"], "") if measured else "-",
            )
        )
    columns = ("layer", "point", "Qm.f", "reason", "min", "max", "sat %", "flush %", "SQNR dB")
    title = f"{net or 'net'}: {lengths} bits, rule {rule}"
    note = f"{Q_CONVENTION}.\nsat: outside the range; flush: rounded to 0; told from histograms."
    return Grid(columns, lines, title, note, text_columns=4)
