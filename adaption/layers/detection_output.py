"""DetectionOutput: boxes from predictions, suppressed per class. SSD: detection_output_layer.cpp.

Bottoms: locations (N, 4 P) or, without share_location, (N, 4 P num_classes), confidences
(N, P num_classes), and the priors (1, 2, 4 P); a fourth, the image, is only drawn on in the
original. Top (1, 1, K, 7): image, class, score, xmin, ymin, xmax, ymax; by image, then class, then
score. Without any detection there is a row (image, -1, ...) per image.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, np, npt, torch
from adaption.layers.base import Layer, Shape, layer
from adaption.layers.boxes import (
    best_first,
    check_predictions,
    count_priors,
    read_priors,
    suppress,
    to_array,
)

Array: TypeAlias = "npt.NDArray[np.float32]"
LOWEST = -3.4028234663852886e38  # -FLT_MAX, the confidence_threshold where none is given


@layer(
    "DetectionOutput",
    param="detection_output_param",
    kind="other",
    bottoms=(3, 4),
    is_differentiable=False,
    gives_boxes=True,
    no_gradient=(0, 1, 2, 3),
    ignores=("visualize_threshold", "save_file"),
)
@dataclass(frozen=True)
class DetectionOutput(Layer):
    num_classes: int | None
    share_location: bool
    background_label_id: int
    nms_param: Any
    save_output_param: Any
    code_type: str
    keep_top_k: int
    variance_encoded_in_target: bool
    confidence_threshold: float | None
    visualize: bool

    def check(self) -> None:
        if not self.num_classes:
            raise FieldError(
                "detection_output_param.num_classes", self.num_classes or "missing", "1 or more"
            )
        if not 0 < self.nms_param.eta <= 1:
            raise FieldError("nms_param.eta", self.nms_param.eta, "above 0, up to 1")
        if self.nms_param.nms_threshold < 0:
            raise FieldError("nms_param.nms_threshold", self.nms_param.nms_threshold, "0 or more")
        if self.visualize or self.save_output_param.output_directory:
            what = "visualize" if self.visualize else "save_output_param"
            warnings.warn(
                f'layer "{self.spec.name}" (DetectionOutput): {what} is ignored; the detections'
                " are in the top blob",
                stacklevel=2,
            )

    @property
    def _loc_classes(self) -> int:
        return 1 if self.share_location else int(self.num_classes or 0)

    def top_shape(self, *bottoms: Shape) -> Shape:
        loc, conf, prior = bottoms[:3]
        priors = count_priors(prior)
        check_predictions("the location bottom", loc, priors, 4 * self._loc_classes)
        check_predictions("the confidence bottom", conf, priors, int(self.num_classes or 0))
        if loc[0] != conf[0]:
            raise ShapeError(f"bottoms have shapes {loc} and {conf}, allowed: as many samples")
        return (1, 1, 1, 7)

    def forward(self, loc: Tensor, conf: Tensor, prior: Tensor, *image: Tensor) -> Tensor:
        priors = read_priors(prior, self.code_type, plain=self.variance_encoded_in_target)
        each = loc.detach().reshape(len(loc), len(priors), self._loc_classes, 4)
        boxes = to_array(priors.decode(each.transpose(1, 2)))
        each_class = conf.detach().reshape(len(conf), len(priors), -1).transpose(1, 2)
        scores = to_array(each_class.contiguous())
        found = [self._detect(*sample) for sample in zip(boxes, scores, strict=True)]
        rows = [np.insert(rows, 0, i, axis=1) for i, rows in enumerate(found)]
        made = np.concatenate(rows)
        if not len(made):
            made = np.full((len(loc), 7), -1)
            made[:, 0] = range(len(loc))
        return torch.from_numpy(made).to(loc.device, loc.dtype)[None, None]

    def _detect(self, boxes: Array, scores: Array) -> Array:
        """Rows (class, score, box) of one image: boxes (1 or C, P, 4), scores (C, P)."""
        rows = []
        for label, of_class in enumerate(scores):
            if label == self.background_label_id:
                continue
            own = boxes[0 if self.share_location else label]
            kept = self._kept(own, of_class)
            head = np.stack([np.full(len(kept), label, scores.dtype), of_class[kept]], 1)
            rows.append(np.concatenate([head, own[kept]], 1))
        every = np.concatenate(rows) if rows else np.zeros((0, 6), scores.dtype)
        if -1 < self.keep_top_k < len(every):
            every = every[np.sort(best_first(every[:, 1], self.keep_top_k))]
        return every

    def _kept(self, boxes: Array, scores: Array) -> npt.NDArray[np.intp]:
        """Indices of the priors of one class that come through, best first."""
        least = LOWEST if self.confidence_threshold is None else self.confidence_threshold
        among = np.flatnonzero(scores > np.float32(least))
        nms = self.nms_param
        top_k = nms.top_k if nms.HasField("top_k") and nms.top_k > -1 else None
        order = among[best_first(scores[among], top_k)]
        return order[suppress(boxes[order], nms.nms_threshold, eta=nms.eta)]
