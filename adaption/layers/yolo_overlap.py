"""IoU, GIoU, DIoU and CIoU of two boxes (x, y, w, h), and their gradients.

MobileNet-YOLO: bbox_util.cpp and yolov3_layer.cpp, after Darknet: the gradients of w and h are not
halved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, pi

__all__ = ["overlap", "overlap_gradient"]

Box = Sequence[float]
Four = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Edges:
    left: float
    right: float
    top: float
    bottom: float

    @classmethod
    def of(cls, box: Box) -> _Edges:
        x, y, w, h = box
        return cls(x - w / 2, x + w / 2, y - h / 2, y + h / 2)

    def around(self, other: _Edges) -> tuple[float, float]:
        """Width and height of the box around both."""
        return (
            max(self.right, other.right) - min(self.left, other.left),
            max(self.bottom, other.bottom) - min(self.top, other.top),
        )


def overlap(kind: str, pred: Box, truth: Box) -> float:
    """IoU less the penalty of `kind`: IOU (which counts as DIOU, as there), GIOU, DIOU or CIOU."""
    p, t = _Edges.of(pred), _Edges.of(truth)
    w, h = min(p.right, t.right) - max(p.left, t.left), min(p.bottom, t.bottom) - max(p.top, t.top)
    common = 0.0 if w < 0 or h < 0 else w * h
    union = pred[2] * pred[3] + truth[2] * truth[3] - common
    share = common / union if union else 0.0
    wide, high = p.around(t)
    if kind == "GIOU":
        return share - (wide * high - union) / (wide * high) if wide * high else share
    diagonal = wide**2 + high**2
    if not diagonal:
        return share
    apart = ((pred[0] - truth[0]) ** 2 + (pred[1] - truth[1]) ** 2) / diagonal
    if kind == "CIOU":
        tilt = 4 / pi**2 * (atan(truth[2] / truth[3]) - atan(pred[2] / pred[3])) ** 2
        return share - (apart + tilt / (1 - share + tilt + 1e-6) * tilt)
    return share - float(apart**0.6)


def overlap_gradient(kind: str, pred: Box, truth: Box) -> Four:
    """Derivatives of the overlap for x, y, w and h of `pred`."""
    p, t = _Edges.of(pred), _Edges.of(truth)
    w, h = min(p.right, t.right) - max(p.left, t.left), min(p.bottom, t.bottom) - max(p.top, t.top)
    common, own = w * h, pred[2] * pred[3]
    union = own + truth[2] * truth[3] - common
    # Derivatives for the edges top, bottom, left, right.
    area = (-pred[2], pred[2], -pred[3], pred[3])
    shared = (
        -w if p.top > t.top else 0.0,
        w if p.bottom < t.bottom else 0.0,
        -h if p.left > t.left else 0.0,
        h if p.right < t.right else 0.0,
    )
    joined = tuple(a - s for a, s in zip(area, shared, strict=True))
    edges = [0.0] * 4
    if union > 0:
        edges = [(union * s - common * j) / union**2 for s, j in zip(shared, joined, strict=True)]
    wide, high = p.around(t)
    is_apart = w <= 0 or h <= 0
    if kind == "GIOU" and wide * high > 0:
        hull = (
            -wide if p.top < t.top else 0.0,
            wide if p.bottom > t.bottom else 0.0,
            -high if p.left < t.left else 0.0,
            high if p.right > t.right else 0.0,
        )
        c = wide * high
        penalty = [(c * j - union * u) / c**2 for j, u in zip(joined, hull, strict=True)]
        edges = penalty if is_apart else [e + q for e, q in zip(edges, penalty, strict=True)]
    top, bottom, left, right = edges
    straight = (left + right, top + bottom, right - left, bottom - top)
    if kind not in ("DIOU", "CIOU"):
        return straight
    pulled = _pull(kind, pred, truth, (p, t), common / union if union else 0.0)
    if is_apart:
        return pulled
    x, y, dw, dh = (s + q for s, q in zip(straight, pulled, strict=True))
    return x, y, dw, dh


def _pull(kind: str, pred: Box, truth: Box, edges: tuple[_Edges, _Edges], share: float) -> Four:
    """What the distance of the centres adds, and with CIOU the difference of the shapes."""
    p, t = edges
    wide, high = p.around(t)
    c = wide**2 + high**2
    if c <= 0:
        return 0.0, 0.0, 0.0, 0.0
    apart = (pred[0] - truth[0]) ** 2 + (pred[1] - truth[1]) ** 2
    is_right, is_left = float(p.right > t.right), float(p.left < t.left)
    is_low, is_high = float(p.bottom > t.bottom), float(p.top < t.top)
    dx = (2 * (truth[0] - pred[0]) * c - 2 * wide * (is_right - is_left) * apart) / c**2
    dy = (2 * (truth[1] - pred[1]) * c - 2 * high * (is_low - is_high) * apart) / c**2
    dw = 2 * wide * 0.5 * (is_right + is_left) * apart / c**2
    dh = 2 * high * 0.5 * (is_low + is_high) * apart / c**2
    if kind == "CIOU":
        turn = atan(truth[2] / truth[3]) - atan(pred[2] / pred[3])
        tilt = 4 / pi**2 * turn**2
        weight = tilt / (1 - share + tilt + 1e-6)
        dw += weight * 8 / pi**2 * turn * pred[3]
        dh -= weight * 8 / pi**2 * turn * pred[2]
    return dx, dy, dw, dh
