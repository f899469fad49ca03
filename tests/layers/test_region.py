from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, layer_of, net_of, spread

PARAM = "region_param { classes: 6 coords: 5 boxes_of_each_grid: %d softmax: true }"
SNIPPET = (
    'type: "Region" bottom: "x" bottom: "t" top: "loss" top: "boxes" top: "trans" loss_weight: %s'
    " loss_weight: 0 loss_weight: 0 " + PARAM % 2
)
X = spread(1, 2, 3, 24, low=-1, high=1).numpy()
FIRST = (0.317539695732, 0.493652380857)
NORM = np.sqrt(13.0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def truth(*rows: tuple[float, ...]) -> np.ndarray:
    made = np.zeros((1, 4, 6))
    made[..., 5] = -1
    for n, row in enumerate(rows):
        made[0, n] = row
    return made


def trained(rows: np.ndarray, weight: float = 1, **options: bool):  # type: ignore[no-untyped-def]
    header = "force_backward: true"
    net = net_of(SNIPPET % weight, {"x": X, "t": rows}, "TRAIN", header, **options)
    net.forward()
    net.backward()
    return net


def test_one_truth_trains_the_box_of_its_cell_and_anchor() -> None:
    w, h = FIRST[0] / NORM, FIRST[1] / NORM
    net = trained(truth((0.5, 0.25, w, h, 7.0, 3)))
    diff = net.blobs["x"].diff.reshape(2, 3, 2, 12)
    cell = X.reshape(2, 3, 2, 12)[0, 1, 0]
    s = sigmoid(cell)
    shares = np.exp(cell[6:]) / np.exp(cell[6:]).sum()
    pull = (s[:2] - 0.5) * s[:2] * (1 - s[:2])
    np.testing.assert_allclose(diff[0, 1, 0, :2], pull, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(diff[0, 1, 0, 2:4], cell[2:4], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(diff[0, 1, 0, 4], -(7.0 - cell[4] - 2 * np.pi), rtol=1e-4)
    np.testing.assert_allclose(diff[0, 1, 0, 6:], shares - np.eye(6)[3], rtol=1e-4, atol=1e-6)
    others = np.delete(diff.reshape(12, 12), 2, 0)
    assert not others[:, [0, 1, 2, 3, 4, 6, 7]].any()
    o = sigmoid(np.delete(X.reshape(12, 12), 2, 0)[:, 5])
    np.testing.assert_allclose(others[:, 5], o * o * (1 - o), rtol=1e-4)


@pytest.mark.parametrize(
    "row",
    [(0, 0, 0.1, 0.1, 0, 1), (1.0, 0.5, 0.1, 0.1, 0, 1), (0.5, 0.5, 0, 0.1, 0, 1)],
)
def test_boxes_that_are_none_are_left_out(row: tuple[float, ...]) -> None:
    net, empty = trained(truth(row)), trained(truth())
    np.testing.assert_array_equal(net.blobs["x"].diff, empty.blobs["x"].diff)


def test_unknown_text_in_front_leaves_the_background_alone() -> None:
    net = trained(truth((0.5, 0.25, 0.1, 0.1, 0, -10)))
    assert np.count_nonzero(net.blobs["x"].diff.reshape(12, 12).any(1)) == 1


def test_upright_truth_has_no_angle() -> None:
    net = trained(truth((0.5, 0.25, 0.9, 0.9, -90, 3)))
    cell = net.blobs["x"].diff.reshape(2, 3, 2, 12)[0, 1, 0]
    assert cell[2] != 0 and not cell[[3, 4]].any()


def test_gradient_obeys_the_loss_weight_unless_the_original_is_asked_for() -> None:
    rows = truth((0.5, 0.25, 0.1, 0.1, 0, 2))
    one, half = trained(rows), trained(rows, 0.5)
    original = trained(rows, 0.5, original_semantics=True)
    np.testing.assert_allclose(half.blobs["x"].diff, one.blobs["x"].diff / 2)
    np.testing.assert_allclose(original.blobs["x"].diff, one.blobs["x"].diff)


def test_overlapping_boxes_of_a_class_are_marked_and_go_behind() -> None:
    x = np.full((1, 1, 1, 24), -9.0)
    x[0, 0, 0, :5] = x[0, 0, 0, 12:17] = 0
    x[0, 0, 0, [5, 17]] = 3, 2  # objectness
    x[0, 0, 0, 2:4] = np.log(np.divide((0.66545245494, 0.357112901109), FIRST))  # the same size
    x[0, 0, 0, [8, 20]] = 0
    net = net_of(SNIPPET % 1, {"x": x, "t": truth()})
    net.forward()
    rows = net.blobs["boxes"].data[0, 0]
    np.testing.assert_allclose(rows[:2, 5], sigmoid(np.array([3, 2.0])) ** 2, rtol=1e-5)
    np.testing.assert_array_equal(rows[:2, 6:9], [[2, 0, 0], [2, 12, 1]])
    assert not rows[2:].any() and not net.blobs["loss"].data.any()


def test_expanded_anchors() -> None:
    layer = layer_of('type: "Region" region_param { expand_bias: true }', 2, 3)
    sizes, shifts = layer.anchors  # type: ignore[attr-defined]
    # Of the first seven anchors four have a side below half a cell and are there five times.
    small = sum(min(s) < 0.5 for s in sizes[[0, 5, 10, 11, 16, 17, 18]])
    assert len(sizes) == len(shifts) == 7 + 4 * small


def test_errors() -> None:
    kind = 'type: "Region" ' + PARAM % 2
    found = error_of(kind, (1, 2, 3, 23), (1, 4, 6), tops=3)
    assert found == "the head has shape (1, 2, 3, 23), allowed: (N, H, W, 24)"
    found = error_of(kind, (1, 2, 3, 24), (1, 4, 5), tops=3)
    assert found == "the ground truth has shape (1, 4, 5), allowed: (1, M, 6)"
