"""Geometry of boxes that the detection layers share: overlap, suppression, coding by priors.

A box is xmin, ymin, xmax, ymax. SSD's boxes are shares of the image (bbox_util.cpp); those of the
R-CNN family are pixels, whose last one belongs to the box: see `pixel_overlap`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adaption.errors import FieldError, ShapeError

__all__ = ["Priors", "best_first", "overlap", "pixel_overlap", "read_priors", "size", "suppress"]

Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Overlap = Callable[[Array, Array], Array]

MATRIX_LIMIT = 1024  # boxes up to which all overlaps at once are faster than row after row


def size(boxes: Array) -> Array:
    """Areas of boxes (..., 4); a box that ends before it starts has none. SSD: BBoxSize."""
    sides = boxes[..., 2:] - boxes[..., :2]
    area: Array = sides[..., 0] * sides[..., 1]
    return np.where((sides < 0).any(-1), np.float32(0), area)


def overlap(a: Array, b: Array) -> Array:
    """Intersection over union of boxes (..., 4) that broadcast. SSD: JaccardOverlap."""
    return _ratio(_common(a, b, 0), size(a), size(b))


def pixel_overlap(a: Array, b: Array) -> Array:
    """As `overlap`, of pixel boxes: a side is end - start + 1. Fast R-CNN: py_cpu_nms.py."""
    return _ratio(_common(a, b, 1), _pixels(a), _pixels(b))


def _common(a: Array, b: Array, last: int) -> Array:
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]) + last
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]) + last
    common: Array = np.maximum(width, 0) * np.maximum(height, 0)
    return common


def _pixels(boxes: Array) -> Array:
    area: Array = (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)
    return area


def _ratio(common: Array, a: Array, b: Array) -> Array:
    union = a + b - common
    return np.divide(common, union, out=np.zeros_like(union), where=common > 0)


def suppress(
    boxes: Array,
    threshold: float,
    *,
    eta: float = 1.0,
    limit: int | None = None,
    overlap: Overlap = overlap,
) -> list[int]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (n, 4), best first.
        threshold: a box is kept while its overlap with every kept one is at most this.
        eta: below 1, what a threshold above 0.5 is multiplied by after each kept box.
        limit: how many to keep at most.
    Returns: indices of the kept boxes, best first.
    Source: SSD bbox_util.cpp, ApplyNMSFast.
    """
    count = len(boxes)
    every = overlap(boxes[:, None], boxes[None]) if count <= MATRIX_LIMIT else None
    worst = np.zeros(count, np.float32)  # overlap of each box with the kept one closest to it
    bound, factor = np.float32(threshold), np.float32(eta)
    kept: list[int] = []
    for i in range(count):
        if len(kept) == limit:
            break
        if not worst[i] <= bound:
            continue
        kept.append(i)
        rest = every[i, i:] if every is not None else overlap(boxes[i], boxes[i:])
        np.maximum(worst[i:], rest, out=worst[i:])
        if factor < 1 and bound > 0.5:
            bound *= factor
    return kept


def best_first(scores: Array, count: int | None = None) -> Indices:
    """Indices of the `count` highest scores, highest first; of equal ones the first comes first."""
    if count is None or count >= len(scores):
        return np.argsort(-scores, kind="stable")
    if count <= 0:
        return np.zeros(0, np.intp)
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    among = np.flatnonzero(scores >= least)
    return among[np.argsort(-scores[among], kind="stable")][:count]


class Priors:
    """Prior boxes (P, 4) and their variances (P, 4); predictions are coded relative to them.

    Args:
        code: CORNER, CENTER_SIZE or CORNER_SIZE.
        plain: variance_encoded_in_target; predictions leave the variances out.
    Source: SSD bbox_util.cpp, EncodeBBox and DecodeBBox.
    """

    def __init__(self, boxes: Tensor, variances: Tensor, code: str, *, plain: bool) -> None:
        self.boxes = boxes
        self.variances = variances
        self.code = code
        self.plain = plain
        self.sides = boxes[:, 2:] - boxes[:, :2]
        if code != "CORNER" and not bool((self.sides > 0).all()):
            raise FieldError("smallest side of a prior box", self.sides.min().item(), "above 0")

    def __len__(self) -> int:
        return len(self.boxes)

    def decode(self, x: Tensor) -> Tensor:
        """Boxes (..., P, 4) of predictions (..., P, 4)."""
        if not self.plain:
            x = self.variances * x
        if self.code == "CORNER":
            return self.boxes + x
        if self.code == "CORNER_SIZE":
            return self.boxes + x * self.sides.repeat(1, 2)
        middle = x[..., :2] * self.sides + (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        half = x[..., 2:].exp() * self.sides / 2
        return torch.cat([middle - half, middle + half], -1)

    def encode(self, boxes: Tensor, at: Tensor) -> Tensor:
        """What predicts each of `boxes` (M, 4) by the prior with index `at` (M,)."""
        prior, sides = self.boxes[at], self.sides[at]
        if self.code == "CORNER":
            made = boxes - prior
        elif self.code == "CORNER_SIZE":
            made = (boxes - prior) / sides.repeat(1, 2)
        else:
            own = boxes[:, 2:] - boxes[:, :2]
            if not bool((own > 0).all()):
                raise FieldError("smallest side of a matched box", own.min().item(), "above 0")
            shift = (boxes[:, :2] + boxes[:, 2:]) / 2 - (prior[:, :2] + prior[:, 2:]) / 2
            made = torch.cat([shift / sides, (own / sides).log()], 1)
        return made if self.plain else made / self.variances[at]


def read_priors(prior: Tensor, code: str, *, plain: bool) -> Priors:
    """Priors from a PriorBox top (1, 2, 4 P): boxes, then variances."""
    boxes, variances = prior.detach().reshape(2, -1, 4)
    return Priors(boxes, variances, code, plain=plain)


def count_priors(prior: tuple[int, ...]) -> int:
    """P of a PriorBox top of this shape. Raises: ShapeError."""
    if len(prior) < 3 or prior[:2] != (1, 2) or prior[2] % 4 or set(prior[3:]) - {1}:
        raise ShapeError(f"the priors have shape {prior}, allowed: (1, 2, 4 times their number)")
    return prior[2] // 4


def check_predictions(name: str, shape: tuple[int, ...], priors: int, each: int) -> None:
    """Raise ShapeError unless `shape` holds `each` numbers per prior and sample."""
    found = int(np.prod(shape[1:], dtype=np.int64))
    if len(shape) < 2 or found != priors * each:
        raise ShapeError(
            f"{name} has shape {shape}, allowed: (N, {priors * each}) for {priors} priors",
            "with the right num_classes, this net's PriorBox may be another fork's (dialect=...)",
        )


def to_array(x: Tensor) -> NDArray[Any]:
    """The values of a tensor on any device, as an array that may share its memory."""
    array: NDArray[Any] = x.detach().cpu().numpy()
    return array
