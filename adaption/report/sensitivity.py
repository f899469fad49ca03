"""What rounding each point alone does, as a table and as a drawing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adaption.errors import counted
from adaption.report import svg
from adaption.report.format import (
    ABSENT,
    decibel,
    one_line,
    percent,
    points,
    shorten,
    typeset,
)
from adaption.report.tables import Grid

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["sensitivity_grid", "sensitivity_svg"]

Result = Mapping[str, Any]

_NOTE = (
    "Each point rounded alone, the worst first; SQNR of the output against the float net, the\n"
    "least of several outputs; flipped: predictions that differ from the float net's."
)
WIDTH, NAMES, RIGHT, ROW, HEAD = 720, 230, 110, 18, 44
_STYLE = """<style>
svg{background:#fff;font:12px system-ui,sans-serif}
text{fill:#333}.t{font-weight:600}.grid{stroke:#ddd}
.weight{fill:#2f6fd6}.bias{fill:#7a5cc4}.activation{fill:#0e8f7b}
@media(prefers-color-scheme:dark){svg{background:#1b1b1b}text{fill:#ddd}.grid{stroke:#444}}
</style>"""


def sensitivity_grid(result: Result) -> Grid:
    """One line per point; `result` as `adaption sensitivity --json` prints it."""
    before = (result["accuracy"] or {}).get("top1")
    rows = [
        [e["layer"], e["type"], e["kind"], e["q"], *_cells(e, before)] for e in result["points"]
    ]
    rows.append(["all", "", "", "", *_cells(result["together"], before)])
    columns = ("layer", "type", "point", "Qm.f", "SQNR dB", "flipped", "top-1", "change")
    title = (
        f"{result['net'] or 'net'}: {result['lengths']} bits, rule {result['rule']},"
        f" {counted(result['samples'], 'sample')}"
    )
    return Grid(columns, [list(map(str, row)) for row in rows], title, _NOTE, text_columns=4)


def _cells(entry: Result, before: float | None) -> list[str]:
    flipped = entry["flipped_predictions"]
    after = (entry["accuracy"] or {}).get("top1")
    change = ABSENT if before is None or after is None else points(after - before)
    share = ABSENT if flipped is None else percent(flipped["share"])
    return [decibel(entry["sqnr_db"], ""), share, percent(after), change]


def sensitivity_svg(result: Result) -> str:
    """A whole SVG file: a bar per point that ends at its SQNR, so that short bars do harm; the
    share of flipped predictions beside it. Points without any effect have no bar."""
    from markupsafe import Markup

    entries = result["points"]
    most = max([10.0, *(e["sqnr_db"] for e in entries if e["sqnr_db"] is not None)])
    scale = (WIDTH - NAMES - RIGHT) / most
    bottom = HEAD + ROW * len(entries)
    title = f"What rounding each point alone does to {one_line(result['net'] or 'a net')}"
    parts: list[Markup] = [
        svg.text(12, 18, title, "t"),
        svg.text(12, 35, "SQNR of the output in dB: the shorter, the worse"),
        svg.text(WIDTH - 12, 35, "flipped", "", "end"),
    ]
    step = 10 if most <= 80 else 20
    for value in range(0, int(most) + 1, step):
        x = NAMES + value * scale
        parts.append(svg.line(x, HEAD, x, bottom, "grid"))
        parts.append(svg.text(x, bottom + 14, str(value), anchor="middle"))
    for i, e in enumerate(entries):
        y = HEAD + ROW * i
        name, kind = one_line(e["layer"]), e["kind"]
        parts.append(svg.text(NAMES - 8, y + 13, f"{shorten(name, 22)} {kind}", "", "end"))
        tip = f"{name}, {kind} in {e['q']}: {decibel(e['sqnr_db'])}"
        if e["sqnr_db"] is None:
            parts.append(svg.text(NAMES + 4, y + 13, "exact"))
        else:
            length = max(1.0, e["sqnr_db"] * scale)
            parts.append(svg.rect(NAMES, y + 3, length, ROW - 6, kind, tip))
        flipped = e["flipped_predictions"]
        share = ABSENT if flipped is None else percent(flipped["share"])
        parts.append(svg.text(WIDTH - 12, y + 13, typeset(share), "", "end"))
    desc = f"{len(entries)} points, one row each, the worst first."
    body = Markup(_STYLE) + svg.group(parts)
    drawn = str(svg.figure("sensitivity", WIDTH, bottom + 24, title, desc, body))
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"
