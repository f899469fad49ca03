"""Line charts, drawn as SVG that follows the reader's light or dark scheme, or as PNG.

Why not matplotlib: it would be a dependency of 30 MB for a few lines, and its SVG has fixed
colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING

from adaption.report import svg
from adaption.report.format import shorten, typeset

if TYPE_CHECKING:
    from markupsafe import Markup
    from PIL.ImageDraw import ImageDraw

__all__ = ["Level", "Panel", "Series", "chart_png", "chart_svg", "panel_figure"]

WIDTH, PANEL_HEIGHT = 720, 220
PAGE_WIDTH = 420  # of a figure in a page: its letters can be read on a screen of 400 pixels
LEFT, RIGHT, HEADER, FOOTER = 64, 16, 44, 30  # margins; header above, footer below each panel
LEGEND_STEP, LEGEND_LINE, LETTER = 16, 28, 6.6  # heights of a line; widths
LEGEND_COLUMNS = 3  # at most
MARKER = 3  # radius
MOST_POINTS = 1500  # per curve; more are thinned to the extremes of each stretch
# Okabe and Ito's colours, distinct to colour-blind readers; repeated where there are more.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#a6761d")
LEVEL_COLOUR = "#808080"  # seen on white and on black
PNG_COLOURS = {"grid": "#e3e3e3", "axis": "#888888"}
PNG_SCALE = 2  # pixels per unit
PNG_SMOOTHING = 2  # drawn larger by this and reduced: pillow draws lines without smooth edges

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One curve; points with a value that is not finite interrupt it."""

    label: str
    points: Sequence[Point]
    is_dashed: bool = False


@dataclass(frozen=True)
class Level:
    """A value to compare curves with: a dashed line across the axes."""

    label: str
    value: float


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    series: Sequence[Series] = field(default_factory=tuple)
    x_label: str = "iterations"
    is_log: bool = False  # y axis
    levels: Sequence[Level] = ()
    has_markers: bool = False  # a disc at each point, whose tip is its value

    @property
    def labels(self) -> list[str]:
        """Of the legend, in order."""
        return [*(s.label for s in self.series), *(level.label for level in self.levels)]

    def legend_columns(self, width: int) -> int:
        """So many that the longest label fits; one where none does."""
        longest = max(map(len, self.labels), default=0)
        room = (width - LEFT - RIGHT) / (LEGEND_LINE + LETTER * (longest + 1))
        return max(1, min(LEGEND_COLUMNS, int(room)))

    def header(self, width: int) -> int:
        """Height above the axes: the title, and the lines of the legend."""
        lines = math.ceil(len(self.labels) / self.legend_columns(width))
        return HEADER + LEGEND_STEP * max(0, lines - 1)


