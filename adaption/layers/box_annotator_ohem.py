"""BoxAnnotatorOHEM: only the regions with the largest loss of each image learn. R-FCN.

Bottoms: regions (N, 5, H, W) whose first channel is the image index, losses (N, 1, H, W), labels
(N, 1, H, W) and box weights (N, C, H, W), H and W may be missing; tops: the labels, ignore_label
where a region does not learn, and the box weights, 0 there. Source: box_annotator_ohem_layer.
"""

from __future__ import annotations

from dataclasses import dataclass

from adaption.errors import FieldError, ShapeError
from adaption.later import Tensor, torch
from adaption.layers.base import Layer, Shape, layer


@layer(
    "BoxAnnotatorOHEM",
    param="box_annotator_ohem_param",
    kind="other",
    bottoms=4,
    tops=2,
    is_differentiable=False,
    no_gradient=(0, 1, 2, 3),
)
@dataclass(frozen=True)
class BoxAnnotatorOHEM(Layer):
    roi_per_img: int | None
    ignore_label: int

    def check(self) -> None:
        if not self.roi_per_img:
            raise FieldError(
                "box_annotator_ohem_param.roi_per_img", self.roi_per_img or "missing", "1 or more"
            )

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        n, _, height, width = _four(bottoms[0])
        wanted = (5, 1, 1, None)
        for shape, channels in zip(bottoms, wanted, strict=True):
            found = _four(shape)
            if (found[0], *found[2:]) != (n, height, width) or channels not in (None, found[1]):
                raise ShapeError(
                    f"a bottom has shape {shape}, allowed:"
                    f" {(n, channels or 'C', height, width)}".replace("'", "")
                )
        return [(n, 1, height, width), _four(bottoms[3])]

    def forward(
        self, rois: Tensor, loss: Tensor, labels: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        image = rois.detach().reshape(_four(rois.shape))[:, 0].long()
        hardest_first = loss.detach().flatten().argsort(descending=True, stable=True)
        learns = torch.zeros_like(hardest_first, dtype=torch.bool)
        for i in set(image.flatten().tolist()):
            own = hardest_first[image.flatten()[hardest_first] == i]
            learns[own[: self.roi_per_img]] = True
        learns = learns.reshape(image.shape).unsqueeze(1)
        labels, weights = labels.reshape(learns.shape), weights.reshape(_four(weights.shape))
        return torch.where(learns, labels, self.ignore_label), torch.where(learns, weights, 0)


def _four(shape: Shape) -> Shape:
    """Caffe's view of a blob as (N, C, H, W)."""
    if not 1 <= len(shape) <= 4:
        raise ShapeError(f"bottom has shape {tuple(shape)}, allowed: up to 4 axes")
    return (*shape, *[1] * (4 - len(shape)))
