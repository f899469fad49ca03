"""The layers of online hard example mining: BoxAnnotatorOHEM and the losses before it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adaption.layers.base import Runtime
from tests.layers.snippets import error_of, forward, layer_of, net_of, spread

ANNOTATOR = 'type: "BoxAnnotatorOHEM" box_annotator_ohem_param { roi_per_img: 2 }'


def test_annotator_keeps_the_hardest_of_each_image() -> None:
    rois = np.zeros((5, 5))
    rois[:, 0] = [0, 1, 0, 0, 1]
    labels, weights = forward(
        ANNOTATOR, rois, [3, 1, 5, 4, 2], [1, 2, 3, 4, 5], np.full((5, 2), 0.5), tops=2
    )
    assert labels[:, 0, 0, 0].tolist() == [-1, 2, 3, 4, 5]
    assert weights[:, :, 0, 0].tolist() == [[0, 0], *[[0.5, 0.5]] * 4]


def test_annotator_counts_positions_as_regions() -> None:
    rois = np.zeros((1, 5, 2, 2))
    loss = np.arange(4).reshape(1, 1, 2, 2)
    labels, weights = forward(ANNOTATOR, rois, loss, loss + 10, np.ones((1, 3, 2, 2)), tops=2)
    assert labels.tolist() == [[[[-1, -1], [12, 13]]]]
    assert weights.tolist() == [[[[0, 0], [1, 1]]] * 3]


def test_annotator_errors() -> None:
    assert error_of('type: "BoxAnnotatorOHEM"', (2, 5), (2,), (2,), (2, 4), tops=2) == (
        "layer \"L\" (BoxAnnotatorOHEM): box_annotator_ohem_param.roi_per_img is 'missing',"
        " allowed: 1 or more"
    )
    assert error_of(ANNOTATOR, (2, 5), (3,), (2,), (2, 4), tops=2) == (
        "a bottom has shape (3,), allowed: (2, 1, 1, 1)"
    )
    assert error_of(ANNOTATOR, (2, 5), (2,), (2,), (3, 4), tops=2) == (
        "a bottom has shape (3, 4), allowed: (2, C, 1, 1)"
    )


X, T, W = (spread(2, 3, 2, 2, seed=i).numpy() for i in range(3))


@pytest.mark.parametrize(
    ("normalization", "divisor"),
    [
        ("", 8),
        ("normalization: FULL", 8),
        ("normalization: BATCH_SIZE", 2),
        ("normalize: false", 2),
        ("normalization: NONE", 1),
        ("normalization: PRE_FIXED pre_fixed_normalizer: 5", 5),
    ],
)
def test_smooth_l1(normalization: str, divisor: float) -> None:
    text = f'type: "SmoothL1LossOHEM" loss_param {{ {normalization} }}'
    d = W * (X - T)
    losses = np.where(np.abs(d) < 1, 0.5 * d**2, np.abs(d) - 0.5)
    loss, each = forward(text, X, T, W, tops=2)
    assert loss == pytest.approx(losses.sum() / divisor, rel=1e-5)
    np.testing.assert_allclose(each, losses.sum(1, keepdims=True), rtol=1e-5)


def test_smooth_l1_gradient_has_the_weight_unless_the_original_is_asked_for() -> None:
    for original_semantics, factor in ((False, 0.5), (True, 1)):
        net = net_of(
            'type: "SmoothL1LossOHEM" bottom: "x" bottom: "t" bottom: "w" top: "loss"'
            " loss_weight: 1",
            {"x": [[0.4, 8]], "t": [[0, 0]], "w": [[0.5, 0.5]]},
            header="force_backward: true",
            original_semantics=original_semantics,
        )
        net.forward()
        net.backward()
        np.testing.assert_allclose(net.blobs["x"].diff, [[0.2 * factor, factor]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["SmoothL1Loss", "SmoothL1LossOHEM"])
def test_forgotten_loss_weight(kind: str) -> None:
    snippet = f'type: "{kind}" bottom: "x" bottom: "t" top: "loss"'
    inputs = {"x": [[1.0]], "t": [[0.0]]}
    weights = [
        net_of(snippet, inputs, original_semantics=original).nodes[-1].loss_weights
        for original in (False, True)
    ]
    assert weights == [[1.0], [0.0]]


def test_softmax_tells_the_loss_of_each_label() -> None:
    x, label = spread(3, 4).numpy(), np.array([1, 3, 0])
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    each = -np.log(p[range(3), label])
    text = 'type: "SoftmaxWithLossOHEM" loss_weight: 1 loss_weight: 0 loss_weight: 0'
    loss, probabilities, found = forward(text, x, label, tops=3)
    assert loss == pytest.approx(each.mean(), rel=1e-5)
    np.testing.assert_allclose(probabilities, p, rtol=1e-5)
    np.testing.assert_allclose(found, each, rtol=1e-5)
    ignoring = 'type: "SoftmaxWithLossOHEM" loss_param { ignore_label: 3 } loss_weight: 1'
    loss, _, found = forward(ignoring + " loss_weight: 0" * 2, x, label, tops=3)
    assert loss == pytest.approx((each[0] + each[2]) / 2, rel=1e-5)
    assert found[1] == 0


def test_softmax_of_the_original_leaves_the_second_of_three_tops_empty() -> None:
    text = 'type: "SoftmaxWithLossOHEM" loss_weight: 1' + " loss_weight: 0"
    bottoms = spread(3, 4), torch.tensor([1, 3, 0])
    two = layer_of(text, 2, 2).run(Runtime(original_semantics=True), *bottoms)
    three = layer_of(text + " loss_weight: 0", 2, 3).run(Runtime(original_semantics=True), *bottoms)
    assert two[1].sum() == pytest.approx(3)
    assert three[1].sum() == 0
