"""report.html: everything known about a quantized net in one file that fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from collections.abc import Mapping
from typing import Any

from adaption.io.atomic import atomic_write
from adaption.report.advice import NOTABLE_LOSS, Weak, next_steps, weakest
from adaption.report.figures import layer_figure
from adaption.report.format import (
    ABSENT,
    Q_CONVENTION,
    compact,
    count,
    decibel,
    duration,
    one_line,
    percent,
    points,
    significant,
    size,
    typeset,
)
from adaption.report.overview import sqnr_figure, zeros_figure
from adaption.report.pages import OPEN_FIGURES, render, tile
from adaption.report.searched import searched_sections
from adaption.report.sensitivity import sensitivity_grid
from adaption.report.summary import (
    WEAK_DB,
    checked,
    first_differing,
    marks_of,
    points_of,
    result_rows,
    sqnr_text,
    sqnr_value,
)

__all__ = ["render_report", "write_report"]

Summary = Mapping[str, Any]


def write_report(summary: Summary, path: str | os.PathLike[str]) -> None:
    """Write the report of a quantized net as one self-contained HTML file.

    Args:
        summary: as `adaption quantize` saves it in summary.json; an entry `date` (text) is shown.
        path: the file to write.
    Raises: FieldError when `summary` is no summary; UsageError when `path` cannot be written.
    """
    page = render_report(summary)
    with atomic_write(path, "w") as out:
        out.write(page)


def render_report(summary: Summary) -> str:
    """The text of the report; see `write_report`."""
    checked(summary)
    script = render("report.js.j2")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rounding = str(summary.get("rounding") or "half_away")
    layers = summary["layers"]
    measured = summary.get("sensitivity")
    return render(
        "report.html.j2",
        summary=summary,
        script=script,
        script_hash=digest,
        convention=typeset(Q_CONVENTION),
        facts=_facts(summary),
        tiles=_tiles(summary),
        steps=next_steps(summary),
        has_commands=bool(summary.get("command")),
        weak=[_weak(point) for point in weakest(summary)],
        is_refined=bool(summary.get("before_refining")),
        sensitivity=sensitivity_grid(measured) if measured else None,
        results=result_rows(summary),
        layers=[_layer(i, layer, rounding) for i, layer in enumerate(layers)],
        figures_open=len(layers) <= OPEN_FIGURES,
        sqnr_figure=sqnr_figure("overview-sqnr", layers),
        zeros_figure=zeros_figure("overview-zeros", layers),
        checks=[_check(entry) for entry in summary.get("verification") or []],
        settings=[
            ("Data", _pairs(summary.get("data"))),
            ("Calibration", _pairs(summary.get("calibration"))),
            ("Preprocessing", _pairs(summary.get("preprocessing"))),
        ],
        files=[
            (key, (entry or {}).get("path"), size((entry or {}).get("size_bytes")))
            for key, entry in (summary.get("files") or {}).items()
        ],
        notes=summary.get("notes") or [],
        warnings=summary.get("warnings") or [],
        weak_db=f"{WEAK_DB:g}",
        search=searched_sections(summary["search"]) if "search" in summary else None,
    )


def _facts(summary: Summary) -> list[str]:
    """The line under the headline."""
    known = {
        "bits": "{} bits",
        "rule": "rule {}",
        "rounding": "rounding {}",
        "threshold": "threshold {}",
        "date": "{}",
    }
    facts = [
        text.format(summary[key]) for key, text in known.items() if summary.get(key) is not None
    ]
    if summary.get("seconds") is not None:
        facts.append(f"took {duration(summary['seconds'])}")
    if summary.get("adaption_version"):
        facts.append(f"adaption {summary['adaption_version']}")
    return facts


def _tiles(summary: Summary) -> list[dict[str, str]]:
    """The verdict: one tile per question."""
    return [
        _accuracy_tile(summary),
        _flipped_tile(summary),
        _sqnr_tile(summary),
        _verification_tile(summary),
    ]


def _accuracy_tile(summary: Summary) -> dict[str, str]:
    accuracy = summary.get("accuracy") or {}
    before = (accuracy.get("float") or {}).get("top1")
    after = (accuracy.get("quantized") or {}).get("top1")
    if before is None or after is None:
        has_labels = (summary.get("data") or {}).get("has_labels")
        reason = "the data has no labels" if has_labels is False else "no accuracy in the summary"
        return tile("Top-1 accuracy", "not measured", reason)
    change = after - before
    note = f"{points(change)} on {count(accuracy.get('samples'))} samples"
    tone = "good" if change > -NOTABLE_LOSS else "warn"  # NaN warns
    return tile("Top-1 accuracy", f"{percent(before)} → {percent(after)}", note, tone)


def _flipped_tile(summary: Summary) -> dict[str, str]:
    flipped = summary.get("flipped_predictions")
    if flipped is None:
        return tile("Flipped predictions", "not measured", "the net has no class scores")
    value = f"{count(flipped.get('count'))} of {count(flipped.get('samples'))}"
    note = f"{percent(flipped.get('share'))} of the samples change their class"
    return tile("Flipped predictions", value, note)


def _sqnr_tile(summary: Summary) -> dict[str, str]:
    outputs = dict(summary.get("output_sqnr_db") or {})
    if not outputs:
        return tile("SQNR of the output", "not measured", "no output was compared")

    def key(blob: str) -> float:
        value = outputs[blob]
        return math.inf if value is None else -math.inf if math.isnan(value) else value

    worst = min(outputs, key=key)
    among = f", the worst of {len(outputs)} outputs" if len(outputs) > 1 else ""
    note = f'blob "{one_line(worst)}"{among}'
    return tile("SQNR of the output", decibel(outputs[worst]), note)


def _verification_tile(summary: Summary) -> dict[str, str]:
    entries = summary.get("verification") or []
    if not entries:
        return tile("Verification", "not run", "nothing is proved", "warn")
    passed = sum(bool(entry.get("ok")) for entry in entries)
    note = f"{passed} of {len(entries)} checks hold"
    good = passed == len(entries)
    return tile("Verification", "ok" if good else "FAILED", note, "good" if good else "bad")


def _layer(index: int, layer: Summary, rounding: str) -> dict[str, Any]:
    """What the template shows of a layer; cells are text."""
    tensors = list(points_of(layer))
    values = [value for _, t in tensors if (value := sqnr_value(t)) is not None]
    macs, skippable = layer.get("macs"), layer.get("zero_skippable_macs")
    return {
        "index": index,
        "name": one_line(layer.get("name")),
        "type": str(layer.get("type", "")),
        "macs": compact(macs),
        "skippable": compact(skippable),
        "skippable_share": percent(skippable / macs, 1) if macs and skippable is not None else "",
        "sort": {
            "sqnr": min((v for v in values if not math.isnan(v)), default=math.inf),
            "saturated": max((t.get("saturated_share") or 0.0 for _, t in tensors), default=0.0),
            "flushed": max((t.get("flushed_share") or 0.0 for _, t in tensors), default=0.0),
            "macs": macs or 0,
        },
        "points": [_point(point, tensor) for point, tensor in tensors],
        "figure": layer_figure(f"figure-{index}", layer, rounding),
    }


def _weak(point: Weak) -> dict[str, str]:
    """A row of the table of the worst points."""
    alone = point.alone or {}
    flipped = (alone.get("flipped_predictions") or {}).get("share")
    return {
        "layer": point.layer,
        "kind": point.kind,
        "q": str(point.tensor.get("q")),
        "sqnr": sqnr_text(point.tensor),
        "lost": point.lost,
        "output": decibel(alone["sqnr_db"]) if alone else "",
        "flipped": percent(flipped) if alone else "",
    }


def _point(point: str, tensor: Summary) -> dict[str, Any]:
    return {
        "point": point,
        "q": str(tensor.get("q") or "float"),
        "min": significant(tensor.get("min")),
        "max": significant(tensor.get("max")),
        "count": count(tensor.get("count")),
        "saturated": percent(tensor.get("saturated_share")),
        "marks": marks_of(tensor),
        "flushed": percent(tensor.get("flushed_share")),
        "zeros_before": percent(tensor.get("zero_share_before")),
        "zeros_after": percent(tensor.get("zero_share_after")),
        "sqnr": sqnr_text(tensor),
        "reason": tensor.get("reason") or "",
    }


def _check(entry: Summary) -> dict[str, Any]:
    blobs = entry.get("blobs") or entry.get("tops") or []
    return {
        "what": str(entry.get("what", "")),
        "ok": bool(entry.get("ok")),
        "detail": str(entry.get("detail") or ""),
        "first_differing": first_differing(blobs),
        "blobs": [
            {
                "blob": one_line(blob.get("blob")),
                "layer": one_line(blob.get("layer", ABSENT)),
                "max_error": significant(blob.get("max_error")),
                "max_error_lsb": significant(blob.get("max_error_lsb")),
                "differing": percent(blob.get("differing_share")),
            }
            for blob in blobs
        ],
    }


def _pairs(settings: Summary | None) -> list[tuple[str, str]]:
    """A mapping of settings as label and text."""
    return [(key.replace("_", " "), _value(value)) for key, value in (settings or {}).items()]


def _value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return significant(value, 7)
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    return str(value)