@dataclass(frozen=True)
class _Axis:
    """Maps values from `low`..`high` to places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        scaled = math.log10(value) if self.is_log else value
        return self.start + (scaled - self.low) / (self.high - self.low) * (self.end - self.start)

    def shows(self, value: float) -> bool:
        """Whether the value has a place on the axis."""
        return math.isfinite(value) and (value > 0 or not self.is_log)

    def ticks(self) -> Iterator[float]:
        """Round values at even distances."""
        if self.is_log:
            first, last = math.floor(self.low), math.ceil(self.high)
            for power in range(first, last + 1, max(1, (last - first) // 4)):
                for factor in (1, 2, 5) if last - first <= 2 else (1,):
                    value = factor * 10.0**power
                    if self.low <= math.log10(value) <= self.high:
                        yield value
            return
        step = _round_step((self.high - self.low) / 5)
        for i in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1):
            yield i * step


def chart_svg(title: str, panels: Sequence[Panel]) -> str:
    """A whole SVG file."""
    from markupsafe import Markup

    canvas = _SvgCanvas()
    height = _draw(canvas, panels, WIDTH)
    body = svg.figure(
        "chart", WIDTH, height, title, _described(panels), Markup(_STYLE) + svg.group(canvas.parts)
    )
    return str(body).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def panel_figure(key: str, panel: Panel) -> Markup:
    """One panel as a figure of a page, whose style sheet colours it; `key` is unique there."""
    canvas = _SvgCanvas()
    height = _draw(canvas, [panel], PAGE_WIDTH)
    body = svg.group(canvas.parts)
    return svg.figure(key, PAGE_WIDTH, height, panel.title, _described([panel]), body)


def chart_png(panels: Sequence[Panel]) -> bytes:
    """A whole PNG file, on white."""
    from PIL import Image, ImageDraw

    height = sum(p.header(WIDTH) + PANEL_HEIGHT + FOOTER for p in panels)
    scale = PNG_SCALE * PNG_SMOOTHING
    image = Image.new("RGB", (WIDTH * scale, height * scale), "white")
    _draw(_PngCanvas(ImageDraw.Draw(image), scale), panels, WIDTH)
    out = BytesIO()
    image.resize((WIDTH * PNG_SCALE, height * PNG_SCALE), Image.Resampling.BOX).save(out, "PNG")
    return out.getvalue()


_STYLE = """<style>
svg{background:#fff;font:12px system-ui,sans-serif}
text{fill:#333}.t{font-weight:600}.grid{stroke:#e3e3e3}.axis{stroke:#888}
.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}
@media(prefers-color-scheme:dark){svg{background:#1b1b1b}text{fill:#ddd}.grid{stroke:#383838}}
</style>"""


# -- what is drawn, on either canvas -------------------------------------------------------------


def _draw(canvas: _SvgCanvas | _PngCanvas, panels: Sequence[Panel], width: int) -> float:
    """Draw the panels one below the other, on one x axis; returns the height."""
    x = _axis(
        [point[0] for panel in panels for series in panel.series for point in series.points],
        *(LEFT, width - RIGHT),
    )
    top = 0.0
    for panel in panels:
        _draw_panel(canvas, panel, x, top, width)
        top += panel.header(width) + PANEL_HEIGHT + FOOTER
    return top


def _draw_panel(
    canvas: _SvgCanvas | _PngCanvas, panel: Panel, x: _Axis, top: float, width: int
) -> None:
    upper = top + panel.header(width)
    lower, right = upper + PANEL_HEIGHT, width - RIGHT
    values = [point[1] for series in panel.series for point in series.points]
    values += [level.value for level in panel.levels]
    y = _axis(values, lower, upper, panel.is_log, room=0.04)
    canvas.text(LEFT, top + 18, panel.title, "t", "start")
    for value in y.ticks():
        canvas.line(LEFT, y(value), right, y(value), "grid")
        canvas.text(LEFT - 6, y(value) + 4, typeset(f"{value:g}"), "", "end")
    for value in x.ticks():
        canvas.line(x(value), lower, x(value), lower + 4, "axis")
        canvas.text(
            x(value), lower + 17, f"{value:,.0f}" if x.high > 10 else f"{value:g}", "", "middle"
        )
    canvas.line(LEFT, lower, right, lower, "axis")
    canvas.text(right, lower + 28, panel.x_label, "", "end")
    _draw_legend(canvas, panel, top + 34, width)
    for level in panel.levels:
        if y.shows(level.value):
            canvas.curve([(LEFT, y(level.value)), (right, y(level.value))], LEVEL_COLOUR, True)
    for i, series in enumerate(panel.series):
        colour = COLOURS[i % len(COLOURS)]
        for stretch in _stretches(series.points, x, y):
            canvas.curve(stretch, colour, series.is_dashed)
        if panel.has_markers:
            for point in series.points:
                if x.shows(point[0]) and y.shows(point[1]):
                    tip = f"{series.label}, {point[0]:g} {panel.x_label}: {point[1]:.4g}"
                    canvas.marker(x(point[0]), y(point[1]), colour, tip)


def _draw_legend(canvas: _SvgCanvas | _PngCanvas, panel: Panel, top: float, width: int) -> None:
    """A piece of each curve and its name, above the axes."""
    columns = panel.legend_columns(width)
    step = (width - LEFT - RIGHT) / columns
    styles = [(COLOURS[i % len(COLOURS)], s.is_dashed) for i, s in enumerate(panel.series)]
    styles += [(LEVEL_COLOUR, True) for _ in panel.levels]
    for i, (label, (colour, is_dashed)) in enumerate(zip(panel.labels, styles, strict=True)):
        left, base = LEFT + step * (i % columns), top + LEGEND_STEP * (i // columns)
        canvas.curve([(left, base - 4), (left + 22, base - 4)], colour, is_dashed)
        shown = shorten(label, max(8, int((step - LEGEND_LINE) / LETTER)))
        canvas.text(left + LEGEND_LINE, base, shown, "", "start")


def _axis(
    values: Sequence[float], start: float, end: float, is_log: bool = False, room: float = 0.0
) -> _Axis:
    """An axis that holds all finite values, with a share of `room` beyond them."""
    shown = [v for v in values if math.isfinite(v) and (v > 0 or not is_log)]
    scaled = [math.log10(v) for v in shown] if is_log else shown
    low, high = min(scaled, default=0.0), max(scaled, default=1.0)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    margin = (high - low) * room
    return _Axis(low - margin, high + margin, start, end, is_log)


def _stretches(points: Sequence[Point], x: _Axis, y: _Axis) -> Iterator[list[Point]]:
    """The pieces of a curve between values that cannot be shown, as places."""
    piece: list[Point] = []
    for value_x, value_y in _thinned(points):
        if x.shows(value_x) and y.shows(value_y):
            piece.append((x(value_x), y(value_y)))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most about MOST_POINTS: of each stretch its lowest and its highest point, in order."""
    if len(points) <= MOST_POINTS:
        return points
    step = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[Point] = []
    for i in range(0, len(points), step):
        part = range(i, min(i + step, len(points)))
        ends = {min(part, key=lambda j: points[j][1]), max(part, key=lambda j: points[j][1])}
        kept += [points[j] for j in sorted(ends)]
    return kept


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10, ... times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= least * (1 - 1e-9))


def _described(panels: Sequence[Panel]) -> str:
    parts = [f"{p.title}: {', '.join(p.labels) or 'nothing'}" for p in panels]
    return "; ".join(parts) + "."


# -- canvases ------------------------------------------------------------------------------------


class _SvgCanvas:
    """Collects SVG elements."""

    def __init__(self) -> None:
        self.parts: list[Markup] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self.parts.append(svg.line(x1, y1, x2, y2, kind))

    def text(self, x: float, y: float, content: str, kind: str, anchor: str) -> None:
        self.parts.append(svg.text(x, y, content, kind, anchor))

    def marker(self, x: float, y: float, colour: str, tip: str) -> None:
        disc: dict[str, str | float] = {"cx": x, "cy": y, "r": MARKER, "fill": colour}
        self.parts.append(svg.element("circle", disc, svg.element("title", {}, tip)))

    def curve(self, places: Sequence[Point], colour: str, is_dashed: bool) -> None:
        if len(places) == 1:
            (x, y) = places[0]
            self.parts.append(svg.element("circle", {"cx": x, "cy": y, "r": 2, "fill": colour}))
            return
        listed = " ".join(f"{svg.number(x)},{svg.number(y)}" for x, y in places)
        attributes: dict[str, str | float] = {"points": listed, "class_": "curve", "stroke": colour}
        if is_dashed:
            attributes["stroke_dasharray"] = "5 3"
        self.parts.append(svg.element("polyline", attributes))


class _PngCanvas:
    """Draws with pillow; places are scaled."""

    def __init__(self, draw: ImageDraw, scale: int) -> None:
        from PIL import ImageFont, __version__

        self.has_thin_strokes = tuple(map(int, __version__.split(".")[:2])) >= (11, 2)
        self.draw = draw
        self.scale = scale
        self.font = ImageFont.load_default(12 * scale)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        places = [v * self.scale for v in (x1, y1, x2, y2)]
        self.draw.line(places, fill=PNG_COLOURS[kind], width=self.scale)

    def text(self, x: float, y: float, content: str, kind: str, anchor: str) -> None:
        side = {"start": "l", "middle": "m", "end": "r"}[anchor]
        place = (x * self.scale, y * self.scale)
        stroke = self.scale / 4 if kind == "t" and self.has_thin_strokes else 0
        self.draw.text(place, content, "#333333", self.font, side + "s", stroke_width=stroke)

    def marker(self, x: float, y: float, colour: str, tip: str) -> None:
        self._disc(x * self.scale, y * self.scale, MARKER * self.scale, colour)

    def _disc(self, x: float, y: float, radius: float, colour: str) -> None:
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def curve(self, places: Sequence[Point], colour: str, is_dashed: bool) -> None:
        width = round(1.6 * self.scale)
        scaled = [(x * self.scale, y * self.scale) for x, y in places]
        if len(scaled) == 1:
            self._disc(*scaled[0], 2 * self.scale, colour)
        elif is_dashed:
            for piece in _dashes(scaled, 5 * self.scale, 3 * self.scale):
                self.draw.line(piece, fill=colour, width=width)
        else:
            self.draw.line(scaled, fill=colour, width=width, joint="curve")


def _dashes(places: Sequence[Point], dash: float, gap: float) -> Iterator[list[Point]]:
    """The curve cut into pieces of length `dash` with `gap` between them."""
    piece, left, is_drawn = [places[0]], dash, True
    for (x1, y1), (x2, y2) in pairwise(places):
        length, done = math.dist((x1, y1), (x2, y2)), 0.0
        while length - done > left:
            done += left
            here = (x1 + (x2 - x1) * done / length, y1 + (y2 - y1) * done / length)
            if is_drawn:
                yield [*piece, here]
            piece, is_drawn = [here], not is_drawn
            left = dash if is_drawn else gap
        left -= length - done
        piece.append((x2, y2))
    if is_drawn and len(piece) > 1:
        yield piece
