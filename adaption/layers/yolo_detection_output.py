"""YoloDetectionOutput: boxes of YOLOv2 heads. MobileNet-YOLO: yolo_detection_output_layer.cpp.

Bottoms: one or two heads (N, num_box * (5 + classes), S, S). The best class of each box counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.yolo_boxes import Array, detection_rows, sigmoid


@layer(
    "YoloDetectionOutput",
    param="yolo_detection_output_param",
    kind="other",
    bottoms=(1, 2),
    is_differentiable=False,
    gives_boxes=True,
    no_gradient=(0, 1),
    ignores=("side", "label_map_file"),
)
@dataclass(frozen=True)
class YoloDetectionOutput(Layer):
    num_classes: int
    num_box: int
    confidence_threshold: float
    nms_threshold: float
    biases: tuple[float, ...]

    def check(self) -> None:
        if len(self.biases) < 2 * self.num_box:
            raise FieldError(
                "yolo_detection_output_param.biases",
                list(self.biases),
                f"two values for each of {self.num_box} boxes",
            )

    def top_shape(self, *bottoms: Shape) -> Shape:
        for x in bottoms:
            if (
                len(x) != 4
                or x[2] != x[3]
                or x[1] % self.num_box
                or x[1] // self.num_box < 5 + self.num_classes
            ):
                raise ShapeError(
                    f"a bottom has shape {x}, allowed: (N, C, S, S), C"
                    f" {self.num_box} * (5 + {self.num_classes})"
                )
        return 1, 1, 1, 7

    def forward(self, *heads: Tensor) -> Tensor:
        found = [self._decode(x.detach().cpu().numpy()) for x in heads]
        boxes, scores, classes = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return detection_rows(
            boxes, scores, classes, self.nms_threshold, heads[0].shape[0], heads[0]
        )

    def _decode(self, x: Array) -> tuple[Array, Array, Array]:
        """Boxes, scores and classes from the threshold on, in the original's order."""
        count, channels, side, _ = x.shape
        rows = x.reshape(count, self.num_box, channels // self.num_box, side, side)
        rows = rows.transpose(0, 3, 4, 1, 2)
        anchors = np.asarray(self.biases, x.dtype)[: 2 * self.num_box].reshape(-1, 2)
        row, column = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
        cells = np.stack([column, row], -1).astype(x.dtype)[:, :, None]
        boxes = np.concatenate(
            [(cells + sigmoid(rows[..., :2])) / side, np.exp(rows[..., 2:4]) * anchors / side], -1
        )
        shares = rows[..., 5 : 5 + self.num_classes]
        shares = np.exp(shares - shares.max(-1, keepdims=True))
        shares = shares / shares.sum(-1, keepdims=True)
        scores = sigmoid(rows[..., 4]) * shares.max(-1)
        kept = scores >= np.asarray(self.confidence_threshold, x.dtype)
        return boxes[kept], scores[kept], shares.argmax(-1)[kept].astype(x.dtype)
