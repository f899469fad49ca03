"""Reading the summary of a quantized net: safe access, and the rows every view shows.

A summary is the mapping `adaption quantize` saves as summary.json. Only `format` and `layers` must
be there; whatever else is missing or null was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from adaption.errors import FieldError
from adaption.report.format import (
    ABSENT,
    compact,
    count,
    decibel,
    energy,
    one_line,
    percent,
    points,
    significant,
    size,
)

__all__ = [
    "FORMAT",
    "POINTS",
    "ResultRow",
    "checked",
    "first_differing",
    "flushed_of_nonzero",
    "marks_of",
    "points_of",
    "result_rows",
    "sqnr_text",
    "sqnr_value",
]

Summary = Mapping[str, Any]

FORMAT = "adaption.summary/1"
POINTS = ("weight", "bias", "activation")
WEAK_DB = 10.0  # SQNR: noise of a tenth of the signal's power
CAUSES = {"flushed": 0.5, "saturated": 0.01}  # shares that explain why a point is weak


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One line of the results table; cells are text."""

    measure: str
    before: str  # of the float net
    after: str  # of the quantized net
    change: str
    unrefined: str = ABSENT  # of the quantized net before refining


def checked(summary: Summary) -> Summary:
    """`summary` itself, if it is one. Raises: FieldError."""
    if summary.get("format") != FORMAT:
        fix = "make the summary with `adaption quantize` of this version"
        raise FieldError("format", summary.get("format"), repr(FORMAT), fix)
    if not isinstance(summary.get("layers"), list):
        raise FieldError("layers", summary.get("layers"), "a list of layers")
    return summary


def points_of(layer: Summary) -> Iterator[tuple[str, Summary]]:
    """The measured quantization points of a layer: ("weight", {...}), ..."""
    for point in POINTS:
        tensor = layer.get(point)
        if tensor is not None:
            yield point, tensor


def sqnr_value(tensor: Summary | None) -> float | None:
    """SQNR in dB of a quantization point: inf when exact (null in JSON), None when not measured."""
    if tensor is None or "sqnr_db" not in tensor:
        return None
    value = tensor["sqnr_db"]
    return math.inf if value is None else float(value)


def sqnr_text(tensor: Summary | None, unit: str = " dB") -> str:
    """SQNR of a quantization point as text."""
    value = sqnr_value(tensor)
    return ABSENT if value is None else decibel(value, unit)


def flushed_of_nonzero(tensor: Summary) -> float:
    """The share of the non-zero values of a point that became zero."""
    left = 1 - float(tensor.get("zero_share_before") or 0.0)
    return float(tensor.get("flushed_share") or 0.0) / left if left > 0 else 0.0


def marks_of(tensor: Summary) -> frozenset[str]:
    """What a reader must not miss of a rounded point: among sqnr, flushed and saturated.

    A point is marked where rounding leaves it weak, below WEAK_DB, together with the share that
    explains it. Saturated values alone are no fault: rules that weigh errors want some.
    """
    value = sqnr_value(tensor)
    if value is None or not value < WEAK_DB:
        return frozenset()
    shares = {"flushed": flushed_of_nonzero(tensor), "saturated": tensor.get("saturated_share")}
    causes = {name for name, least in CAUSES.items() if (shares[name] or 0.0) >= least}
    return frozenset({"sqnr", *causes})


def first_differing(blobs: list[Summary]) -> int | None:
    """Index of the first blob of a verification that is not bit-equal; None when all are."""
    for index, blob in enumerate(blobs):
        measured = (blob.get("max_error"), blob.get("differing_share"))
        # `not == 0` and not `> 0`: a NaN is a difference too
        if any(value is not None and not value == 0 for value in measured):
            return index
    return None


