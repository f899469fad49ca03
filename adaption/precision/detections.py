"""How the boxes that a quantized detector gives differ from the float one's.

Rows are (image, class, score, xmin, ymin, xmax, ymax), as DetectionOutput and its like give them. A
box of the float net is matched with that of the quantized one, of the same image and class, which
overlaps it most, by 0.5 at least (the overlap at which PASCAL VOC counts a box as found); boxes of
higher scores choose first, and each is chosen once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["compare_detections"]

Array = NDArray[Any]

OVERLAP = 0.5  # intersection over union
SURE = 0.5  # scores from here on are told of on their own


@dataclass
class _Count:
    boxes: int = 0  # of the float net
    others: int = 0  # of the quantized one
    matched: int = 0
    overlap: float = 0.0
    score_error: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "boxes": self.boxes,
            "boxes_quantized": self.others,
            "matched": self.matched,
            "matched_share": self.matched / self.boxes if self.boxes else None,
            "mean_overlap": self.overlap / self.matched if self.matched else None,
            "mean_score_error": self.score_error / self.matched if self.matched else None,
        }


def compare_detections(pairs: Iterable[tuple[Array, Array]]) -> dict[str, Any]:
    """Compare boxes of two nets, batch by batch.

    Args:
        pairs: per batch the rows of the float and of the quantized net, (..., 7).
    Returns: boxes of both, how many are matched, mean overlap and mean absolute difference of the
        scores of the matched; the same under "sure" for float boxes of a score of 0.5 and more.
    """
    every, sure = _Count(), _Count()
    for reference, other in pairs:
        a, b = (_boxes(rows) for rows in (reference, other))
        for count, least in ((every, -np.inf), (sure, SURE)):
            count.boxes += int((a[:, 2] >= least).sum())
            count.others += int((b[:, 2] >= least).sum())
        for mine, found, overlap in _matches(a, b):
            error = abs(float(mine[2] - found[2]))
            for count in (every, sure) if mine[2] >= SURE else (every,):
                count.matched += 1
                count.overlap += overlap
                count.score_error += error
    return {**every.to_dict(), "sure": {"least_score": SURE, **sure.to_dict()}}


def _boxes(rows: Array) -> Array:
    """The rows that are boxes; without any detection there is one of class -1."""
    flat = np.asarray(rows, np.float64).reshape(-1, 7)
    return flat[flat[:, 1] >= 0]


def _matches(a: Array, b: Array) -> Iterable[tuple[Array, Array, float]]:
    free = np.ones(len(b), bool)
    for row in a[np.argsort(-a[:, 2], kind="stable")]:
        alike = np.flatnonzero(free & (b[:, 0] == row[0]) & (b[:, 1] == row[1]))
        if not len(alike):
            continue
        overlaps = _overlap(row[3:], b[alike, 3:])
        best = int(overlaps.argmax())
        if overlaps[best] >= OVERLAP:
            free[alike[best]] = False
            yield row, b[alike[best]], float(overlaps[best])


def _overlap(box: Array, others: Array) -> Array:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    sizes = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(1)
    union = np.clip(box[2:] - box[:2], 0, None).prod() + sizes - common
    made: Array = np.where(union > 0, common / np.where(union > 0, union, 1), 0.0)
    return made
