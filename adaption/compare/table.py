"""Tables of the reports of comparisons, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from adaption.errors import one_line

__all__ = ["table_lines"]

TEXTS = 3  # columns on the left that hold words; the others hold numbers


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells, all of one length, in columns two spaces apart; the first row is the head."""
    shown = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if i < TEXTS else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]
