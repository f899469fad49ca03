"""Draw docs/pictures/report.svg, the picture in README: part of the report of the embedded example.

    python scripts/report_picture.py

quantizes the example to 8 bits, as scripts/quickstart.sh does, and puts the results, the overview
and the figure of one layer side by side, in the colours of the report.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

import adaption
from adaption.data import Transform
from adaption.io.atomic import atomic_write
from adaption.report.figures import layer_figure
from adaption.report.overview import sqnr_figure, zeros_figure
from adaption.report.summary import result_rows

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "models/lenet_digits"
PICTURE = ROOT / "docs/pictures/report.svg"
LAYER = "conv2"
WIDTH = 900
TOP, ROW, GAP = 78, 21, 36  # where the columns begin; heights: a row, and room for a heading


def main() -> None:
    """Quantize, draw, write."""
    with tempfile.TemporaryDirectory() as folder:
        result = adaption.quantize(
            EXAMPLE / "deploy.prototxt",
            EXAMPLE / "lenet_digits.caffemodel",
            EXAMPLE / "digits_test_lmdb",
            out=Path(folder) / "out",
            formats=adaption.Formats(bits=8),
            transform=Transform(scale=0.0625),
            quiet=True,
        )
    with atomic_write(PICTURE, "w") as out:
        out.write(picture(result.summary))
    print(f"written: {PICTURE.relative_to(ROOT)}")


def picture(summary: Mapping[str, Any]) -> str:
    """The SVG of a summary."""
    layers = summary["layers"]
    (layer,) = [x for x in layers if x["name"] == LAYER]
    left = [
        (sqnr_figure("sqnr", layers), "SQNR per layer"),
        (zeros_figure("zeros", layers), "Zeros before and after"),
    ]
    right = [
        (layer_figure("layer", layer), f"{LAYER}: histograms and formats"),
        (layer_figure("first", layers[0]), layers[0]["name"]),
    ]
    drawn, below = stacked(left, 30, TOP + ROW * (len(result_rows(summary)) + 1) + GAP)
    beside, beside_below = stacked(right, 470, TOP)
    height = max(below, beside_below)
    parts = [
        Markup('<rect class="page" width="{}" height="{}"/>').format(WIDTH, height),
        text(30, 44, "LeNetDigits: 8 bits, rule adaption", "title"),
        *table(summary, 30, TOP),
        *drawn,
        *beside,
    ]
    body = Markup("\n").join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' font-family="system-ui, DejaVu Sans, sans-serif">\n'
        f"<title>Part of the report of a net in 8 bits</title>\n<style>\n{style()}</style>\n"
        f"{body}\n</svg>\n"
    )


def table(summary: Mapping[str, Any], x: float, y: float) -> list[Markup]:
    """The results, a row each."""
    parts = [text(x + at, y, head, "head", anchor) for at, head, anchor in columns("", *HEADS)]
    for number, row in enumerate(result_rows(summary)):
        level = y + ROW * (number + 1)
        cells = columns(row.measure, row.before, row.after, row.change)
        parts += [text(x + at, level, cell, "cell", anchor) for at, cell, anchor in cells]
    return parts


HEADS = ("float", "quantized", "change")


def columns(*cells: str) -> list[tuple[float, str, str]]:
    places = ((0, "start"), (210, "end"), (295, "end"), (405, "end"))
    return [(at, cell, how) for (at, how), cell in zip(places, cells, strict=True)]


def text(x: float, y: float, content: str, kind: str, anchor: str = "start") -> Markup:
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(
        x, y, kind, anchor, content
    )


def stacked(figures: list[tuple[Markup, str]], x: float, y: float) -> tuple[list[Markup], int]:
    """Figures of the report one below the other, a heading above each; and where they end."""
    parts = []
    for figure, heading in figures:
        width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure)[0])
        place = f'<svg x="{x}" y="{y:g}" width="{width:g}" height="{height:g}" '
        parts += [text(x, y - 8, heading, "head"), Markup(str(figure).replace("<svg ", place, 1))]
        y += height + GAP
    return parts, round(y)


def style() -> str:
    """Colours and lines of the report's figures, of its light scheme."""
    sheet = (ROOT / "adaption/report/report.css.j2").read_text("utf-8")
    colours = dict(re.findall(r"(--[a-z]+): (#[0-9a-f]{6});", sheet.split("@media", 1)[0]))
    rules = [line for line in sheet.splitlines() if re.match(r"svg [.a-z]", line)]
    rules = [line for line in rules if ":hover" not in line]
    own = [
        *rules,
        "svg .page { fill: var(--card); stroke: var(--line); }",
        "svg text.title { font-size: 20px; font-weight: 650; fill: var(--ink); }",
        "svg text.head { font-size: 12.5px; font-weight: 600; fill: var(--soft); }",
        "svg text.cell { font-size: 13px; fill: var(--ink); }",
    ]
    # Not every viewer of SVG knows CSS variables.
    plain = re.sub(r"var\((--[a-z]+)\)", lambda name: colours[name[1]], "\n".join(own))
    return str(escape(plain)) + "\n"


if __name__ == "__main__":
    main()
