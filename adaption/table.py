"""Tables as lines of text: the one printer of reports, of reprs and of what goes into a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adaption.errors import one_line

__all__ = ["columns"]


def columns(rows: Iterable[Sequence[str]], texts: int | None = None) -> list[str]:
    """Lines of cells in columns, two spaces apart; a row of one cell stands as it is.

    Args:
        texts: columns on the left that hold words; the others hold numbers, and stand right.
            None: all hold words.
    """
    shown = [[one_line(cell) for cell in row] for row in rows]
    count = max((len(row) for row in shown), default=0)
    full = [row for row in shown if len(row) == count]
    widths = [max(len(row[i]) for row in full) for i in range(count)]
    return [
        "  ".join(
            cell.ljust(width) if texts is None or i < texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        if len(row) == count
        else "  ".join(row)
        for row in shown
    ]
