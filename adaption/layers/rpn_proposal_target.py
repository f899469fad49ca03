"""ProposalTargetLayer of py-faster-rcnn: regions to train the detector on, and what it is to say.

Bottoms: regions (R, 5) whose first number is the image, true boxes (G, 5) whose last is the class;
tops: the regions that are kept, their labels (0 background), and targets, inside and outside
weights of the deltas, four numbers for each class. Source: lib/rpn/proposal_target_layer.py.

What the original takes from fast_rcnn.config, `SETTINGS` here, may stand in the `param_str` under
the same names, or be given to the net as `config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from adaption.errors import FieldError
from adaption.graph import LayerSpec
from adaption.later import Tensor, np, npt, torch
from adaption.layers.anchors import draw, moves
from adaption.layers.base import Layer, Runtime, Shape
from adaption.layers.boxes import check_boxes, pixel_overlap, to_array
from adaption.layers.python_registry import parse_param_str, replaces

SETTINGS: dict[str, Any] = {
    "BATCH_SIZE": 128,
    "FG_FRACTION": 0.25,
    "FG_THRESH": 0.5,
    "BG_THRESH_HI": 0.5,
    "BG_THRESH_LO": 0.1,
    "BBOX_NORMALIZE_TARGETS_PRECOMPUTED": False,
    "BBOX_NORMALIZE_MEANS": (0.0, 0.0, 0.0, 0.0),
    "BBOX_NORMALIZE_STDS": (0.1, 0.1, 0.2, 0.2),
    "BBOX_INSIDE_WEIGHTS": (1.0, 1.0, 1.0, 1.0),
}

Array: TypeAlias = "npt.NDArray[np.float32]"


@replaces("rpn.proposal_target_layer", "ProposalTargetLayer")
@dataclass(frozen=True)
class RpnProposalTarget(Layer):
    bottoms = 2
    tops = 5
    is_differentiable = False
    may_draw = True
    no_gradient = (0, 1)

    num_classes: int
    given: dict[str, Any]  # of SETTINGS, in the param_str

    @classmethod
    def read(cls, spec: LayerSpec) -> Layer:
        found = parse_param_str(spec.message.python_param.param_str)
        classes = found.get("num_classes", "missing")
        if not isinstance(classes, int) or classes < 2:
            raise FieldError("num_classes in python_param.param_str", classes, "2 or more")
        made = cls(classes, {k: found[k] for k in SETTINGS if k in found})
        object.__setattr__(made, "spec", spec)
        return made

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [(1, 5), (1, 1), *[(1, 4 * self.num_classes)] * 3]

    def run(self, runtime: Runtime, *tensors: Tensor) -> Any:
        settings = {k: runtime.config.get(k, self.given.get(k, v)) for k, v in SETTINGS.items()}
        for name, x in zip(("regions", "true boxes"), tensors, strict=True):
            check_boxes(name, x.shape)
        regions, true = (to_array(t).reshape(-1, 5) for t in tensors)
        own = np.insert(true[:, :4], 0, 0, axis=1)
        regions = np.concatenate([regions, own]).astype(np.float32)
        overlaps = pixel_overlap(regions[:, 1:].T[:, :, None], true[:, :4].T[:, None])
        kept, objects = _sample(overlaps.max(1), settings, runtime.generator)
        match = true[overlaps[kept].argmax(1)]
        labels = match[:, 4].astype(np.float32)
        labels[objects:] = 0
        deltas = moves(regions[kept, 1:], match[:, :4])
        if settings["BBOX_NORMALIZE_TARGETS_PRECOMPUTED"]:
            means, stds = (settings[f"BBOX_NORMALIZE_{name}"] for name in ("MEANS", "STDS"))
            deltas = (deltas - np.float32(means)) / np.float32(stds)
        targets, inner = (
            self._by_class(labels, np.broadcast_to(np.float32(values), deltas.shape))
            for values in (deltas, settings["BBOX_INSIDE_WEIGHTS"])
        )
        made = (regions[kept], labels[:, None], targets, inner, (inner > 0).astype(np.float32))
        return tuple(torch.from_numpy(x).to(tensors[0]) for x in made)

    def _by_class(self, labels: Array, values: Array) -> Array:
        """Four numbers in the columns of each object's class, zeros elsewhere."""
        made = np.zeros((len(labels), self.num_classes, 4), np.float32)
        objects = np.flatnonzero(labels > 0)
        made[objects, labels[objects].astype(np.intp)] = values[objects]
        return made.reshape(len(labels), -1)


def _sample(
    best: Array, settings: dict[str, Any], generator: torch.Generator | None
) -> tuple[npt.NDArray[np.intp], int]:
    """Regions to keep, objects first, and how many of them are objects."""
    total = int(settings["BATCH_SIZE"])
    is_background = (best < settings["BG_THRESH_HI"]) & (best >= settings["BG_THRESH_LO"])
    share = int(np.rint(settings["FG_FRACTION"] * total))
    objects = draw(np.flatnonzero(best >= settings["FG_THRESH"]), share, generator)
    background = draw(np.flatnonzero(is_background), total - len(objects), generator)
    return np.concatenate([objects, background]), len(objects)
