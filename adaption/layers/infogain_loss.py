"""InfogainLoss: -sum over classes of H[label, class] log p[class]. Caffe: infogain_loss_layer.cpp.

H is the third bottom, or the matrix in `infogain_loss_param.source`. ADaPTION's version, as all of
Caffe before 2017, takes probabilities and divides by the batch size. BVLC's later version takes
scores and applies softmax itself; a layer that says something only that version understands
(`axis`, `loss_param`, a second top for the probabilities) is computed as that version does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, prod
from typing import Any

from adaption.errors import FieldError, ShapeError
from adaption.io.blobproto import read_blob
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Runtime, Shape, canonical_axis, layer
from adaption.layers.gradient import own_gradient
from adaption.layers.losses import (
    LOG_THRESHOLD,
    check_labels,
    check_one_label_each,
    normalizer,
)


@layer(
    "InfogainLoss",
    param="infogain_loss_param",
    kind="loss",
    bottoms=(2, 3),
    tops=(1, 2),
    is_loss=True,
    no_gradient=(1, 2),
)
@dataclass(frozen=True)
class InfogainLoss(Layer):
    source: str | None
    axis: int

    def check(self) -> None:
        if len(self.spec.bottoms) == 2 and not self.source:
            raise FieldError(
                "infogain_loss_param.source", "missing", "a .binaryproto file, or a third bottom"
            )

    @property
    def _takes_scores(self) -> bool:
        message = self.spec.message
        return (
            message.infogain_loss_param.HasField("axis")
            or message.HasField("loss_param")
            or len(self.spec.tops) == 2
        )

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        x = bottoms[0]
        if self._takes_scores:
            classes = x[canonical_axis(self.axis, len(x))]
        else:
            check_one_label_each(*bottoms[:2])
            classes = prod(x[1:])
        count = prod(bottoms[2]) if len(bottoms) == 3 else self._read().numel()
        if count != classes * classes:
            raise ShapeError(
                f"the infogain matrix holds {count} values, allowed: {classes} x {classes}"
            )
        return [(), x][: len(self.spec.tops)]

    def _read(self) -> Tensor:
        return torch.from_numpy(read_blob(str(self.source)).copy())

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        x, label, *given = tensors
        if not given and "infogain" not in runtime.state:
            runtime.state["infogain"] = self._read()
        return self.forward(x, label, given[0] if given else runtime.state["infogain"])

    def forward(self, x: Tensor, label: Tensor, matrix: Tensor) -> Any:
        classes = isqrt(matrix.numel())
        gain = matrix.detach().to(x).reshape(classes, classes)
        labels = label.detach().flatten().long()
        if self._takes_scores:
            return self._of_scores(x, labels, gain)
        check_labels(labels, x.shape[0], classes, None)
        gain = gain[labels]
        p = x.detach().reshape(x.shape[0], -1).clamp_min(LOG_THRESHOLD)
        loss = -(gain * p.log()).sum() / x.shape[0]

        def backward(grad: Tensor) -> Sequence[Tensor]:
            # Not 0 below the floor, as clamp's would be.
            return ((gain / p * (-grad / x.shape[0])).view_as(x),)

        return own_gradient(loss, backward, x)

    def _of_scores(self, x: Tensor, labels: Tensor, matrix: Tensor) -> Any:
        param = self.spec.message.loss_param
        ignored = param.ignore_label if param.HasField("ignore_label") else None
        axis = canonical_axis(self.axis, x.dim())
        classes, outer = x.shape[axis], prod(x.shape[:axis])
        check_labels(labels, x.numel() // classes, classes, ignored)
        counted = labels != ignored if ignored is not None else torch.ones_like(labels) > 0
        gain = torch.where(counted.unsqueeze(1), matrix[torch.where(counted, labels, 0)], 0)
        p = torch.softmax(x, axis)
        rows = p.detach().movedim(axis, -1).reshape(-1, classes)
        total = -(gain * rows.clamp_min(LOG_THRESHOLD).log()).sum()
        valid = None if ignored is None else int(counted.sum())
        divisor = normalizer(param, outer, x.numel() // classes // max(1, outer), valid)

        def backward(grad: Tensor) -> Sequence[Tensor]:
            down = (rows * gain.sum(1, keepdim=True) - gain) * (grad / divisor)
            moved = x.movedim(axis, -1).shape
            return (down.reshape(moved).movedim(-1, axis),)

        loss = own_gradient(total / divisor, backward, x)
        return (loss, p) if len(self.spec.tops) == 2 else loss
