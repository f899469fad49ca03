"""Proposal: regions from scores and deltas of anchors, as PVANet computes them in C++.

Bottoms: scores (1, 2 A, H, W), the second half those of an object, deltas (1, 4 A, H, W) and
im_info (1, 4): height, width and the scales of both; tops: regions (R, 5) whose first number is the
image, 0, and optionally their scores (R,). A region that is too small keeps its place with a score
of 0. Source: proposal_layer.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from adaption.errors import FieldError
from adaption.later import Tensor, np, npt, torch
from adaption.layers.anchors import base_anchors, cells_first, check_bottoms, move, place, sides
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.boxes import best_first, pixel_overlap, suppress, to_array

Indices: TypeAlias = "npt.NDArray[np.intp]"


@layer(
    "Proposal",
    param="proposal_param",
    kind="other",
    bottoms=3,
    tops=(1, 2),
    is_differentiable=False,
    no_gradient=(0, 1, 2),
)
@dataclass(frozen=True)
class Proposal(Layer):
    feat_stride: int
    base_size: int
    min_size: int
    ratio: tuple[float, ...]
    scale: tuple[float, ...]
    pre_nms_topn: int
    post_nms_topn: int
    nms_thresh: float

    def check(self) -> None:
        for name in ("ratio", "scale"):
            values = getattr(self, name)
            if not values or min(values) <= 0:
                raise FieldError(
                    f"proposal_param.{name}", list(values), "one or more numbers above 0"
                )
        for name in ("feat_stride", "base_size", "pre_nms_topn", "post_nms_topn"):
            if getattr(self, name) < 1:
                raise FieldError(f"proposal_param.{name}", getattr(self, name), "1 or more")

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        check_bottoms(len(self.ratio) * len(self.scale), 4, *bottoms)
        count = self.post_nms_topn
        return [(count, 5), (count,)][: len(self.spec.tops)]

    def forward(self, *tensors: Tensor) -> Any:
        scores, deltas, (info,) = (to_array(t) for t in tensors)
        anchors = base_anchors(self.base_size, self.ratio, self.scale, _round)
        boxes = place(anchors, self.feat_stride, *scores.shape[2:])
        boxes = move(boxes, cells_first(deltas, 4), info[0], info[1])
        of_object = cells_first(scores[:, len(anchors) :], 1)[:, 0]
        least = np.float32(self.min_size) * info[[3, 2]]
        of_object = of_object * (sides(boxes) >= least).all(1)
        order = _order(of_object, self.pre_nms_topn)
        kept = suppress(
            boxes[order], self.nms_thresh, limit=self.post_nms_topn, overlap=pixel_overlap
        )
        order = order[kept]
        regions = np.insert(boxes[order], 0, 0, axis=1)
        made = [torch.from_numpy(t).to(tensors[0]) for t in (regions, of_object[order])]
        return tuple(made[: len(self.spec.tops)])


def _round(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.trunc(x + 0.5)


def _order(scores: npt.NDArray[np.float32], count: int) -> Indices:
    """The `count` best, in the order that the original's sort gives equal ones."""
    order = best_first(scores, count + 1)
    of_order = scores[order]
    if (of_order[1:] == of_order[:-1]).any():
        order = _quicksort(scores, count)
    return order[:count]


def _quicksort(scores: npt.NDArray[np.float32], count: int) -> Indices:
    """Indices by falling score; of a partition behind the first `count`, in any order.

    The original's quicksort (sort_box) is not stable, and its regions with a score of 0 come out in
    the order it leaves them in: pivot is the first, elements equal to it are passed over.
    """
    values, order = scores.tolist(), list(range(len(scores)))
    ranges = [(0, len(values) - 1)]
    while ranges:
        start, end = ranges.pop()
        pivot = values[start]
        if all(v == pivot for v in values[start : end + 1]):
            continue
        left, right = start + 1, end
        while left <= right:
            while left <= end and values[left] >= pivot:
                left += 1
            while right > start and values[right] <= pivot:
                right -= 1
            if left <= right:
                _swap(values, left, right)
                _swap(order, left, right)
                left, right = left + 1, right - 1
        if right > start:
            _swap(values, start, right)
            _swap(order, start, right)
        if start < right - 1:
            ranges.append((start, right - 1))
        if right + 1 < count and right + 1 < end:
            ranges.append((right + 1, end))
    return np.array(order, np.intp)


def _swap(items: list[Any], i: int, j: int) -> None:
    items[i], items[j] = items[j], items[i]
