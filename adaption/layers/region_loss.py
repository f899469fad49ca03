"""RegionLoss: training loss of YOLOv2. MobileNet-YOLO: region_loss_layer.cpp.

Bottoms: the head (N, num * (5 + num_class), S, S), labels (N, ..., 5) of class, x, y, w, h with
zeros behind the last. The layer computes one delta per value of the head: the loss is the sum of
their squares, the gradient the deltas themselves, both divided by N.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.yolo_boxes import Array, check_labels_of, iou, sigmoid, truths


@layer(
    "RegionLoss",
    param="region_loss_param",
    kind="loss",
    bottoms=2,
    is_loss=True,
    no_gradient=(1,),
    ignores=("side", "jitter", "absolute", "random"),
)
@dataclass(frozen=True)
class RegionLoss(Layer):
    num_class: int
    bias_match: int
    coords: int
    num: int
    rescore: int
    object_scale: float
    class_scale: float
    noobject_scale: float
    coord_scale: float
    thresh: float
    biases: tuple[float, ...]

    def check(self) -> None:
        if self.coords != 4:
            raise FieldError("region_loss_param.coords", self.coords, "4")
        if 2 * self.num > max(len(self.biases), 10):
            raise FieldError(
                "region_loss_param.biases", list(self.biases), f"two values for each of {self.num}"
            )

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, label = bottoms
        channels = self.num * (5 + self.num_class)
        if len(x) != 4 or x[1] != channels or x[2] != x[3]:
            raise ShapeError(f"the head has shape {x}, allowed: (N, {channels}, S, S)")
        check_labels_of(x, label)
        return ()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        count = x.shape[0]
        head = _Head(self, x.detach().cpu().numpy())
        for b, rows in enumerate(label.detach().cpu().numpy().reshape(count, -1, 5)):
            head.add_image(b, rows)
        deltas = torch.from_numpy(head.deltas.reshape(x.shape)).to(x)
        loss = deltas.square().sum() / count
        return own_gradient(loss, lambda grad: (deltas * (grad / count),), x)


@dataclass
class _Head:
    """Values and deltas (N, num, 5 + classes, S, S): x, y, w, h, objectness, classes."""

    param: RegionLoss
    raw: Array
    values: Array = field(init=False)
    deltas: Array = field(init=False)

    def __post_init__(self) -> None:
        p, x = self.param, self.raw
        self.raw = x.reshape(x.shape[0], p.num, 5 + p.num_class, *x.shape[2:])
        shares = np.exp(self.raw[:, :, 5:] - self.raw[:, :, 5:].max(2, keepdims=True))
        place, sides = self.raw[:, :, :2], self.raw[:, :, 2:4]
        self.values = np.concatenate(
            [
                sigmoid(place),
                sides,
                sigmoid(self.raw[:, :, 4:5]),
                shares / shares.sum(2, keepdims=True),
            ],
            2,
        )
        self.side = x.shape[2]
        given = p.biases if len(p.biases) >= 10 else (0.0,) * 10
        self.anchors = np.asarray(given, x.dtype)[: 2 * p.num].reshape(-1, 2)
        row, column = np.meshgrid(np.arange(self.side), np.arange(self.side), indexing="ij")
        cells = np.stack([column, row])
        wide = self.anchors[:, :, None, None]
        # (N, num, S, S, 4)
        self.boxes = np.concatenate(
            [
                (cells + self.values[:, :, :2]) / self.side,
                np.exp(self.values[:, :, 2:4]) * wide / self.side,
            ],
            2,
        ).transpose(0, 1, 3, 4, 2)
        self.deltas = np.zeros_like(self.values)
        objectness = self.values[:, :, 4]
        self.deltas[:, :, 4] = p.noobject_scale * objectness * _slope(objectness)

    def add_image(self, b: int, rows: Array) -> None:
        near = [row[1:] for row in truths(rows, 1)]
        if near:
            overlaps = iou(self.boxes[b][..., None, :], np.stack(near))
            overlapped = np.nanmax(overlaps, -1, initial=0) > self.param.thresh
            self.deltas[b, :, 4][overlapped] = 0
        for row in truths(rows, 3):
            self._add_truth(b, row)

    def _add_truth(self, b: int, row: Array) -> None:
        p, truth = self.param, row[1:]
        # A centre on the far edge belongs to no cell; the original then writes past the plane.
        column, line = (min(int(v * self.side), self.side - 1) for v in truth[:2])
        sides = self.anchors / self.side if p.bias_match else self.boxes[b, :, line, column, 2:]
        at_origin = np.concatenate([np.zeros_like(sides), sides], -1)
        overlaps = np.nan_to_num(
            iou(at_origin, np.concatenate([np.zeros_like(truth[2:]), truth[2:]]))
        )
        n = int(overlaps.argmax())
        spot = (b, n, slice(None), line, column)
        values, deltas = self.values[spot], self.deltas[spot]
        shared = iou(self.boxes[b, n, line, column], truth)
        scale = p.coord_scale * (1 if p.rescore else 2 - truth[2] * truth[3])
        place = truth[:2] * self.side - (column, line)
        deltas[:2] = -scale * (place - values[:2]) * _slope(values[:2])
        with np.errstate(divide="ignore"):
            deltas[2:4] = -scale * (np.log(truth[2:] * self.side / self.anchors[n]) - values[2:4])
        wanted = shared if p.rescore else 1
        deltas[4] = -p.object_scale * (wanted - values[4]) * _slope(values[4])
        classes = np.arange(p.num_class) == int(row[0])
        deltas[5:] = -p.class_scale * (classes - values[5:])


def _slope(s: Array) -> Array:
    """Derivative of the sigmoid whose value is s."""
    return (1 - s) * s
