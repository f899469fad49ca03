"""Tables for the shell: rich ones on a terminal, plain columns when the output is piped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from adaption.report.format import (
    ABSENT,
    Q_CONVENTION,
    compact,
    one_line,
    percent,
    significant,
)
from adaption.report.summary import checked, points_of, result_rows, sqnr_text
from adaption.table import columns

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Grid",
    "layers_grid",
    "layers_table",
    "plain",
    "print_summary",
    "results_grid",
    "results_table",
    "trusted",
]

Summary = Mapping[str, Any]

_COLUMNS = (
    "sat: outside the range; flush: rounded to 0; zero, after: zeros before and after quantization."
)


def trusted(stream: TextIO) -> TextIO:
    """The terminal behind a stream that spells out control characters, for tables and bars."""
    terminal: TextIO = getattr(stream, "trusted", stream)
    return terminal


@dataclass(frozen=True, slots=True)
class Grid:
    """A table before it is drawn: `rich()` for a terminal, `plain()` for a pipe.

    The first `text_columns` columns hold words and stand left, the others numbers and stand right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""
    text_columns: int = 1

    def rich(self) -> Table:
        """A rich table; cells are text, not markup."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(one_line(self.title)) if self.title else None,
            caption=Text(self.note) if self.note else None,
            title_justify="left",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for index, column in enumerate(self.columns):
            if index < self.text_columns:
                table.add_column(Text(column), justify="left", overflow="fold")
            else:
                table.add_column(Text(column), justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        return table

    def plain(self) -> str:
        """Columns of ASCII text two spaces apart; nothing is cut, wrapped or coloured."""
        lines = [one_line(self.title)] if self.title else []
        lines += columns((self.columns, *self.rows), self.text_columns)
        return "\n".join([*lines, self.note] if self.note else lines)

    def print(self, stream: TextIO) -> None:
        """The table on `stream`: rich on a terminal, plain elsewhere."""
        if not stream.isatty():
            stream.write(f"{self.plain()}\n")
            return
        from rich.console import Console

        Console(file=trusted(stream)).print(self.rich())


def results_grid(summary: Summary) -> Grid:
    """What quantization did to the whole net, float beside quantized."""
    is_refined = bool(checked(summary).get("before_refining"))
    rows = [
        (r.measure, r.before, *([r.unrefined] if is_refined else []), r.after, r.change)
        for r in result_rows(summary)
    ]
    verification = summary.get("verification") or []
    passed = sum(bool(entry.get("ok")) for entry in verification)
    if verification:
        word = "ok" if passed == len(verification) else "FAILED"
        of = f"{passed} of {len(verification)}"
        rows.append(("verification", *[ABSENT] * (1 + is_refined), of, word))
    title = (
        f"{summary.get('net', 'net')}: {summary.get('bits', '?')} bits, rule {summary.get('rule')}"
    )
    between = ["before refining"] if is_refined else []
    columns = ("measure", "float", *between, "quantized", "change")
    return Grid(columns, rows, title=one_line(title))


def layers_grid(summary: Summary, wide: bool = True) -> Grid:
    """One line per quantization point of every layer.

    Args:
        wide: also the layer's type and its MACs; without them the table fits 80 columns.
    """
    rows = []
    for layer in checked(summary)["layers"]:
        for point, tensor in points_of(layer):
            kind = [str(layer.get("type", ABSENT))] if wide else []
            # The MACs are the layer's, not the point's: once is enough.
            macs = compact(layer.get("macs")).replace(" ", "") if point == "weight" else ABSENT
            rows.append(
                (
                    *(str(layer.get("name")), *kind, point, str(tensor.get("q") or "float")),
                    significant(tensor.get("max_abs"), 3),
                    percent(tensor.get("saturated_share"), unit=""),
                    percent(tensor.get("flushed_share"), unit=""),
                    percent(tensor.get("zero_share_before"), unit=""),
                    percent(tensor.get("zero_share_after"), unit=""),
                    sqnr_text(tensor, unit=""),
                    *([macs] if wide else []),
                )
            )
    columns = (
        *("layer", *(["type"] if wide else []), "point", "Qm.f", "max |x|"),
        *("sat %", "flush %", "zero %", "after %", "SQNR dB", *(["MACs"] if wide else [])),
    )
    return Grid(columns, rows, "layers", f"{Q_CONVENTION}.\n{_COLUMNS}", text_columns=3 + wide)


def results_table(summary: Summary) -> Table:
    """`results_grid` as a rich table."""
    return results_grid(summary).rich()


def layers_table(summary: Summary) -> Table:
    """`layers_grid` as a rich table."""
    return layers_grid(summary).rich()


def plain(summary: Summary) -> str:
    """Both tables as plain columns, for pipes and logs."""
    return f"{results_grid(summary).plain()}\n\n{layers_grid(summary).plain()}\n"


def print_summary(summary: Summary, stream: TextIO | None = None) -> None:
    """Both tables on `stream` (standard output): rich on a terminal, plain elsewhere."""
    stream = sys.stdout if stream is None else stream
    if not stream.isatty():
        stream.write(plain(summary))
        return
    from rich.console import Console

    console = Console(file=trusted(stream))
    console.print(results_table(summary))
    console.print(layers_grid(summary, wide=console.width >= 100).rich())
