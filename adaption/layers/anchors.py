"""Region proposals: anchors, moved by predictions, best first, without overlaps. Faster R-CNN.

Boxes are in pixels of the net's input, x1, y1, x2, y2, and both corners belong to the box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from adaption.errors import ShapeError
from adaption.later import np, npt, torch
from adaption.layers.base import Shape
from adaption.layers.boxes import of_any_values

__all__ = [
    "base_anchors",
    "cells_first",
    "check_bottoms",
    "draw",
    "move",
    "moves",
    "place",
    "sides",
]

Array: TypeAlias = "npt.NDArray[np.float32]"


def base_anchors(
    size: int,
    ratios: Sequence[float],
    scales: Sequence[float],
    round_: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None = None,
) -> npt.NDArray[np.float64]:
    """Anchors (A, 4) of the first cell: every ratio (height over width), every scale of it.

    Args:
        size: side of the square that is scaled; its first pixel is (0, 0).
        round_: how the sides at scale 1 become whole pixels; None: half to even.
    Source: py-faster-rcnn generate_anchors.py.
    """
    round_ = round_ or np.rint
    ratio = np.array(ratios, np.float64)
    width = round_(np.sqrt(size * size / ratio))
    both = np.stack([width, round_(width * ratio)], 1)  # (ratios, 2)
    half = (both[:, None] * np.array(scales, np.float64)[:, None] - 1) / 2
    middle = (size - 1) / 2
    return np.concatenate([middle - half, middle + half], 2).reshape(-1, 4)


def place(anchors: npt.NDArray[np.float64], stride: int, height: int, width: int) -> Array:
    """The anchors of each cell, (height width A, 4)."""
    y, x = np.mgrid[:height, :width] * stride
    shifts = np.stack([x, y, x, y], 2).reshape(-1, 1, 4)
    placed: Array = (anchors + shifts).reshape(-1, 4).astype(np.float32)
    return placed


@of_any_values
def move(boxes: Array, deltas: Array, height: float, width: float) -> Array:
    """Boxes moved and scaled by predictions (n, 4), cut to the image. Source: bbox_transform.py."""
    side = sides(boxes)
    middle = deltas[:, :2] * side + (boxes[:, :2] + np.float32(0.5) * side)
    half = np.float32(0.5) * (np.exp(deltas[:, 2:]) * side)
    made = np.concatenate([middle - half, middle + half], 1)
    last = np.array([width - 1, height - 1] * 2, np.float32)
    cut: Array = np.maximum(np.minimum(made, last), 0)
    return cut


def moves(boxes: Array, true: Array) -> Array:
    """What `move` is to be given for each box to become its true box, (n, 4).

    Source: lib/fast_rcnn/bbox_transform.py.
    """
    side, true_side = sides(boxes), sides(true)
    middle = boxes[:, :2] + 0.5 * side
    shift = (true[:, :2] + 0.5 * true_side - middle) / side
    made: Array = np.concatenate([shift, np.log(true_side / side)], 1).astype(np.float32)
    return made


def draw(
    items: npt.NDArray[np.intp], count: int, generator: torch.Generator | None
) -> npt.NDArray[np.intp]:
    """At most so many of the items, each as likely as any other."""
    if len(items) <= count:
        return items
    order: npt.NDArray[np.intp] = torch.randperm(len(items), generator=generator).numpy()
    return np.asarray(items[order[:count]])


def sides(boxes: Array) -> Array:
    """Width and height of each box, (n, 2)."""
    found: Array = boxes[:, 2:] - boxes[:, :2] + 1
    return found


def cells_first(x: npt.NDArray[Any], each: int) -> npt.NDArray[Any]:
    """Predictions (1, A each, H, W) in the order of `place`: (H W A, each)."""
    return x.transpose(0, 2, 3, 1).reshape(-1, each)


def check_bottoms(count: int, info: int, scores: Shape, deltas: Shape, im_info: Shape) -> None:
    """Raise ShapeError unless the bottoms are those of a proposal layer with `count` anchors."""
    wanted = (1, 2 * count, *scores[2:])
    if len(scores) != 4 or scores != wanted:
        raise ShapeError(
            f"the scores have shape {scores}, allowed: (1, {2 * count}, H, W) for {count} anchors"
            " and one image"
        )
    if deltas != (1, 4 * count, *scores[2:]):
        raise ShapeError(f"the deltas have shape {deltas}, allowed: {(1, 4 * count, *scores[2:])}")
    if len(im_info) < 2 or im_info[1] < info or set(im_info[2:]) - {1}:
        raise ShapeError(f"im_info has shape {im_info}, allowed: (1, {info})")
