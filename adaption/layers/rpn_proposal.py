"""ProposalLayer of py-faster-rcnn and py-R-FCN: regions from scores and deltas of anchors.

Bottoms: scores (1, 2 A, H, W), the second half those of an object, deltas (1, 4 A, H, W) and
im_info (1, 3): height, width, scale; tops: regions (R, 5) whose first number is the image, 0, and
optionally their scores (R, 1). Source: lib/rpn/proposal_layer.py.

What the original takes from fast_rcnn.config, `SETTINGS` here, may stand in the `param_str` under
the same names, or be given to the net as `config`; it depends on the phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adaption.errors import FieldError
from adaption.graph import LayerSpec
from adaption.later import Tensor, np, torch
from adaption.layers.anchors import base_anchors, cells_first, check_bottoms, move, place, sides
from adaption.layers.base import Layer, Runtime, Shape
from adaption.layers.boxes import best_first, pixel_overlap, suppress, to_array
from adaption.layers.python_registry import parse_param_str, replaces

SETTINGS: dict[str, dict[str, float]] = {
    "RPN_PRE_NMS_TOP_N": {"TEST": 6000, "TRAIN": 12000},  # 0 or less: all
    "RPN_POST_NMS_TOP_N": {"TEST": 300, "TRAIN": 2000},
    "RPN_NMS_THRESH": {"TEST": 0.7, "TRAIN": 0.7},
    "RPN_MIN_SIZE": {"TEST": 16, "TRAIN": 16},
}
RATIOS = (0.5, 1.0, 2.0)
SCALES = (8, 16, 32)


@replaces("rpn.proposal_layer", "ProposalLayer")
@dataclass(frozen=True)
class RpnProposal(Layer):
    bottoms = 3
    tops = (1, 2)
    is_differentiable = False
    no_gradient = (0, 1, 2)

    feat_stride: int
    scales: tuple[float, ...]
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
        made = cls(stride, tuple(scales), {k: found[k] for k in SETTINGS if k in found})
        object.__setattr__(made, "spec", spec)
        return made

    def _settings(self, runtime: Runtime) -> list[float]:
        phase = "TRAIN" if runtime.training else "TEST"
        values = []
        for name, by_phase in SETTINGS.items():
            value = runtime.config.get(name, self.given.get(name, by_phase[phase]))
            if not isinstance(value, int | float):
                raise FieldError(name, value, "a number")
            values.append(value)
        return values

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        check_bottoms(len(RATIOS) * len(self.scales), 3, *bottoms)
        return [(1, 5), (1, 1, 1, 1)][: len(self.spec.tops)]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        pre_nms, post_nms, threshold, least = self._settings(runtime)
        scores, deltas, (info,) = (to_array(t) for t in tensors)
        anchors = base_anchors(16, RATIOS, self.scales)
        boxes = place(anchors, self.feat_stride, *scores.shape[2:])
        boxes = move(boxes, cells_first(deltas, 4), info[0], info[1])
        of_object = cells_first(scores[:, len(anchors) :], 1)[:, 0]
        is_large = (sides(boxes) >= np.float32(least) * info[2]).all(1)
        boxes, of_object = boxes[is_large], of_object[is_large]
        order = best_first(of_object, int(pre_nms) if pre_nms > 0 else None)
        limit = int(post_nms) if post_nms > 0 else None
        order = order[suppress(boxes[order], threshold, limit=limit, overlap=pixel_overlap)]
        regions = np.insert(boxes[order], 0, 0, axis=1)
        made = [torch.from_numpy(t).to(tensors[0]) for t in (regions, of_object[order, None])]
        return tuple(made[: len(self.spec.tops)])
