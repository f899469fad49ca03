"""What a search for word lengths found: tables, figures, and what pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adaption.errors import counted
from adaption.report.chart import Level, Panel, Series, panel_figure
from adaption.report.format import ABSENT, compact, count, percent, points, size
from adaption.report.tables import Grid

__all__ = ["curve_grid", "searched_grid", "searched_panels", "searched_sections", "verdict"]

Report = Mapping[str, Any]

_CURVE = (
    *("bits on average", "weight bits", "all parameters", "MAC bits"),
    *("top-1", "drop in points", "changed predictions"),
)


def searched_grid(report: Report) -> Grid:
    """One line per layer: its word length, what it holds, and why it is this long."""
    columns = ("layer", "why", "bits", "weights", "MACs")
    return Grid(columns, _layer_rows(report), "word lengths of weights", text_columns=2)


def _layer_rows(report: Report) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            str(layer["name"]),
            str(layer["reason"]),
            str(layer["bits"]),
            compact(layer["weights"]),
            compact(layer["macs"]),
        )
        for layer in report["layers"]
    ]
    return rows + [(str(name), str(why), ABSENT, "", "") for name, why in report["apart"].items()]


def curve_grid(report: Report) -> Grid:
    """One line per point of the path that was scored."""
    return Grid(_CURVE, _curve_rows(report), _judges(report), text_columns=0)


def _judges(report: Report) -> str:
    return f"scored on {counted(report['judged_on'], 'calibration sample')} that give no formats"


def _curve_rows(report: Report) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in report["curve"]:
        mark = " *" if one["position"] == report["position"] else ""
        rows.append(
            (
                f"{one['average_bits']:.2f}{mark}",
                count(one["weight_bits"]),
                size(one["parameter_bits"] / 8),
                compact(one["mac_bits"]),
                percent(one["top1"]),
                f"{one['drop']:.2f}",
                percent(one["flipped"]),
            )
        )
    return rows


def verdict(report: Report) -> list[str]:
    """What was found, in sentences."""
    before, bits = report["widest"], report["average_bits"]
    saved = 1 - report["weight_bits"] / max(1, before["weight_bits"])
    lines = [
        f"{bits:.2f} bits per weight on average, {before['average_bits']:.2f} before:"
        f" {percent(saved, 1)} fewer weight bits, {size(report['parameter_bits'] / 8)} in all."
    ]
    uniform = report.get("as_uniform_bits")  # older files lack it
    if uniform is not None and bits < before["average_bits"]:
        lines.append(
            "The errors of single layers, added up, are those of a uniform word length of about"
            f" {uniform:.1f} bits."
        )
    if not report["is_met"]:
        lines.insert(0, f"The budget cannot be kept: {report['why']}. The best found:")
    accuracy = report.get("accuracy")  # the summary of quantize says it elsewhere
    if accuracy is not None:
        full, low = accuracy["float"]["top1"], accuracy["quantized"]["top1"]
        where = "samples that took no part in choosing"
        if report["calibration"]["is_scored"]:
            where = "samples that word lengths were chosen on, too"
        lines.append(
            f"Top-1 on {count(accuracy['samples'])} {where}: {percent(low)}, float {percent(full)}"
            f" ({points(low - full)})."
        )
    return lines


def searched_panels(report: Report) -> list[Panel]:
    """By average bits: the loss where points were scored, and the sum of the errors of all layers
    along the whole path."""
    weights = max(1, sum(layer["weights"] for layer in report["layers"]))
    by_weights = {layer["name"]: layer["weights"] for layer in report["layers"]}
    bits, error = report["widest"]["average_bits"], report["widest"]["error"]
    path = [(bits, 100 * error)]
    for cut in report["path"]:
        bits -= (cut["from"] - cut["to"]) * by_weights[cut["layer"]] / weights
        error += cut["adds_error"]
        path.append((bits, 100 * error))
    taken = (report["average_bits"], 100 * report["error"])
    series = [Series("the path", path), Series("taken", [taken])]
    title, axis = "error of the scores in %, sum over layers", "bits per weight on average"
    panels = [Panel(title, series, axis, is_log=True)]
    if report["curve"]:
        scored = [(x["average_bits"], x["drop"]) for x in report["curve"]]
        own = [scored[i] for i, x in enumerate(report["curve"])
               if x["position"] == report["position"]]  # fmt: skip
        most = report["budget"].get("max_drop")
        panels.insert(
            0,
            Panel(
                f"{report['judged_by']}, points",
                [Series("refined nets" if report["is_refined"] else "nets", scored),
                 Series("taken", own)],
                axis,
                levels=[] if most is None else [Level("budget", most)],
                has_markers=True,
            ),
        )  # fmt: skip
    return panels


def searched_sections(report: Report) -> dict[str, Any]:
    """What the template searched_sections.html.j2 shows."""
    lengths = _lengths(report)
    return {
        "plots": [
            panel_figure(f"curve-{i}", panel) for i, panel in enumerate(searched_panels(report))
        ],
        "layers": _layer_rows(report),
        "lengths": lengths,
        "alone": [_alone(layer, lengths) for layer in report["layers"]],
        "curve_head": _CURVE,
        "curve": _curve_rows(report),
        "judges": _judges(report),
        "saved": "MAC bit" if report["saves"] == "macs" else "bit",
    }


def _lengths(report: Report) -> list[str]:
    known = {int(bits) for layer in report["layers"] for bits in layer["alone"]}
    return [str(bits) for bits in sorted(known)]


def _alone(layer: Mapping[str, Any], lengths: Sequence[str]) -> list[str]:
    """The layer's name, the error of the scores at each length, and the share that remains."""
    found = layer["alone"]
    return [
        str(layer["name"]),
        *(percent(found[n]["error"], 3) if n in found else ABSENT for n in lengths),
        percent(layer["remaining"], 0),
    ]
