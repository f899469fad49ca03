"""Region: rotated text boxes of a head, and their loss. DeepTextSpotter: region_layer.cpp.

Bottoms: the head (N, H, W, K (coords + 1 + classes)), ground truth (N, M, 6) of x, y, w, h, angle,
class; class -1 is no box, -10 unknown text. Tops: loss (1, 1, 1, 1), 0 in TEST; boxes (N, 1, 500,
15) of x, y, w, h, angle, score, class, index in the image's head, marked by NMS, six classes; the
head with objectness and, with `softmax`, classes activated. The score is the objectness squared.

The loss is a sum, not divided by the batch. In the original the gradient does not depend on the
loss weight; `original_semantics` reproduces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import ShapeError
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Runtime, Shape, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.yolo_boxes import Array, iou, sigmoid

_MAX_BOXES, _COLUMNS, _SHOWN_CLASSES = 500, 15, 6
_LEAST_SCORE = 0.01
_AXIS_ALIGNED = -50  # an angle below says that only an upright box is known
_ANCHORS = (  # width and height in cells: region_layer.cpp, LayerSetUp
    *((0.317539695732, 0.493652380857), (0.66545245494, 0.357112901109)),
    *((1.01046388351, 0.512909981333), (1.3496335045, 0.322306706382)),
    *((1.58891134384, 0.581019084508), (1.20785566117, 1.02485042068)),
    *((2.28320153664, 0.813839044484), (2.5279678299, 0.442826767368)),
    *((3.01451020961, 1.34187668082), (3.79487918772, 0.78852430371)),
    *((4.7935325462, 3.01837445215), (6.1298771774, 1.41297354615)),
    *((10.4140073713, 2.29083421664), (12.1392691662, 5.06897667207)),
)
_EXPANDED = ((0.75, 0.25), (0.25, 0.25), (0.5, 0.5), (0.75, 0.75), (0.75, 0.25))


@layer(
    "Region", param="region_param", kind="loss", bottoms=2, tops=3, is_loss=True, no_gradient=(1,)
)
@dataclass(frozen=True)
class Region(Layer):
    classes: int
    coords: int
    boxes_of_each_grid: int
    softmax: bool
    nms_threshold: float
    expand_bias: bool
    object_scale: float

    @property
    def anchors(self) -> tuple[Array, Array]:
        """Sizes in cells and shifts within the cell of each box, both (K, 2)."""
        sizes = np.array(_ANCHORS, np.float32)
        if not self.expand_bias:
            return sizes[: self.boxes_of_each_grid], np.zeros_like(sizes[: self.boxes_of_each_grid])
        # The original stops half way through its list.
        pairs = [
            (size, shift)
            for size in sizes[: len(sizes) // 2]
            for shift in (_EXPANDED if size.min() < 0.5 else ((0.0, 0.0),))
        ]
        return np.stack([p[0] for p in pairs]), np.array([p[1] for p in pairs], np.float32)

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        x, truth = bottoms
        wide = len(self.anchors[0]) * (self.coords + 1 + self.classes)
        if self.coords < 4 or len(x) != 4 or x[3] != wide:
            raise ShapeError(f"the head has shape {x}, allowed: (N, H, W, {wide})")
        if len(truth) < 2 or truth[0] != x[0] or truth[-1] != 6:
            raise ShapeError(f"the ground truth has shape {truth}, allowed: ({x[0]}, M, 6)")
        return [(1, 1, 1, 1), (x[0], 1, _MAX_BOXES, _COLUMNS), x]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        x, truth = tensors
        heads = [_Head(self, image) for image in x.detach().cpu().numpy()]
        boxes = np.stack([head.rows(self.nms_threshold) for head in heads])[:, None]
        active = np.stack([head.values.reshape(x.shape[1:]) for head in heads])
        if runtime.training:
            images = truth.detach().cpu().numpy().reshape(x.shape[0], -1, 6)
            for head, rows in zip(heads, images, strict=True):
                head.add_truths(rows)
        deltas = torch.from_numpy(np.stack([head.deltas for head in heads]).reshape(x.shape)).to(x)
        loss = x.new_full((1, 1, 1, 1), sum(head.loss for head in heads))
        if runtime.training:
            is_fixed = runtime.original_semantics
            loss = own_gradient(loss, lambda grad: (deltas * (1 if is_fixed else grad),), x)
        return loss, torch.from_numpy(boxes).to(x), torch.from_numpy(active).to(x)


class _Head:
    """One image: values and deltas (H, W, K, coords + 1 + classes), boxes (H, W, K, 4)."""

    def __init__(self, param: Region, image: Array) -> None:
        self.param = p = param
        self.height, self.width = image.shape[:2]
        sizes, shifts = p.anchors
        raw = image.reshape(self.height, self.width, len(sizes), -1)
        self.values = values = raw.copy()
        values[..., p.coords] = sigmoid(raw[..., p.coords])
        if p.softmax:
            scores = raw[..., p.coords + 1 :]
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            values[..., p.coords + 1 :] = shares / shares.sum(-1, keepdims=True)
        self.norm = np.sqrt(np.asarray(self.height**2 + self.width**2, raw.dtype))
        self.sizes, self.shifts = (a.astype(raw.dtype) for a in (sizes / self.norm, shifts))
        row, column = np.meshgrid(np.arange(self.height), np.arange(self.width), indexing="ij")
        # The shift is added behind the sigmoid along x, before it along y.
        x = (column[..., None] + sigmoid(raw[..., 0]) + self.shifts[:, 0]) / self.width
        y = (row[..., None] + sigmoid(raw[..., 1] + self.shifts[:, 1])) / self.height
        sides = np.exp(raw[..., 2:4]) * self.sizes
        self.boxes = np.concatenate([np.stack([x, y], -1), sides], -1).astype(raw.dtype)
        self.deltas = np.zeros_like(values)
        self.loss = 0.0

    def rows(self, threshold: float) -> Array:
        """The top's rows: boxes that no better one of their class covers first, then by score."""
        p = self.param
        flat = self.values.reshape(-1, self.values.shape[-1])
        objectness = flat[:, p.coords]
        index = np.nonzero(objectness**2 >= _LEAST_SCORE)[0]
        index = index[np.argsort(-(objectness[index] ** 2), kind="stable")]
        boxes = self.boxes.reshape(-1, 4)[index]
        shares = flat[index, p.coords + 1 :] * objectness[index, None]
        best = shares.argmax(1) if len(index) else np.zeros(0, np.int64)
        marked = np.zeros(len(index))
        for i in range(len(index)):
            covered = iou(boxes[i], boxes[i + 1 :]) >= threshold
            marked[i + 1 :][covered & (best[i + 1 :] == best[i])] = 1
        top = np.zeros((_MAX_BOXES, _COLUMNS), flat.dtype)
        order = np.argsort(marked, kind="stable")[:_MAX_BOXES]
        found = top[: len(order)]
        found[:, :4] = boxes[order]
        if p.coords > 4:
            found[:, 4] = flat[index[order], 4]
        found[:, 5] = objectness[index[order]] ** 2
        found[:, 6] = best[order]
        found[:, 7] = index[order] * flat.shape[1]
        found[:, 8] = marked[order]
        shown = min(_SHOWN_CLASSES, p.classes)
        found[:, 9 : 9 + shown] = shares[order, :shown]
        return top

    def add_truths(self, rows: Array) -> None:
        objectness = self.values[..., self.param.coords]
        if not len(rows) or int(rows[0, 5]) != -10:
            self.deltas[..., self.param.coords] = objectness * _slope(objectness)
            self.loss += float(np.square(objectness).sum())
        for row in rows:
            x, y, w, h = row[:4]
            column, line = int(x * self.width), int(y * self.height)
            inside = 0 <= column < self.width and 0 <= line < self.height
            if (x == 0 and y == 0) or int(row[5]) == -1 or not inside:
                continue
            if 0 < w <= 1 and 0 < h <= 1:
                self._add_truth(row, column, line)

    def _add_truth(self, row: Array, column: int, line: int) -> None:
        p, truth = self.param, row[:4]
        n = self._anchor(row, column, line)
        values, deltas = self.values[line, column, n], self.deltas[line, column, n]
        box = self.boxes[line, column, n]
        shared = float(iou(box, truth))
        self._pull(deltas, values, row, (column, line), n)
        objectness = float(values[p.coords])
        if deltas[p.coords] > 0:
            self.loss -= objectness**2
        self.loss += (shared - objectness) ** 2
        deltas[p.coords] = -p.object_scale * (shared - objectness) * _slope(objectness)
        label = 1 if int(row[5]) == -10 else int(row[5])
        deltas[p.coords + 1 :] = values[p.coords + 1 :] - (np.arange(p.classes) == label)

    def _anchor(self, row: Array, column: int, line: int) -> int:
        """The anchor that overlaps most: at the origin, or where it is shifted, in its place."""
        if row[4] < _AXIS_ALIGNED:
            return 0  # the original rounds the anchors to whole images, so all are alike
        at = np.where(self.shifts.any(1, keepdims=True), self.boxes[line, column, :, :2], 0)
        wanted = np.where(self.shifts.any(1, keepdims=True), row[:2], 0)
        sides = np.broadcast_to(row[2:4], at.shape)
        overlaps = iou(np.concatenate([at, self.sizes], 1), np.concatenate([wanted, sides], 1))
        return int(np.nan_to_num(overlaps).argmax())

    def _pull(
        self, deltas: Array, values: Array, row: Array, cell: tuple[int, int], n: int
    ) -> None:
        place = sigmoid(values[:2] + self.shifts[n])
        wanted = row[:2] * (self.width, self.height) - cell
        deltas[:2] = -(wanted - place) * _slope(place)
        sides = np.log(row[2:4] / self.sizes[n]) - values[2:4]
        if self.param.coords > 4 and row[4] < _AXIS_ALIGNED:
            if row[2] > self.boxes[cell[1], cell[0], n, 2]:
                deltas[2] = -sides[0]
            return
        deltas[2:4] = -sides
        if self.param.coords > 4:
            turn = float(row[4] - values[4])
            while turn > 2 * np.pi:
                turn -= 2 * np.pi
            while turn < -2 * np.pi:
                turn += 2 * np.pi
            deltas[4] = -turn


def _slope(s: Any) -> Any:
    """Derivative of the sigmoid whose value is s."""
    return (1 - s) * s
