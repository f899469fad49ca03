"""SegAccuracy: pixel accuracy, mean recall and mean IoU of a labelling. PSPNet: seg_accuracy_layer.

Bottoms: scores (N, C, H, W), labels (N, 1, H, W). Of equal scores the highest class wins. Classes
that occur nowhere are left out of the recall and count 1 in the IoU. With `reset: false` the counts
go on from pass to pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Runtime, Shape, layer
from adaption.layers.state import tensors_from_state, tensors_to_state


@layer(
    "SegAccuracy",
    param="seg_accuracy_param",
    kind="loss",
    measures=True,
    bottoms=2,
    is_differentiable=False,
    no_gradient=(0, 1),
)
@dataclass(frozen=True)
class SegAccuracy(Layer):
    ignore_label: tuple[int, ...]
    reset: bool

    def top_shape(self, *bottoms: Shape) -> Shape:
        x, label = bottoms
        if len(x) != 4 or label != (x[0], 1, *x[2:]):
            raise ShapeError(
                f"bottoms have shapes {x} and {label}, allowed: (N, C, H, W) and (N, 1, H, W)"
            )
        return 1, 1, 1, 3

    def run(self, runtime: Runtime, *tensors: Tensor) -> Tensor:
        x, label = (t.detach() for t in tensors)
        seen = self._count(x, label.long())
        before = None if self.reset else runtime.state.get("seen")
        if before is not None and before.shape == seen.shape:
            seen = seen + before
        runtime.state["seen"] = seen
        return _measures(seen).to(x).view(1, 1, 1, 3)

    def save_state(self, runtime: Runtime) -> dict[str, Any]:
        seen = runtime.state.get("seen")
        return tensors_to_state("seen", None if seen is None else [seen])

    def load_state(self, runtime: Runtime, state: Mapping[str, Any]) -> None:
        seen = tensors_from_state("seen", state)
        runtime.state["seen"] = seen[0].to(runtime.device) if seen else None

    def _count(self, x: Tensor, label: Tensor) -> Tensor:
        """Pixels by label (row) and predicted class (column)."""
        classes = x.shape[1]
        best = classes - 1 - x.flip(1).argmax(1)
        kept = torch.ones_like(label, dtype=torch.bool)
        for ignored in self.ignore_label:
            kept &= label != ignored
        labels = label[kept]
        bad = (labels < 0) | (labels >= classes)
        if bool(bad.any()):
            raise FieldError(
                "label",
                int(labels[bad][0]),
                f"0..{classes - 1}",
                "list other values as seg_accuracy_param.ignore_label",
            )
        pairs = labels * classes + best[kept[:, 0]]
        return torch.bincount(pairs, minlength=classes**2).view(classes, classes).double()


def _measures(seen: Tensor) -> Tensor:
    """Caffe: confusion_matrix.cpp, accuracy, avgRecall, avgJaccard."""
    right, labelled, predicted = seen.diagonal(), seen.sum(1), seen.sum(0)
    accuracy = right.sum() / seen.sum().clamp_min(1)
    present = labelled > 0
    recall = (right[present] / labelled[present]).sum() / present.sum().clamp_min(1)
    union = labelled + predicted - right
    overlap = torch.where(right == union, 1.0, right / union.clamp_min(1))
    return torch.stack([accuracy, recall, overlap.mean()])
