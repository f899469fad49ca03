"""Yolov3: training loss of one YOLOv3 head. MobileNet-YOLO: yolov3_layer.cpp.

Bottoms: the head (N, num * (5 + num_class), H, W), labels (N, ..., 5) of class, x, y, w, h in 0..1
with zeros behind the last. Anchors are `biases` in pixels of the net's input; `mask` names those of
this head. The layer computes one delta per value of the head: with iou_loss MSE the loss is the sum
of their squares, else that of objectness and classes, and the mean of 1 - overlap. The gradient is
the deltas, with use_logic_gradient times the sigmoid's slope; all divided by N.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, isfinite, log

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.yolo_boxes import Array, check_labels_of, iou, sigmoid, truths
from adaption.layers.yolo_overlap import overlap, overlap_gradient


@layer(
    "Yolov3",
    param="yolov3_param",
    kind="loss",
    bottoms=2,
    is_loss=True,
    no_gradient=(1,),
    ignores=("side", "noobject_scale"),
)
@dataclass(frozen=True)
class Yolov3(Layer):
    num_class: int
    num: int
    object_scale: float
    class_scale: float
    coord_scale: float
    thresh: float
    anchors_scale: int
    biases: tuple[float, ...]
    mask: tuple[int, ...]
    use_logic_gradient: bool
    use_focal_loss: bool
    iou_loss: str
    iou_normalizer: float
    iou_thresh: float
    max_delta: float
    accumulate: bool
    label_smooth_eps: float

    def check(self) -> None:
        anchors = len(self.biases) // 2
        if len(self.mask) < self.num or any(m >= anchors for m in self.mask):
            raise FieldError(
                "yolov3_param.mask",
                list(self.mask),
                f"{self.num} indices of anchors, below {anchors}, as there are pairs of biases",
            )

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, label = bottoms
        channels = self.num * (5 + self.num_class)
        if len(x) != 4 or x[1] != channels:
            raise ShapeError(f"the head has shape {x}, allowed: (N, {channels}, H, W)")
        check_labels_of(x, label)
        return ()

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        count = x.shape[0]
        head = _Head(self, x.detach().cpu().numpy())
        for b, rows in enumerate(label.detach().cpu().numpy().reshape(count, -1, 5)):
            head.add_image(b, rows)
        loss = head.loss() / count
        gradient = torch.from_numpy(head.gradient().reshape(x.shape)).to(x)
        return own_gradient(x.new_tensor(loss), lambda grad: (gradient * (grad / count),), x)


@dataclass
class _Head:
    """Values and deltas (N, num, 5 + classes, H, W): x, y, w, h, objectness, classes."""

    param: Yolov3
    raw: Array
    missed: list[float] = field(default_factory=list)  # 1 - overlap of each trained box

    def __post_init__(self) -> None:
        p, x = self.param, self.raw
        self.raw = x.reshape(x.shape[0], p.num, 5 + p.num_class, *x.shape[2:])
        self.values = sigmoid(self.raw)
        self.values[:, :, 2:4] = self.raw[:, :, 2:4]
        self.size = np.array([x.shape[3], x.shape[2]], x.dtype)
        anchors = np.asarray(p.biases[: len(p.biases) // 2 * 2], x.dtype).reshape(-1, 2)
        self.anchors = anchors / (self.size * p.anchors_scale)
        row, column = np.meshgrid(np.arange(x.shape[2]), np.arange(x.shape[3]), indexing="ij")
        cells, size = np.stack([column, row]), self.size[:, None, None]
        sides = self.anchors[list(p.mask[: p.num])][:, :, None, None]
        self.boxes = np.concatenate(
            [(cells + self.values[:, :, :2]) / size, np.exp(self.values[:, :, 2:4]) * sides], 2
        ).transpose(0, 1, 3, 4, 2)
        self.deltas = np.zeros_like(self.values)
        self.deltas[:, :, 4] = self.values[:, :, 4]

    def add_image(self, b: int, rows: Array) -> None:
        near = [row[1:] for row in truths(rows, 1)]
        if near:
            overlaps = iou(self.boxes[b][..., None, :], np.stack(near))
            overlapped = np.nanmax(overlaps, -1, initial=0) > self.param.thresh
            self.deltas[b, :, 4][overlapped] = 0
        for row in truths(rows, 3):
            self._add_truth(b, row)

    def _add_truth(self, b: int, row: Array) -> None:
        """Train the anchor that fits best, if it is this head's, then others that fit well."""
        p = self.param
        mask = p.mask[: p.num]
        origin = np.zeros_like(self.anchors)
        sides = np.concatenate([np.zeros_like(row[3:]), row[3:]])
        fits = np.nan_to_num(iou(np.concatenate([origin, self.anchors], -1), sides))
        best = int(fits.argmax()) if fits.max() > 0 else -1
        if best in mask:
            best = mask.index(
                best
            )  # from here on the original holds it against anchors all the same
            self._train(b, best, row)
        if p.iou_thresh >= 1:
            return
        for n, fit in enumerate(fits):
            if n in mask and n != best and fit > p.iou_thresh:
                self._train(b, mask.index(n), row)

    def _train(self, b: int, n: int, row: Array) -> None:
        p, truth = self.param, row[1:]
        # A centre on the far edge belongs to no cell; the original then writes past the plane.
        column, line = (
            min(int(v * s), int(s) - 1) for v, s in zip(truth[:2], self.size, strict=True)
        )
        spot = (b, n, slice(None), line, column)
        values, deltas = self.values[spot], self.deltas[spot]
        if p.iou_loss == "MSE":
            scale = p.coord_scale * (2 - truth[2] * truth[3])
            deltas[:2] = -scale * (truth[:2] * self.size - (column, line) - values[:2])
            wanted = np.log(truth[2:] / self.anchors[p.mask[n]])
            deltas[2:4] = -scale * (wanted - values[2:4])
        else:
            self._pull(deltas, values, [float(v) for v in self.boxes[b, n, line, column]], truth)
        strength = p.object_scale if p.use_logic_gradient else 1.0
        deltas[4] = -strength * (1 - values[4])
        self._classify(deltas[5:], values[5:], int(row[0]))

    def _pull(self, deltas: Array, values: Array, box: list[float], row: Array) -> None:
        p, truth = self.param, [float(v) for v in row]
        self.missed.append(1 - overlap(p.iou_loss, box, truth))
        box[2:] = [v or 1.0 for v in box[2:]]
        ways = list(overlap_gradient(p.iou_loss, box, truth))
        ways[2] *= exp(values[2])
        ways[3] *= exp(values[3])
        for k, way in enumerate(ways):
            step = way * p.iou_normalizer
            step = max(-p.max_delta, min(p.max_delta, step)) if isfinite(step) else 0.0
            deltas[k] = (deltas[k] if p.accumulate else 0.0) - step

    def _classify(self, deltas: Array, values: Array, label: int) -> None:
        p = self.param
        eps = p.label_smooth_eps
        if not 0 <= label < p.num_class:
            raise FieldError("label", label, f"0..{p.num_class - 1}")
        wanted = (np.arange(p.num_class) == label) * (1 - eps) + 0.5 * eps
        if deltas[label]:  # another truth has been here: its classes stay
            deltas[label] = -p.class_scale * (wanted[label] - values[label])
        elif p.use_focal_loss:
            chance = float(values[label]) + 1e-15
            slope = -(1 - chance) * (2 * chance * log(chance) + chance - 1)
            right = np.arange(p.num_class) == label
            deltas[:] = -p.class_scale * (right - values) * 0.5 * slope
        else:
            deltas[:] = -p.class_scale * (wanted - values)

    def loss(self) -> float:
        p = self.param
        if p.iou_loss == "MSE":
            return float(np.square(self.deltas).sum())
        missed = sum(self.missed) / max(len(self.missed), 1)
        return float(np.square(self.deltas[:, :, 4:]).sum() + p.iou_normalizer * missed)

    def gradient(self) -> Array:
        p = self.param
        if not p.use_logic_gradient:
            return self.deltas
        # After a loss of overlaps the original finds x and y before the sigmoid here.
        values = self.values.copy()
        if p.iou_loss != "MSE":
            values[:, :, :2] = self.raw[:, :, :2]
        slope = (1 - values) * values
        slope[:, :, 2:4] = 1
        scaled: Array = self.deltas * slope
        return scaled
