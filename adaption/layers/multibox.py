"""Which prior learns which object, and which priors count at all. SSD: bbox_util.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from adaption.errors import FieldError
from adaption.later import np, npt
from adaption.layers.boxes import best_first, of_any_values, overlap, size, suppress

__all__ = ["NONE", "Objects", "hardest", "match", "read_objects"]

Array: TypeAlias = "npt.NDArray[np.float32]"
Indices: TypeAlias = "npt.NDArray[np.intp]"

NONE = -1  # a prior without an object: background
LEFT_OUT = -2  # a prior that is neither

LEAST_OVERLAP = 1e-6  # MatchBBox: a pair with less does not overlap
LEAST_SIZE = 1e-5  # ApplyNMS: smaller boxes are dropped


@dataclass(frozen=True)
class Objects:
    """The ground truth of a batch: images (G,), labels (G,), boxes (G, 4)."""

    images: Indices
    labels: Indices
    boxes: Array

    def __len__(self) -> int:
        return len(self.labels)


def read_objects(rows: Array, background: int, *, use_difficult: bool) -> Objects:
    """Objects from rows (M, 8): image (-1: no object), label, instance, box, difficult.

    Raises: FieldError when an object has the background's label.
    """
    rows = rows[(rows[:, 0].astype(int) != -1) & (use_difficult | (rows[:, 7] == 0))]
    labels = rows[:, 1].astype(int)
    if (labels == background).any():
        raise FieldError("label of an object", background, "any but background_label_id")
    return Objects(rows[:, 0].astype(int), labels, rows[:, 3:7])


@of_any_values
def match(
    truth: Array, boxes: Array, *, threshold: float | None, ignore_cross_boundary: bool
) -> tuple[Indices, Array]:
    """Match boxes (P, 4) with ground truth (G, 4): the best pairs first, each object once.

    Args:
        threshold: then each other box gets the object it overlaps most, if by at least this;
            None leaves it at the pairs (match_type BIPARTITE).
    Returns: for each box the index of its object, NONE or LEFT_OUT (P,), and its overlap (P,).
    """
    pairs = overlap(boxes.T[:, :, None], truth.T[:, None])
    pairs[~(pairs > LEAST_OVERLAP)] = 0
    index = np.full(len(boxes), NONE)
    if ignore_cross_boundary:
        is_outside = ((boxes < 0) | (boxes > 1)).any(1)
        index[is_outside] = LEFT_OUT
        pairs[is_outside] = 0
    best = pairs.max(1, initial=0)
    left = pairs.copy()
    for _ in range(len(truth)):
        prior, found = divmod(int(left.argmax()), len(truth))
        if left[prior, found] <= 0:
            break
        index[prior], best[prior] = found, left[prior, found]
        left[prior], left[:, found] = 0, 0
    if threshold is not None and len(truth):
        learns = (index == NONE) & (best > 0) & (best >= np.float32(threshold))
        index[learns] = pairs.argmax(1)[learns]
    return index, best


def hardest(
    loss: Array,
    eligible: Indices,
    count: int,
    *,
    boxes: Array | None = None,
    threshold: float = 0,
    top_k: int | None = None,
) -> Indices:
    """The `count` priors of the largest loss (P,) among `eligible`.

    Args:
        boxes: (P, 4), given when boxes that overlap a harder one by more than `threshold` are
            passed over; then only the `top_k` of the largest loss are looked at.
    """
    if boxes is None:
        return eligible[best_first(loss[eligible], count)]
    order = eligible[best_first(loss[eligible], top_k)]
    with np.errstate(invalid="ignore", over="ignore"):
        order = order[size(boxes[order].T) >= LEAST_SIZE]
    return order[suppress(boxes[order], threshold, limit=count)]
