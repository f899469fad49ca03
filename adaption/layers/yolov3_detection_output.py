"""Yolov3DetectionOutput: boxes of YOLOv3 heads. MobileNet-YOLO: yolov3_detection_output_layer.cpp.

Bottoms: heads (N, num_box * (5 + classes), H, W), as many as mask_group_num; head g takes the
g-th share of `mask`, the indices of its anchors. Each class above the threshold gives a row.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, LayerError, ShapeError
from adaption.later import Tensor, np
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.yolo_boxes import Array, detection_rows, sigmoid


@layer(
    "Yolov3DetectionOutput",
    param="yolov3_detection_output_param",
    kind="other",
    bottoms=(1, None),
    is_differentiable=False,
    gives_boxes=True,
    no_gradient=tuple(range(16)),
)
@dataclass(frozen=True)
class Yolov3DetectionOutput(Layer):
    num_classes: int
    num_box: int
    confidence_threshold: float
    nms_threshold: float
    biases: tuple[float, ...]
    anchors_scale: tuple[int, ...]
    mask_group_num: int
    mask: tuple[int, ...]
    gaussian_box: bool

    def check(self) -> None:
        name, heads = "yolov3_detection_output_param", len(self.spec.bottoms)
        if self.gaussian_box:
            raise FieldError(f"{name}.gaussian_box", True, "false")
        if self.mask_group_num != heads:
            raise LayerError(
                f"has {heads} bottoms, allowed: {name}.mask_group_num ({self.mask_group_num})"
            )
        if len(self.anchors_scale) < heads:
            raise FieldError(
                f"{name}.anchors_scale", list(self.anchors_scale), f"one per bottom ({heads})"
            )
        share = len(self.mask) // heads
        if (heads - 1) * share + self.num_box > len(self.mask):
            raise FieldError(
                f"{name}.mask", list(self.mask), f"{self.num_box} anchors for each bottom"
            )
        if any(2 * m + 1 >= len(self.biases) for m in self.mask):
            raise FieldError(
                f"{name}.mask",
                list(self.mask),
                f"below {len(self.biases) // 2}, as there are biases",
            )

    def top_shape(self, *bottoms: Shape) -> Shape:
        channels = self.num_box * (5 + self.num_classes)
        for x in bottoms:
            if len(x) != 4 or x[1] != channels:
                raise ShapeError(f"a bottom has shape {x}, allowed: (N, {channels}, H, W)")
        return 1, 1, 1, 7

    def forward(self, *heads: Tensor) -> Tensor:
        found = [self._decode(x.detach().cpu().numpy(), g) for g, x in enumerate(heads)]
        boxes, scores, classes = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return detection_rows(
            boxes, scores, classes, self.nms_threshold, heads[0].shape[0], heads[0]
        )

    def _decode(self, x: Array, group: int) -> tuple[Array, Array, Array]:
        """Boxes, scores and classes above the threshold, in the original's order."""
        count, _, height, width = x.shape
        rows = x.reshape(count, self.num_box, 5 + self.num_classes, height, width)
        rows = rows.transpose(0, 3, 4, 1, 2)
        first = group * (len(self.mask) // self.mask_group_num)
        mask = list(self.mask[first : first + self.num_box])
        anchors = np.asarray(self.biases, x.dtype)[: len(self.biases) // 2 * 2].reshape(-1, 2)[mask]
        size = np.array([width, height], x.dtype)
        row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        cells = np.stack([column, row], -1).astype(x.dtype)[:, :, None]
        sides = np.exp(rows[..., 2:4]) * anchors / (size * self.anchors_scale[group])
        boxes = np.concatenate([(cells + sigmoid(rows[..., :2])) / size, sides], -1)
        scores = sigmoid(rows[..., 5:]) * sigmoid(rows[..., 4:5])
        spot = np.nonzero(scores > np.asarray(self.confidence_threshold, x.dtype))
        return boxes[spot[:4]], scores[spot], spot[4].astype(x.dtype)
