"""AnchorTargetLayer of py-faster-rcnn: what the region proposal net is to say about each anchor.

Bottoms: scores (1, 2 A, H, W), of which only the size counts, true boxes (G, 5), im_info (1, 3) and
the image; tops: labels (1, 1, A H, W), 1 an object, 0 background, -1 not used; targets, inside and
outside weights of the deltas, (1, 4 A, H, W) each. Source: lib/rpn/anchor_target_layer.py.

What the original takes from fast_rcnn.config, `SETTINGS` here, may stand in the `param_str` under
the same names, or be given to the net as `config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from adaption.errors import FieldError, ShapeError
from adaption.graph import LayerSpec
from adaption.later import Tensor, np, npt, torch
from adaption.layers.anchors import base_anchors, draw, moves, place
from adaption.layers.base import Layer, Runtime, Shape
from adaption.layers.boxes import check_boxes, pixel_overlap, to_array
from adaption.layers.python_registry import parse_param_str, replaces

SETTINGS: dict[str, float | bool] = {
    "RPN_POSITIVE_OVERLAP": 0.7,
    "RPN_NEGATIVE_OVERLAP": 0.3,
    "RPN_CLOBBER_POSITIVES": False,
    "RPN_FG_FRACTION": 0.5,
    "RPN_BATCHSIZE": 256,
}
RATIOS = (0.5, 1.0, 2.0)
SCALES = (8, 16, 32)

Array: TypeAlias = "npt.NDArray[np.float32]"


@replaces("rpn.anchor_target_layer", "AnchorTargetLayer")
@dataclass(frozen=True)
class RpnAnchorTarget(Layer):
    bottoms = 4
    tops = 4
    is_differentiable = False
    may_draw = True
    no_gradient = (0, 1, 2, 3)

    feat_stride: int
    scales: tuple[float, ...]
    allowed_border: float
    given: dict[str, Any]  # of SETTINGS, in the param_str

    @classmethod
    def read(cls, spec: LayerSpec) -> Layer:
        found = parse_param_str(spec.message.python_param.param_str)
        stride = found.get("feat_stride", "missing")
        if not isinstance(stride, int) or stride < 1:
            raise FieldError("feat_stride in python_param.param_str", stride, "1 or more")
        scales = found.get("scales", list(SCALES))
        if not isinstance(scales, list) or not all(isinstance(s, int | float) for s in scales):
            raise FieldError("scales in python_param.param_str", scales, "a list of numbers")
        border = found.get("allowed_border", 0)
        made = cls(stride, tuple(scales), border, {k: found[k] for k in SETTINGS if k in found})
        object.__setattr__(made, "spec", spec)
        return made

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        count = len(RATIOS) * len(self.scales)
        scores = bottoms[0]
        if len(scores) != 4 or scores[:2] != (1, 2 * count):
            raise ShapeError(
                f"the scores have shape {scores}, allowed: (1, {2 * count}, H, W) for {count}"
                " anchors and one image"
            )
        height, width = scores[2:]
        return [(1, 1, count * height, width), *[(1, 4 * count, height, width)] * 3]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        settings = {k: runtime.config.get(k, self.given.get(k, v)) for k, v in SETTINGS.items()}
        check_boxes("true boxes", tensors[1].shape)
        true, info = to_array(tensors[1]).reshape(-1, 5), to_array(tensors[2])[0]
        height, width = tensors[0].shape[2:]
        base = base_anchors(16, RATIOS, self.scales)
        anchors = place(base, self.feat_stride, height, width)
        border = self.allowed_border
        inside = np.flatnonzero(
            (anchors[:, :2] >= -border).all(1)
            & (anchors[:, 2] < info[1] + border)
            & (anchors[:, 3] < info[0] + border)
        )
        labels = np.full(len(anchors), -1, np.float32)
        targets, inner, outer = (np.zeros((len(anchors), 4), np.float32) for _ in range(3))
        if len(inside) and len(true):
            overlaps = pixel_overlap(anchors[inside].T[:, :, None], true[:, :4].T[:, None])
            own = _labels(overlaps, settings)
            _subsample(own, settings, runtime.generator)
            labels[inside] = own
            targets[inside] = moves(anchors[inside], true[overlaps.argmax(1), :4])
            inner[labels == 1] = 1
            outer[labels >= 0] = 1 / max(1, (labels >= 0).sum())
        count = len(base)
        grid = labels.reshape(height, width, count).transpose(2, 0, 1)
        made = [grid.reshape(1, 1, count * height, width)]
        made += [
            x.reshape(height, width, 4 * count).transpose(2, 0, 1)[None]
            for x in (targets, inner, outer)
        ]
        return tuple(torch.from_numpy(np.ascontiguousarray(x)).to(tensors[0]) for x in made)


def _labels(overlaps: Array, settings: dict[str, Any]) -> Array:
    """1, 0 or -1 for each anchor within the image, by its overlap with the true boxes (n, G)."""
    best = overlaps.max(1)
    labels = np.full(len(overlaps), -1, np.float32)
    is_background = best < settings["RPN_NEGATIVE_OVERLAP"]
    if not settings["RPN_CLOBBER_POSITIVES"]:
        labels[is_background] = 0
    labels[(overlaps == overlaps.max(0)).any(1)] = 1  # the best of every true box
    labels[best >= settings["RPN_POSITIVE_OVERLAP"]] = 1
    if settings["RPN_CLOBBER_POSITIVES"]:
        labels[is_background] = 0
    return labels


def _subsample(labels: Array, settings: dict[str, Any], generator: torch.Generator | None) -> None:
    """Drop labels at random until at most so many are left, objects and background."""
    total = int(settings["RPN_BATCHSIZE"])
    left = int(settings["RPN_FG_FRACTION"] * total)
    for label in (1, 0):
        have = np.flatnonzero(labels == label)
        labels[have] = -1
        labels[draw(have, left, generator)] = label
        left = total - int((labels == 1).sum())
