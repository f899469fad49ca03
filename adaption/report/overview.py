"""Figures over all layers: one row per layer, so that a name can be read at any size of net."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adaption.report import svg
from adaption.report.figures import PLURAL, WIDTH
from adaption.report.format import one_line, percent, shorten, typeset
from adaption.report.summary import points_of, sqnr_text, sqnr_value

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["sqnr_figure", "zeros_figure"]

Layer = Mapping[str, Any]
Draw = Callable[[Layer, Callable[[float], float], float], "list[Markup]"]

LABELS = 122  # width of the layer names
RIGHT = 14
EXACT = 36  # width kept right of the axis for SQNRs that are exact
SPREAD = {"weight": -3.0, "activation": 3.0}  # keeps two marks of one row apart


def sqnr_figure(key: str, layers: Sequence[Layer]) -> Markup:
    """SQNR of every layer's weights and activations; exact ones stand right of the axis."""
    values = [sqnr_value(t) for layer in layers for p, t in points_of(layer) if p in SPREAD]
    finite = [v for v in values if v is not None and math.isfinite(v)]
    has_exact = math.inf in values
    least, most = min([0.0, *finite]), max([10.0, *finite])
    step = next(s for s in (10, 20, 50, 100, 1000) if most - least <= 7 * s or s == 1000)
    low, high = math.floor(least / step) * step, math.ceil(most / step) * step

    def draw(layer: Layer, x: Callable[[float], float], y: float) -> list[Markup]:
        marks = []
        for point, tensor in points_of(layer):
            value = sqnr_value(tensor)
            if point not in SPREAD or value is None or math.isnan(value):
                continue
            level = y + SPREAD[point]
            place = WIDTH - RIGHT - 2 if value == math.inf else x(max(low, value))
            tip = f"{one_line(layer.get('name'))}, {PLURAL[point]}: {sqnr_text(tensor)}"
            marks.append(svg.line(x(low), level, place, level, f"stem {point}"))
            marks.append(svg.circle(place, level, 3, point, tip))
        return marks

    ticks = [(float(v), str(v)) for v in range(low, high + 1, step)]
    right = RIGHT + (EXACT if has_exact else 0)
    figure = _Rows(low, high, ticks, "SQNR in dB", right, "exact" if has_exact else "")
    return figure.drawn(key, "SQNR per layer", layers, draw)


def zeros_figure(key: str, layers: Sequence[Layer]) -> Markup:
    """Share of zeros of every layer before (ring) and after (disc) quantization."""

    def draw(layer: Layer, x: Callable[[float], float], y: float) -> list[Markup]:
        marks = []
        for point, tensor in points_of(layer):
            before, after = tensor.get("zero_share_before"), tensor.get("zero_share_after")
            if point not in SPREAD or before is None or after is None:
                continue
            if math.isnan(before) or math.isnan(after):
                continue
            level = y + SPREAD[point]
            tip = (
                f"{one_line(layer.get('name'))}, zeros of {PLURAL[point]}: "
                f"{percent(before)} before, {percent(after)} after"
            )
            marks.append(svg.line(x(before), level, x(after), level, f"change {point}"))
            marks.append(svg.circle(x(after), level, 3, point, tip))
            marks.append(svg.circle(x(before), level, 3, f"ring {point}", tip))
        return marks

    ticks = [(share / 4, f"{25 * share}") for share in range(5)]
    figure = _Rows(0, 1, ticks, "zeros, in % of all values", RIGHT)
    return figure.drawn(key, "Zeros before and after quantization, per layer", layers, draw)


class _Rows:
    """A figure with one row per layer."""

    def __init__(
        self,
        low: float,
        high: float,
        ticks: Sequence[tuple[float, str]],
        label: str,
        right: float,
        beyond: str = "",  # tick label right of the axis
    ) -> None:
        self.low, self.high, self.ticks = low, high, ticks
        self.label, self.right, self.beyond = label, right, beyond

    def x(self, value: float) -> float:
        return LABELS + (value - self.low) * (WIDTH - LABELS - self.right) / (self.high - self.low)

    def drawn(self, key: str, title: str, layers: Sequence[Layer], draw: Draw) -> Markup:
        from markupsafe import Markup

        pitch = 20 if len(layers) <= 24 else 15
        top, bottom = 6.0, 6.0 + pitch * len(layers)
        parts = []
        for index in range(0, len(layers), 2):  # stripes guide the eye from the name to the mark
            parts.append(svg.rect(0, top + pitch * index, WIDTH, pitch, "stripe"))
        for value, label in self.ticks:
            parts.append(svg.line(self.x(value), top, self.x(value), bottom, "grid"))
            parts.append(svg.text(self.x(value), bottom + 14, typeset(label), anchor="middle"))
        if self.beyond:
            parts.append(svg.text(WIDTH - RIGHT - 2, bottom + 14, self.beyond, anchor="middle"))
        middle = (LABELS + WIDTH - self.right) / 2
        parts.append(svg.text(middle, bottom + 29, self.label, "l", "middle"))
        for index, layer in enumerate(layers):
            y = top + pitch * (index + 0.5)
            name = svg.text(LABELS - 8, y + 4, shorten(one_line(layer.get("name")), 18), "", "end")
            parts.append(svg.link(f"#layer-{index}", name))
            parts.extend(draw(layer, self.x, y))
        desc = f"{len(layers)} layers, one row each. The table of layers holds the same values."
        return svg.figure(key, WIDTH, bottom + 36, title, desc, Markup("").join(parts))
