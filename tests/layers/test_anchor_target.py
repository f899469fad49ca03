"""AnchorTargetLayer of Faster R-CNN: against a loop over anchors, and its random choice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import ShapeError
from adaption.layers.anchors import base_anchors
from adaption.layers.base import Runtime
from tests.layers.snippets import error_of, layer_of

SNIPPET = (
    'type: "Python" python_param {{ module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"'
    ' param_str: "{}" }} top: "a" top: "b" top: "c" top: "d"'
)
TRUE = np.array([[10, 12, 60, 50, 3], [70, 20, 120, 90, 7]], np.float32)
HEIGHT, WIDTH, STRIDE = 7, 9, 16


def layer(param_str: str = "'feat_stride': 16, 'scales': [2, 4]") -> Any:
    return layer_of(SNIPPET.format(param_str), 4)


def run(made: Any, runtime: Runtime, true: np.ndarray = TRUE) -> list[np.ndarray]:
    inputs = [
        torch.zeros(1, 12, HEIGHT, WIDTH),
        torch.from_numpy(true),
        torch.tensor([[HEIGHT * 16.0, WIDTH * 16.0, 1.0]]),
        torch.zeros(1, 3, HEIGHT * 16, WIDTH * 16),
    ]
    return [x.numpy() for x in made.run(runtime, *inputs)]


def expected() -> dict[tuple[int, int, int], tuple[int, list[float]]]:
    """Label and target of each anchor (number, row, column), one at a time, without dropping."""
    anchors = base_anchors(16, (0.5, 1, 2), (2, 4))
    inside = {}
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for a, box in enumerate(anchors):
                placed = [b + 16 * (x, y)[i % 2] for i, b in enumerate(box)]
                if min(placed) >= 0 and placed[2] < WIDTH * 16 and placed[3] < HEIGHT * 16:
                    inside[a, y, x] = placed
    overlaps = {key: [overlap(box, true) for true in TRUE] for key, box in inside.items()}
    best = [max(found[i] for found in overlaps.values()) for i in range(len(TRUE))]
    made = {}
    for key, box in inside.items():
        found = overlaps[key]
        label = 0 if max(found) < 0.3 else -1
        if max(found) >= 0.7 or any(math.isclose(f, b) for f, b in zip(found, best, strict=True)):
            label = 1
        made[key] = label, target(box, TRUE[found.index(max(found))])
    return made


def overlap(a: Any, b: Any) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(width, 0) * max(height, 0)
    areas = [(x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)]
    return float(common / (sum(areas) - common))


def target(box: Any, true: Any) -> list[float]:
    shift, size = [], []
    for low, high in ((0, 2), (1, 3)):
        side, true_side = box[high] - box[low] + 1, true[high] - true[low] + 1
        shift.append((true[low] + true_side / 2 - box[low] - side / 2) / side)
        size.append(math.log(true_side / side))
    return shift + size


def test_labels_and_targets() -> None:
    labels, targets, inner, outer = run(layer(), Runtime(config={"RPN_BATCHSIZE": 100000}))
    assert labels.shape == (1, 1, 6 * HEIGHT, WIDTH)
    grid = labels.reshape(6, HEIGHT, WIDTH)
    want = expected()
    assert {label for label, _ in want.values()} == {-1, 0, 1}
    used = sum(label >= 0 for label, _ in want.values())
    for a, y, x in np.ndindex(grid.shape):
        label, deltas = want.get((a, y, x), (-1, [0.0] * 4))
        assert grid[a, y, x] == label
        columns = slice(4 * a, 4 * a + 4)
        np.testing.assert_allclose(targets[0, columns, y, x], deltas, rtol=1e-5, atol=1e-6)
        assert (inner[0, columns, y, x] == (label == 1)).all()
        np.testing.assert_allclose(outer[0, columns, y, x], (label >= 0) / used, rtol=1e-6)


def test_labels_are_dropped_at_random_and_reproducibly() -> None:
    settings = {"RPN_BATCHSIZE": 8, "RPN_FG_FRACTION": 0.25}
    made = [
        run(layer(), Runtime(config=settings, generator=torch.Generator().manual_seed(seed)))[0]
        for seed in (1, 1, 2)
    ]
    for labels in made:
        assert ((labels == 1).sum(), (labels == 0).sum()) == (2, 6)
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


def test_without_true_boxes_or_anchors_inside_nothing_is_used() -> None:
    labels, *others = run(layer(), Runtime(), TRUE[:0])
    assert (labels == -1).all()
    assert not any(x.any() for x in others)
    large = layer("'feat_stride': 16, 'scales': [32, 64]")
    assert (run(large, Runtime())[0] == -1).all()


@pytest.mark.parametrize(
    ("param_str", "shapes", "message"),
    [
        ("'scales': [2]", None, "feat_stride in python_param.param_str is 'missing'"),
        ("'feat_stride': 16, 'scales': 2", None, "scales in python_param.param_str is 2"),
        (
            "'feat_stride': 16",
            [(1, 12, 2, 2), (1, 5), (1, 3), (1, 3, 32, 32)],
            "allowed: (1, 18, H, W) for 9 anchors and one image",
        ),
    ],
)
def test_bad_settings_and_shapes(param_str: str, shapes: Any, message: str) -> None:
    snippet = SNIPPET.format(param_str)
    assert message in error_of(snippet, *(shapes or [(1, 18, 2, 2), (1, 5), (1, 3), (1, 3, 8, 8)]))


def test_true_boxes_of_another_shape_are_refused_where_they_are_read() -> None:
    """Before the first pass a data layer may give its boxes any shape."""
    with pytest.raises(ShapeError, match=r"true boxes have shape \(.*, 4\), allowed: \(n, 5\)"):
        run(layer(), Runtime(), np.ascontiguousarray(TRUE[:, :4]))
