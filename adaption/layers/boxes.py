"""Geometry of boxes that the detection layers share: overlap, suppression, coding by priors.

A box is xmin, ymin, xmax, ymax; `overlap` and `size` take boxes by columns, (4, ...). SSD's are
shares of the image (bbox_util.cpp); those of the R-CNN family are pixels, whose last one belongs to
the box: see `pixel_overlap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np, npt, torch

__all__ = [
    "Priors",
    "best_first",
    "check_boxes",
    "check_predictions",
    "count_priors",
    "of_any_values",
    "overlap",
    "pixel_overlap",
    "read_priors",
    "size",
    "suppress",
    "to_array",
]

P = ParamSpec("P")
R = TypeVar("R")

Array: TypeAlias = "npt.NDArray[np.float32]"
Indices: TypeAlias = "npt.NDArray[np.intp]"
Overlap = Callable[[Array, Array], Array]

BLOCK = 64  # boxes that are compared with each other at once, as many as an integer has bits


def of_any_values(call: Callable[P, R]) -> Callable[P, R]:
    """Let numpy be silent about NaN and infinities: predictions may be anything."""

    @wraps(call)
    def silent(*args: P.args, **keywords: P.kwargs) -> R:
        with np.errstate(invalid="ignore", over="ignore"):
            return call(*args, **keywords)

    return silent


def size(boxes: Array) -> Array:
    """Areas of boxes (4, ...); a box that ends before it starts has none. SSD: BBoxSize."""
    x1, y1, x2, y2 = boxes
    area: Array = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    return area


def overlap(a: Array, b: Array) -> Array:
    """Intersection over union of boxes (4, ...) that broadcast. SSD: JaccardOverlap."""
    return _ratio(a, b, size(a), size(b), 0)


def pixel_overlap(a: Array, b: Array) -> Array:
    """As `overlap`, of pixel boxes: a side is end - start + 1. Fast R-CNN: py_cpu_nms.py."""
    return _ratio(a, b, _pixels(a), _pixels(b), 1)


def _pixels(boxes: Array) -> Array:
    x1, y1, x2, y2 = boxes
    area: Array = (x2 - x1 + 1) * (y2 - y1 + 1)
    return area


def _ratio(a: Array, b: Array, area_a: Array, area_b: Array, last: int) -> Array:
    common = _side(np.minimum(a[2], b[2]), np.maximum(a[0], b[0]), last)
    common *= _side(np.minimum(a[3], b[3]), np.maximum(a[1], b[1]), last)
    union = area_a + area_b
    union -= common
    # Without anything in common both may be 0.
    np.copyto(union, 1, where=common == 0)
    common /= union
    return common


def _side(end: Array, start: Array, last: int) -> Array:
    end -= start
    if last:
        end += last
    return np.maximum(end, 0, out=end)


@of_any_values
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
    bound, factor = np.float32(threshold), np.float32(eta)
    columns = np.ascontiguousarray(boxes.T)
    left = np.arange(len(boxes))
    worst = np.zeros(len(boxes), np.float32)  # of each box left, its overlap with any kept one
    kept: list[int] = []
    while len(left) and len(kept) != limit:
        is_left = worst <= bound
        left, worst = left[is_left], worst[is_left]
        is_moving = factor < 1 and bound > 0.5
        count = 1 if is_moving else BLOCK
        block, left, worst = left[:count], left[count:], worst[count:]
        own = columns[:, block]
        chosen = _greedy(~(overlap(own[:, :, None], own[:, None]) <= bound))
        chosen = chosen[: None if limit is None else limit - len(kept)]
        kept += block[chosen].tolist()
        if chosen and len(left):
            far = overlap(own[:, chosen, None], columns[:, None, left]).max(0)
            worst = np.maximum(worst, far)
        if chosen and is_moving:
            bound *= factor
    return kept


def _greedy(excludes: npt.NDArray[np.bool_]) -> list[int]:
    """Indices that no chosen one before them excludes; at most BLOCK of them, (n, n)."""
    padded = np.zeros((len(excludes), BLOCK), bool)
    padded[:, : len(excludes)] = excludes
    masks = np.packbits(padded, axis=1, bitorder="little").view("<u8")[:, 0].tolist()
    out, chosen = 0, []
    for i, mask in enumerate(masks):
        if not out >> i & 1:
            chosen.append(i)
            out |= mask
    return chosen


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


def to_array(x: Tensor) -> npt.NDArray[Any]:
    """The values of a tensor on any device, as an array that may share its memory."""
    array: npt.NDArray[Any] = x.detach().cpu().numpy()
    return array


def check_boxes(what: str, shape: Sequence[int]) -> None:
    """Raise ShapeError unless `shape` holds five numbers per box: what a pass finds, since data
    layers of one's own may give another shape before it."""
    if len(shape) < 2 or shape[1] != 5 or set(shape[2:]) - {1}:
        raise ShapeError(f"the {what} have shape {tuple(shape)}, allowed: (n, 5)")