def result_rows(summary: Summary) -> list[ResultRow]:
    """The results table: what quantization did to the whole net."""
    rows: list[ResultRow] = []
    unrefined = summary.get("before_refining") or {}
    accuracy = summary.get("accuracy")
    for key, name in (("top1", "top-1 accuracy"), ("top5", "top-5 accuracy")):
        if accuracy is not None:
            before = (accuracy.get("float") or {}).get(key)
            after = (accuracy.get("quantized") or {}).get(key)
            if before is not None or after is not None:
                between = percent((unrefined.get("accuracy") or {}).get(key))
                rows.append(replace(_share_row(name, before, after), unrefined=between))
    flipped = summary.get("flipped_predictions")
    if flipped is not None:
        share = percent(flipped.get("share"))
        between = _flips(unrefined.get("flipped_predictions"))
        rows.append(ResultRow("flipped predictions", ABSENT, _flips(flipped), share, between))
    for entry in summary.get("scores") or []:
        if not entry["is_main"]:
            rows += _of_classifier(entry)
    for blob, entry in (summary.get("detections") or {}).items():
        rows += _of_detector(blob, entry)
    for blob, value in (summary.get("output_sqnr_db") or {}).items():
        earlier = unrefined.get("output_sqnr_db") or {}
        between = decibel(earlier[blob]) if blob in earlier else ABSENT
        name = f'SQNR of "{one_line(blob)}"'
        rows.append(ResultRow(name, ABSENT, decibel(value), ABSENT, between))
    sparsity = summary.get("sparsity") or {}
    for key, name in (("weights", "zero weights"), ("activations", "zero activations")):
        before, after = sparsity.get(f"{key}_before"), sparsity.get(f"{key}_after")
        if before is not None or after is not None:
            rows.append(_share_row(name, before, after))
    macs = summary.get("macs") or {}
    total = macs.get("total")
    if total:
        rows.append(ResultRow("MACs per sample", compact(total), compact(total), ABSENT))
        skippable = [macs.get(f"zero_skippable_{when}") for when in ("before", "after")]
        shares = [None if value is None else value / total for value in skippable]
        rows.append(_share_row("zero-skippable MACs", *shares))
    rows += _cost_rows(summary.get("cost") or {})
    files = summary.get("files") or {}
    sizes = [(files.get(key) or {}).get("size_bytes") for key in ("weights", "weights_lp")]
    if None not in sizes:
        ratio = f"x {sizes[1] / sizes[0]:.2f}" if sizes[0] else ABSENT
        rows.append(ResultRow("caffemodel on disk", size(sizes[0]), size(sizes[1]), ratio))
    return rows


def _flips(flipped: Summary | None) -> str:
    if flipped is None:
        return ABSENT
    return f"{count(flipped.get('count'))} of {count(flipped.get('samples'))}"


def _cost_rows(cost: Summary) -> Iterator[ResultRow]:
    """Memory, operations and energy of one sample."""
    both: list[Summary] = [cost.get(when) or {} for when in ("float", "quantized")]

    def row(
        name: str, show: Callable[[float], str], key: str, part: str = ""
    ) -> Iterator[ResultRow]:
        one, other = ((x.get(part) or {} if part else x).get(key) for x in both)
        if one is not None and other is not None:
            ratio = f"x {other / one:.2f}" if one else ABSENT
            yield ResultRow(name, show(one), show(other), ratio)

    def bits(number: float) -> str:
        return size(number / 8)

    yield from row("weights, packed", bits, "parameter_bits")
    yield from row("activations at peak", bits, "peak_activation_bits")
    yield from row("MAC bits", compact, "mac_bits")
    yield from row("energy, estimated", energy, "total_pj", "energy")


def _of_classifier(entry: Summary) -> Iterator[ResultRow]:
    """The rows of a classifier that is not the main one."""
    blob = one_line(entry["blob"])
    before, after = entry.get("float") or {}, entry.get("quantized") or {}
    if before.get("top1") is not None:
        yield _share_row(f'top-1 of "{blob}"', before["top1"], after.get("top1"))
    flipped = entry.get("flipped_predictions")
    if flipped is not None:
        yield ResultRow(
            f'flipped in "{blob}"', ABSENT, _flips(flipped), percent(flipped.get("share"))
        )


def _of_detector(blob: str, entry: Summary) -> Iterator[ResultRow]:
    """How many boxes are found again, those the float net is sure of on their own."""
    sure = entry["sure"]
    for what, boxes_of in (("boxes", entry), (f"boxes >= {sure['least_score']:g}", sure)):
        yield ResultRow(
            f'{what} in "{one_line(blob)}"',
            count(boxes_of["boxes"]),
            count(boxes_of["boxes_quantized"]),
            f"{percent(boxes_of['matched_share'])} found again",
        )
    if entry["matched"]:
        overlap, error = significant(entry["mean_overlap"], 3), entry["mean_score_error"]
        yield ResultRow(
            f'boxes found again in "{one_line(blob)}"',
            ABSENT,
            f"overlap {overlap}",
            f"scores differ by {significant(error, 2)}",
        )


def _share_row(name: str, before: float | None, after: float | None) -> ResultRow:
    change = ABSENT if before is None or after is None else points(after - before)
    return ResultRow(name, percent(before), percent(after), change)
