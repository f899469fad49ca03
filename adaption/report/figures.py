"""The figure of one layer: histograms with the limits of the formats drawn in.

Figures are hand-made SVG that takes its colours from the page. Why not matplotlib: a two-panel
histogram takes it 300 ms and 31 kB of SVG, this module under 1 ms and 8 kB (same machine, 25 bins
per panel). A net of 60 layers would wait 18 s, and its colours could not follow the reader's light
or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from adaption.report import svg
from adaption.report.format import count, one_line, percent, power_of_ten, power_of_two, typeset
from adaption.report.histogram import Bin, Limits, bins_of, limits_of
from adaption.report.summary import points_of, sqnr_text

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["PLURAL", "layer_figure"]

WIDTH = 400
LEFT, RIGHT = 54, 8  # margins
ZERO_SLOT, ZERO_BAR = 34, 16  # widths: kept for the bar of exact zeros, of the bar
HEADER, PANEL, FOOTER = 38, 74, 34  # heights: above a panel, the panel, below the last one
GAP = 14  # height between panels: the label "0" of the upper one stands there

PLURAL = {"weight": "weights", "bias": "biases", "activation": "activations"}


class Axis(NamedTuple):
    """The x axis: octaves `low` to `high`."""

    low: int
    high: int

    def x(self, exponent: float) -> float:
        start = LEFT + ZERO_SLOT
        inside = max(self.low, min(self.high, exponent)) - self.low
        return start + inside * (WIDTH - RIGHT - start) / (self.high - self.low)


class Panel(NamedTuple):
    """One histogram to draw."""

    point: str
    tensor: Mapping[str, Any]
    limits: Limits | None
    bins: Sequence[Bin]
    zeros: int


def layer_figure(key: str, layer: Mapping[str, Any], rounding: str = "half_away") -> Markup:
    """Histograms of a layer's weights and activations over log2|x|, one above the other.

    Args:
        key: unique in the page.
        layer: an entry of the summary's `layers`; its bias is left out.
        rounding: of the formats; decides below which value a weight may become zero.
    """
    from markupsafe import Markup

    panels = []
    for point, tensor in points_of(layer):
        if point != "bias":
            limits = limits_of(tensor, rounding)
            panels.append(Panel(point, tensor, limits, *bins_of(tensor, limits)))
    axis = _axis_of(panels)
    parts: list[Markup] = []
    bottom = 0
    for panel in panels:
        top = bottom + HEADER + (GAP if bottom else 0)
        bottom = top + PANEL
        parts.extend([*_zones(panel, axis, top), *_heading(panel, top)])
        parts.extend([*_bars(panel, axis, top), *_markers(panel, axis, top)])
    parts.extend(_exponents(axis, bottom))
    kinds = " and ".join(PLURAL[panel.point] for panel in panels) or "nothing"
    title = f"{one_line(layer.get('name'))}: histogram of {kinds} over log2|x|"
    desc = " ".join(_described(panel) for panel in panels) or "Nothing was measured."
    return svg.figure(key, WIDTH, bottom + FOOTER, title, desc, Markup("").join(parts))


def _axis_of(panels: Sequence[Panel]) -> Axis:
    """Octaves that hold every bin and both limits with some room around them."""
    limits = [panel.limits for panel in panels if panel.limits is not None]
    low = [b.exponent for panel in panels for b in panel.bins] + [lim.flush - 2 for lim in limits]
    high = [b.exponent + 1 for p in panels for b in p.bins] + [lim.top + 2 for lim in limits]
    return Axis(min(low, default=-8), max(high, default=1))


def _heading(panel: Panel, top: float) -> list[Markup]:
    tensor = panel.tensor
    name = f"{PLURAL[panel.point]} {typeset(str(tensor.get('q') or 'float'))}"
    parts = [svg.text(LEFT, top - 21, name, f"t {panel.point}")]
    if panel.limits is not None:
        shares = (
            f"saturated {percent(tensor.get('saturated_share'))}, "
            f"flushed {percent(tensor.get('flushed_share'))}"
        )
        parts.append(svg.text(WIDTH - RIGHT, top - 21, typeset(shares), "l", "end"))
    return parts


def _zones(panel: Panel, axis: Axis, top: float) -> list[Markup]:
    """Where values become zero and where they saturate, shaded."""
    if panel.limits is None:
        return []
    left, flush = axis.x(axis.low), axis.x(panel.limits.flush)
    limit, right = axis.x(panel.limits.top), axis.x(axis.high)
    return [
        svg.rect(left, top, flush - left, PANEL, "zone flushed", "rounded to 0"),
        svg.rect(limit, top, right - limit, PANEL, "zone saturated", "saturated"),
    ]


def _markers(panel: Panel, axis: Axis, top: float) -> list[Markup]:
    """The LSB and the greatest value: a line each, labelled away from the other."""
    if panel.limits is None:
        return []
    lsb, limit = axis.x(panel.limits.lsb), axis.x(panel.limits.top)
    limit_label = f"max {power_of_two(panel.limits.top)}"
    room = WIDTH - 7.5 * len(limit_label)
    return [
        svg.line(lsb, top - 4, lsb, top + PANEL, "mark lsb"),
        svg.text(lsb + 3, top - 7, f"LSB {power_of_two(panel.limits.lsb)}", "m", "end"),
        svg.line(limit, top - 4, limit, top + PANEL, "mark max"),
        svg.text(min(limit - 3, room), top - 7, limit_label, "m"),
    ]


def _bars(panel: Panel, axis: Axis, top: float) -> list[Markup]:
    """Share of the values per octave on a logarithmic scale, exact zeros apart on the left."""
    bottom = top + PANEL
    counts = [n for n in (*(b.count for b in panel.bins), panel.zeros) if n]
    total = sum(counts)
    # Half a decade below the smallest share, so that its bar can be seen.
    decades = max(2, math.ceil(math.log10(total / min(counts)) + 0.5)) if counts else 2
    parts = []
    for decade in range(0, decades + 1, max(1, math.ceil(decades / 3))):
        level = top + PANEL * decade / decades
        parts.append(svg.line(LEFT, level, WIDTH - RIGHT, level, "grid"))
        parts.append(svg.text(LEFT - 5, level + 4, _power_of_ten(decade), anchor="end"))

    def bar(x: float, width: float, n: int, kind: str, tip: str) -> None:
        height = PANEL * (1 - math.log10(total / n) / decades)
        style = f"bar {kind} {panel.point}"
        tip = f"{tip}: {count(n)} ({percent(n / total, 4)})"
        parts.append(svg.rect(x, bottom - height, width, height, style, tip))

    if panel.zeros:
        bar(LEFT + 3, ZERO_BAR, panel.zeros, "zero", "0")
        parts.append(svg.text(LEFT + 3 + ZERO_BAR / 2, bottom + 14, "0", anchor="middle"))
    for b in panel.bins:
        kind = panel.limits.fate(b.exponent) if panel.limits is not None else "kept"
        left, right = axis.x(b.exponent), axis.x(b.exponent + 1)
        bar(left + 0.5, right - left - 1, b.count, kind, _octave(b))
    parts.append(svg.line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"))
    if not counts:
        middle = (LEFT + WIDTH) / 2
        parts.append(svg.text(middle, top + PANEL / 2 + 4, "no histogram", "l", "middle"))
    return parts


def _exponents(axis: Axis, bottom: float) -> list[Markup]:
    """Tick labels and the name of the x axis."""
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64) if (axis.high - axis.low) / s <= 12 or s == 64)
    first = math.ceil(axis.low / step) * step
    parts = [
        svg.text(axis.x(e), bottom + 14, typeset(str(e)), anchor="middle")
        for e in range(first, axis.high + 1, step)
    ]
    label = "log₂|x|, one bar per power of two"
    parts.append(svg.text((LEFT + ZERO_SLOT + WIDTH) / 2, bottom + 29, label, "l", "middle"))
    parts.append(svg.text(LEFT - 5, bottom + 29, "share of values", "l", "middle"))
    return parts


def _power_of_ten(decade: int) -> str:
    """Tick label of the share 10^-decade."""
    power = 2 - decade  # of the same share in percent
    return f"{10**power:g} %" if power >= -2 else f"{power_of_ten(power)} %"


def _octave(b: Bin) -> str:
    low, high = power_of_two(b.exponent), power_of_two(b.exponent + 1)
    if b.open_side == "below":
        text = f"0 < |x| < {high}"
    elif b.open_side == "above":
        text = f"|x| ≥ {low}"
    else:
        text = f"{low} ≤ |x| < {high}"
    return f"{text} ({count(b.negative)} negative)" if b.negative else text


def _described(panel: Panel) -> str:
    tensor = panel.tensor
    return (
        f"{PLURAL[panel.point].capitalize()} in {tensor.get('q') or 'float'} "
        f"(Qm.f, m counts the sign bit): saturated {percent(tensor.get('saturated_share'))}, "
        f"flushed to zero {percent(tensor.get('flushed_share'))}, "
        f"zeros {percent(tensor.get('zero_share_before'))} before and "
        f"{percent(tensor.get('zero_share_after'))} after, SQNR {sqnr_text(tensor)}."
    )
