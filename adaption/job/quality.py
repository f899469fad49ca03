"""Whether what was made is any good: what a reader of summary.json must not miss, in words.

That files compute alike says nothing of how well. Layers that rounding leaves little of, outputs
far from the float net's, labels that are no classes, and nets nothing was measured of are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adaption.precision.classifiers import Classifiers
from adaption.report.format import decibel, percent
from adaption.report.summary import flushed_of_nonzero

__all__ = ["label_warnings", "quality_warnings"]

POINT_DB = 3.0  # noise of half the signal's power: little more than its sign is left
OUTPUT_DB = 6.0  # noise of a quarter of the power
NEARLY_ALL = 0.9  # of a tensor's non-zero values
CLIPPED_DB = 20.0  # from here on saturated values lose little
MATCHED = 0.8  # of a detector's sure boxes
MOST_NAMED = 6  # points named in one sentence


def quality_warnings(summary: Mapping[str, Any], scores: Classifiers) -> list[str]:
    """Sentences about what is wrong with a quantized net, worst first; empty when nothing is.

    Args:
        summary: what `quantize` found, summary.json's content.
        scores: the net's classifiers.
    """
    points = list(_points(summary))
    return [
        *label_warnings(summary["scores"]),
        *_outputs(summary, points),
        *_points_lost(points),
        *_detections(summary),
        *_unmeasured(summary, scores),
    ]


def _points(summary: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every rounded tensor under its name, `layer "conv1", weight (Q1.7)`."""
    for layer in summary["layers"]:
        for kind in ("weight", "bias", "activation"):
            point = layer.get(kind)
            if point and point.get("q"):
                yield f'layer "{layer["name"]}", {kind} ({point["q"]})', point


def _what_is_lost(point: Mapping[str, Any]) -> str:
    sqnr = point["sqnr_db"]
    flushed, saturated = flushed_of_nonzero(point), float(point["saturated_share"])
    if flushed >= NEARLY_ALL:
        return f"{percent(flushed)} of its values become 0"
    if sqnr is not None and sqnr < POINT_DB:
        return f"its SQNR is {decibel(sqnr)}"
    if saturated >= NEARLY_ALL and sqnr is not None and sqnr < CLIPPED_DB:
        return f"{percent(saturated)} of its values saturate"
    return ""


def _points_lost(points: list[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    lost = [(name, what) for name, point in points if (what := _what_is_lost(point))]
    for name, what in lost[:MOST_NAMED]:
        yield (
            f"rounding leaves little of {name}: {what}; --rule sqnr, or more --bits for this layer,"
            " may help"
        )
    if len(lost) > MOST_NAMED:
        names = ", ".join(name for name, _ in lost[MOST_NAMED:])
        yield f"rounding leaves little of {len(lost) - MOST_NAMED} more: {names}"


def _outputs(
    summary: Mapping[str, Any], points: list[tuple[str, Mapping[str, Any]]]
) -> Iterator[str]:
    worst = sorted(
        ((p["sqnr_db"], name) for name, p in points if p["sqnr_db"] is not None),
        key=lambda pair: float(pair[0]),
    )
    blamed = ", ".join(f"{name}: {decibel(db)}" for db, name in worst[:3])
    for blob, sqnr in summary["output_sqnr_db"].items():
        if sqnr is not None and sqnr < OUTPUT_DB:
            yield (
                f'output "{blob}" is far from the float net\'s: its SQNR is {decibel(sqnr)}'
                + (f"; the points that lose most are {blamed}" if blamed else "")
            )


def label_warnings(scores: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Sentences about labels that are no classes.

    Args:
        scores: one entry per classifier: `blob`, `samples`, `classes`, `labels_outside`,
            `labels_range`.
    """
    for entry in scores:
        outside = entry["labels_outside"]
        if not outside:
            continue
        least, greatest = entry["labels_range"]
        text = (
            f'{outside} of {entry["samples"]} labels are no classes of "{entry["blob"]}": they go'
            f" from {least} to {greatest}, its classes from 0 to {entry['classes'] - 1}"
        )
        if least == 1 and greatest == entry["classes"]:
            text += "; the labels count from 1, subtract 1"
        yield text


def _detections(summary: Mapping[str, Any]) -> Iterator[str]:
    for blob, entry in summary["detections"].items():
        found = entry["sure"] if entry["sure"]["boxes"] else entry
        share = found["matched_share"]
        if share is not None and share < MATCHED:
            yield (
                f"only {found['matched']} of the {found['boxes']} boxes that the float net gives in"
                f' "{blob}" are found again'
            )


def _unmeasured(summary: Mapping[str, Any], scores: Classifiers) -> Iterator[str]:
    if scores.unclear:
        listed = ", ".join(f'"{name}"' for name in scores.unclear)
        yield (
            f"the outputs {listed} may all be class scores, so no accuracy is stated: --score BLOB"
            " names the one"
        )
    elif summary["data"]["has_labels"] and not summary["accuracy"]:
        if scores.main is None:
            yield "the data has labels, but no output of the net holds one score per class for them"
        else:
            yield f'the data has labels, but none that counts for the scores "{scores.main}"'
    has_boxes = any(entry["boxes"] for entry in summary["detections"].values())
    if not (summary["accuracy"] or summary["output_sqnr_db"] or has_boxes):
        yield (
            "nothing tells how good the quantized net is: no accuracy, no output that both nets"
            " give in one shape, no boxes; compare it by a measure of your own before using it"
        )
