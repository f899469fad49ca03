"""Yolov3, RegionLoss and the detection outputs of MobileNet-YOLO."""

from __future__ import annotations

import numpy as np
import pytest

from adaption.layers.yolo_overlap import overlap, overlap_gradient
from tests.layers.snippets import error_of, net_of, spread

BIASES = "biases: [10, 14, 23, 27, 37, 58, 81, 82]"
V3 = (
    "num_class: 2 num: 2 anchors_scale: 32 thresh: 0.6 label_smooth_eps: 0 coord_scale: 1 " + BIASES
)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def labels(*rows: tuple[float, ...], images: int = 1) -> np.ndarray:
    made = np.zeros((images, 1, 300, 5))
    made[:, 0, : len(rows)] = rows
    return made


def trained(kind: str, param: str, x: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss and gradient, (num, 5 + classes, H, W) of the first image."""
    field = {"Yolov3": "yolov3_param", "RegionLoss": "region_loss_param"}[kind]
    net = net_of(
        f'type: "{kind}" bottom: "x" bottom: "t" top: "loss" {field} {{ {param} }}',
        {"x": x, "t": t},
        "TRAIN",
        "force_backward: true",
    )
    net.forward()
    net.backward()
    return float(net.blobs["loss"].data), net.blobs["x"].diff[0].reshape(2, 7, *x.shape[2:])


def test_v3_trains_the_anchor_that_fits_and_pushes_the_others_down() -> None:
    x = spread(1, 14, 2, 3, low=-1, high=1).numpy()
    v = x[0].reshape(2, 7, 2, 3)
    # 30 of 96 wide and 30 of 64 high pixels: anchor 1 (23 x 27), which is the head's second.
    truth = (1, 0.5, 0.75, 30 / 96, 30 / 64)
    loss, diff = trained("Yolov3", V3 + " mask: [2, 1] iou_thresh: 1", x, labels(truth))
    want = np.zeros_like(v)
    want[:, 4] = sigmoid(v[:, 4])
    cell = v[1, :, 1, 1]
    scale = 2 - truth[3] * truth[4]
    want[1, :, 1, 1] = [
        *(scale * (sigmoid(cell[:2]) - 0.5)),
        *(scale * (cell[2:4] - np.log([30 / 23, 30 / 27]))),
        sigmoid(cell[4]) - 1,
        *(sigmoid(cell[5:]) - [0, 1]),
    ]
    np.testing.assert_allclose(diff, want, rtol=1e-4, atol=1e-6)
    assert loss == pytest.approx((want**2).sum(), rel=1e-4)


def test_v3_truth_of_another_head_is_left_out() -> None:
    x = spread(1, 14, 2, 2).numpy()
    truth = (0, 0.5, 0.5, 80 / 64, 80 / 64)  # anchor 3
    _, diff = trained("Yolov3", V3 + " mask: [0, 1] iou_thresh: 1", x, labels(truth))
    assert not diff[:, [0, 1, 2, 3, 5, 6]].any()


def test_v3_trains_the_best_anchor_twice_where_its_place_in_mask_is_another() -> None:
    """The original then compares an index into mask with an anchor's; steps are accumulated."""
    x = spread(1, 14, 2, 2, low=-1, high=1).numpy()
    truth = labels((0, 0.3, 0.3, 80 / 64, 80 / 64))
    param = V3 + " iou_loss: GIOU iou_thresh: 0.9 mask: [%s]"
    once = trained("Yolov3", (param % "2, 3").replace("0.9", "1"), x, truth)[1]
    twice = trained("Yolov3", param % "2, 3", x, truth)[1]
    np.testing.assert_allclose(twice[1, :4, 0, 0], 2 * once[1, :4, 0, 0], rtol=1e-5)


def test_v3_focal_loss_weighs_the_classes() -> None:
    x = spread(1, 14, 2, 2, low=-1, high=1).numpy()
    truth = labels((1, 0.3, 0.3, 10 / 64, 14 / 64))
    param = V3 + " mask: [0, 1] iou_thresh: 1"
    plain = trained("Yolov3", param, x, truth)[1][0, 5:, 0, 0]
    focal = trained("Yolov3", param + " use_focal_loss: true", x, truth)[1][0, 5:, 0, 0]
    p = sigmoid(x[0, 6, 0, 0])
    slope = -(1 - p) * (2 * p * np.log(p) + p - 1)
    np.testing.assert_allclose(focal, plain * 0.5 * slope, rtol=1e-4)


def test_v3_steps_are_clipped() -> None:
    x = spread(1, 14, 2, 2, low=-1, high=1).numpy()
    param = V3 + " mask: [0, 1] iou_thresh: 1 iou_loss: DIOU iou_normalizer: 50 max_delta: 0.01"
    truth = labels((1, 0.1, 0.3, 10 / 64, 14 / 64))
    steps = trained("Yolov3", param, x, truth)[1][0, :4, 0, 0]
    np.testing.assert_allclose(np.abs(steps), 0.01, rtol=1e-5)


@pytest.mark.parametrize("kind", ["IOU", "GIOU", "DIOU", "CIOU"])
def test_overlap_of_equal_boxes_is_1(kind: str) -> None:
    box = (0.4, 0.5, 0.2, 0.3)
    assert overlap(kind, box, box) == pytest.approx(1)
    assert overlap(kind, box, (0.9, 0.5, 0.2, 0.3)) <= 0


@pytest.mark.parametrize("kind", ["IOU", "GIOU"])
def test_overlap_gradient_against_differences(kind: str) -> None:
    pred, truth = [0.4, 0.5, 0.2, 0.3], (0.45, 0.6, 0.25, 0.2)
    found = overlap_gradient(kind, pred, truth)
    for k, factor in enumerate((1, 1, 2, 2)):  # w and h are not halved, as in Darknet
        sides = []
        for step in (1e-6, -1e-6):
            moved = list(pred)
            moved[k] += step
            sides.append(_iou(moved, truth) if kind == "IOU" else overlap(kind, moved, truth))
        assert found[k] == pytest.approx(factor * (sides[0] - sides[1]) / 2e-6, rel=1e-4)


def test_ciou_adds_the_turn_of_the_diagonal() -> None:
    pred, truth = (0.4, 0.5, 0.2, 0.3), (0.4, 0.5, 0.3, 0.3)
    more = np.subtract(overlap_gradient("CIOU", pred, truth), overlap_gradient("DIOU", pred, truth))
    assert more[0] == more[1] == 0
    assert more[2] > 0 > more[3]  # wider and lower
    assert more[2] / more[3] == pytest.approx(-0.3 / 0.2)


def test_region_loss_draws_objectness_to_the_overlap() -> None:
    x = spread(1, 14, 2, 2, low=-1, high=1).numpy()
    v = x[0].reshape(2, 7, 2, 2)
    param = "num_class: 2 num: 2 biases: [1, 1, 0.5, 0.4, 9, 9, 9, 9, 9, 9] object_scale: 3"
    truth = (1, 0.75, 0.25, 0.2, 0.2)  # cell (0, 1), 0.4 x 0.4 cells: the second anchor
    _, diff = trained("RegionLoss", param, x, labels(truth))
    cell = v[1, :, 0, 1]
    s = sigmoid(cell[:5])
    box = [(1 + s[0]) / 2, s[1] / 2, np.exp(cell[2]) * 0.25, np.exp(cell[3]) * 0.2]
    shared = _iou(box, truth[1:])
    shares = np.exp(cell[5:]) / np.exp(cell[5:]).sum()
    want = [
        *(5 * (s[:2] - 0.5) * s[:2] * (1 - s[:2])),
        *(5 * (cell[2:4] - np.log([0.4 / 0.5, 1]))),
        3 * (s[4] - shared) * s[4] * (1 - s[4]),
        *(shares - [0, 1]),
    ]
    np.testing.assert_allclose(diff[1, :, 0, 1], want, rtol=1e-4, atol=1e-6)


def _iou(a: list[float], b: tuple[float, ...]) -> float:
    sides = [
        min(a[k] + a[k + 2] / 2, b[k] + b[k + 2] / 2)
        - max(a[k] - a[k + 2] / 2, b[k] - b[k + 2] / 2)
        for k in range(2)
    ]
    common = sides[0] * sides[1] if min(sides) > 0 else 0.0
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def test_detections_of_all_classes_suppress_each_other() -> None:
    x = np.full((1, 14, 1, 1), -9.0)
    x[0, [4, 5, 6], 0, 0] = 4, 3, 2  # both classes of one box, at the same place
    x[0, [7, 8, 11, 13], 0, 0] = 9, 9, 4, 1  # another box in the far corner
    x[0, 2:4] = x[0, 9:11] = 0
    param = f"num_classes: 2 num_box: 2 mask: [0, 1] mask_group_num: 1 anchors_scale: 32 {BIASES}"
    rows = _detect(param, x)
    assert [row[1] for row in rows] == [1, 2]
    np.testing.assert_allclose(rows[0][2], sigmoid(np.float64(4)) * sigmoid(np.float64(3)))
    width, height = 23 / 32, 27 / 32
    edges = [1 - width / 2, 1 - height / 2, 1 + width / 2, 1 + height / 2]
    np.testing.assert_allclose(rows[1][3:], edges, atol=1e-3)


def _detect(param: str, x: np.ndarray) -> np.ndarray:
    net = net_of(
        'type: "Yolov3DetectionOutput" bottom: "x" top: "y"'
        f" yolov3_detection_output_param {{ {param} }}",
        {"x": x},
    )
    net.forward()
    return net.blobs["y"].data[0, 0]


@pytest.mark.parametrize(
    ("snippet", "shapes", "message"),
    [
        (
            f'type: "Yolov3" yolov3_param {{ num: 2 mask: [0, 4] {BIASES} }}',
            [(1, 14, 2, 2), (1, 1, 300, 5)],
            "yolov3_param.mask is [0, 4], allowed: 2 indices of anchors, below 4",
        ),
        (
            f'type: "Yolov3" yolov3_param {{ num: 2 mask: [0, 1] num_class: 2 {BIASES} }}',
            [(1, 15, 2, 2), (1, 1, 300, 5)],
            "the head has shape (1, 15, 2, 2), allowed: (N, 14, H, W)",
        ),
        (
            f'type: "Yolov3" yolov3_param {{ num: 2 mask: [0, 1] num_class: 2 {BIASES} }}',
            [(1, 14, 2, 2), (1, 1, 300, 4)],
            "labels have shape (1, 1, 300, 4), allowed: (1, ..., 5)",
        ),
        (
            'type: "RegionLoss" region_loss_param { num: 6 }',
            [(1, 150, 2, 2), (1, 1, 300, 5)],
            "allowed: two values for each of 6",
        ),
        (
            'type: "RegionLoss" region_loss_param { coords: 5 }',
            [(1, 150, 2, 2), (1, 1, 300, 5)],
            "region_loss_param.coords is 5, allowed: 4",
        ),
        (
            'type: "YoloDetectionOutput" yolo_detection_output_param { num_box: 2 biases: 1 }',
            [(1, 50, 2, 2)],
            "allowed: two values for each of 2 boxes",
        ),
        (
            'type: "Yolov3DetectionOutput" yolov3_detection_output_param { }',
            [(1, 75, 2, 2)],
            "has 1 bottoms, allowed: yolov3_detection_output_param.mask_group_num (2)",
        ),
        (
            'type: "Yolov3DetectionOutput" yolov3_detection_output_param { gaussian_box: true }',
            [(1, 75, 2, 2)],
            "gaussian_box is True, allowed: false",
        ),
    ],
)
def test_errors(snippet: str, shapes: list[tuple[int, ...]], message: str) -> None:
    assert message in error_of(snippet, *shapes)
