"""What the YOLO layers share: overlaps of (x, y, w, h) boxes, ground truth, detection rows.

MobileNet-YOLO: region_loss_layer.hpp, bbox_util.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from adaption.errors import ShapeError
from adaption.later import Tensor, np, npt, torch

__all__ = ["Array", "check_labels_of", "detection_rows", "iou", "sigmoid", "truths"]

Array: TypeAlias = "npt.NDArray[np.floating[Any]]"


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    y: Array = 1 / (1 + np.exp(-x))
    return y


def iou(a: Array, b: Array) -> Array:
    """Overlap of boxes with centres (..., 4), broadcast against each other; 0 apart."""
    low = np.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = np.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    sides = high - low
    common = np.where((sides < 0).any(-1), 0, sides.prod(-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        shared: Array = common / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common)
    return shared


def check_labels_of(x: tuple[int, ...], label: tuple[int, ...]) -> None:
    """Raise ShapeError unless `label` holds rows of class, x, y, w, h for each sample of x."""
    if len(label) < 2 or label[0] != x[0] or label[-1] != 5:
        raise ShapeError(f"labels have shape {label}, allowed: ({x[0]}, ..., 5)")


def truths(rows: Array, stop: int) -> Iterator[Array]:
    """The rows (class, x, y, w, h) before the first whose column `stop` is 0."""
    for row in rows:
        if not row[stop]:
            return
        yield row


def detection_rows(
    boxes: Array, scores: Array, classes: Array, threshold: float, batch: int, like: Tensor
) -> Tensor:
    """Top (1, 1, K, 7): 0, class + 1, score, xmin, ymin, xmax, ymax, best score first.

    A box is dropped when it overlaps a kept one by `threshold` or more, of whatever class. The
    images of a batch are not told apart. Nothing found: one row [image, -1, ...] per image.
    """
    if not len(scores):
        none = torch.full((1, 1, batch, 7), -1.0, dtype=like.dtype, device=like.device)
        none[..., 0] = torch.arange(batch, device=like.device)
        return none
    order = np.argsort(-scores, kind="stable")
    boxes, scores, classes = boxes[order], scores[order], classes[order]
    left = np.ones(len(order), dtype=bool)
    for i in range(len(order)):
        if left[i]:
            left[i + 1 :] &= ~(iou(boxes[i], boxes[i + 1 :]) >= threshold)
    boxes = boxes[left]
    half = boxes[:, 2:] / 2
    found = np.column_stack(
        [
            np.zeros(len(boxes)),
            classes[left] + 1,
            scores[left],
            boxes[:, :2] - half,
            boxes[:, :2] + half,
        ]
    )
    return torch.from_numpy(found).to(like)[None, None]
