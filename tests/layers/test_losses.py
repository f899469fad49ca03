"""Parameters of loss layers that no golden case covers, against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import AdaptionError
from tests.layers.snippets import error_of, forward, net_of, spread

X = spread(4, 3).numpy()
TARGET = np.array([[0, 1, 0.5], [1, 1, -1], [0, -1, -1.5], [0.2, 0, 1]])
LABEL = np.array([2, 0, 1, 1])


def cross_entropy(x: Any, t: Any) -> Any:
    p = 1 / (1 + np.exp(-x))
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


@pytest.mark.parametrize(
    ("param", "counted", "divisor"),
    [
        pytest.param("", TARGET < 9, 4, id="batch size by default"),
        pytest.param("loss_param { normalize: true }", TARGET < 9, 12, id="normalize true: VALID"),
        pytest.param("loss_param { normalize: false }", TARGET < 9, 4, id="normalize false"),
        pytest.param("loss_param { normalization: NONE }", TARGET < 9, 1, id="NONE"),
        pytest.param("loss_param { normalization: FULL }", TARGET < 9, 12, id="FULL"),
        pytest.param(
            "loss_param { ignore_label: -1 normalize: true }",
            TARGET > -1,
            9,
            id="ignored targets are compared as int: -1.5 is -1",
        ),
        pytest.param(
            "loss_param { ignore_label: 0 normalization: VALID }",
            (TARGET == 1) | (TARGET <= -1),
            7,
            id="ignored targets are compared as int: 0.5 is 0",
        ),
        pytest.param(
            "loss_param { normalize: true normalization: NONE }", TARGET < 9, 1, id="newer wins"
        ),
    ],
)
def test_sigmoid_cross_entropy(param: str, counted: Any, divisor: float) -> None:
    loss = forward(f'type: "SigmoidCrossEntropyLoss" {param}', X, TARGET)
    want = (cross_entropy(X, TARGET) * counted).sum() / divisor
    np.testing.assert_allclose(loss, want, rtol=1e-5)


def test_softmax_loss_weighted_by_class() -> None:
    """SegNet: the label's weight times its loss; the divisor counts every label once."""
    shares = [0.5, 2, 3]
    fields = "weight_by_label_freqs: true ignore_label: 9 " + " ".join(
        f"class_weighting: {w}" for w in shares
    )
    log_p = X - np.log(np.exp(X).sum(1, keepdims=True))
    labels = np.array([2, 9, 0, 1])
    kept = [0, 2, 3]
    want = -sum(shares[labels[i]] * log_p[i, labels[i]] for i in kept) / 3
    text = f'type: "SoftmaxWithLoss" loss_param {{ {fields} }} bottom: "x" bottom: "t" top: "loss"'
    net = net_of(text, {"x": X, "t": labels}, header="force_backward: true", phase="TRAIN")
    with torch.enable_grad():
        net.forward()
    np.testing.assert_allclose(float(net.blobs["loss"].data), want, rtol=1e-6)
    net.backward()
    grad = np.exp(log_p)
    for i in kept:
        grad[i, labels[i]] -= 1
        grad[i] *= shares[labels[i]] / 3
    grad[1] = 0
    np.testing.assert_allclose(net.blobs["x"].diff, grad, rtol=1e-5, atol=1e-7)  # float32
    assert (
        error_of(
            'type: "SoftmaxWithLoss" loss_param { weight_by_label_freqs: true class_weighting: 1 }',
            (4, 3),
            (4,),
        )
        == "loss_param.class_weighting is 'given 1 times', allowed: once per class (3)"
    )


def test_sigmoid_cross_entropy_with_everything_ignored_is_0() -> None:
    param = "loss_param { ignore_label: 1 normalization: VALID }"
    assert forward(f'type: "SigmoidCrossEntropyLoss" {param}', X, np.ones((4, 3))) == 0


def test_sigmoid_cross_entropy_of_large_scores_is_finite() -> None:
    loss = forward('type: "SigmoidCrossEntropyLoss"', [[1000.0, -1000.0]], [[0.0, 1.0]])
    assert loss == 2000


def test_sigmoid_cross_entropy_needs_equal_counts() -> None:
    assert error_of('type: "SigmoidCrossEntropyLoss"', (4, 3), (4,)) == (
        "bottoms have shapes (4, 3) and (4,), allowed: equal"
    )


@pytest.mark.parametrize(("norm", "power"), [("L1", 1), ("L2", 2)])
def test_hinge_of_4_axes_counts_every_position_as_a_class(norm: str, power: int) -> None:
    x = spread(2, 3, 2, 1).numpy()
    rows = x.reshape(2, 6).copy()
    label = [4, 1]
    rows[[0, 1], label] *= -1
    want = (np.maximum(1 + rows, 0) ** power).sum() / 2
    loss = forward(f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}', x, label)
    np.testing.assert_allclose(loss, want, rtol=1e-6)


@pytest.mark.parametrize("kind", ["HingeLoss", "MultinomialLogisticLoss"])
def test_labels(kind: str) -> None:
    with pytest.raises(AdaptionError, match=r"label is -1, allowed: 0\.\.2"):
        forward(f'type: "{kind}"', X, [0, 1, 2, -1])
    assert error_of(f'type: "{kind}"', (4, 3), (4, 2)) == (
        "bottoms have shapes (4, 3) and (4, 2), allowed: (N, ...) and one label per sample"
    )


def test_multinomial_logistic_floors_the_probability_but_not_its_gradient() -> None:
    net = net_of(
        'type: "MultinomialLogisticLoss" bottom: "p" bottom: "label" top: "loss"',
        {"p": [[0, 1], [0.5, 0.5]], "label": [0, 1]},
        header="force_backward: true",
    )
    net.forward()
    np.testing.assert_allclose(net.blobs["loss"].data, (20 * np.log(10) + np.log(2)) / 2, rtol=1e-6)
    net.backward()
    np.testing.assert_allclose(net.blobs["p"].diff, [[-5e19, 0], [0, -1]], rtol=1e-6)


def test_smooth_l1_weights() -> None:
    x, t, inside, outside = (spread(2, 4, seed=i).numpy() for i in range(4))
    d = inside * (x - t)
    losses = np.where(np.abs(d) < 0.25, 2 * d * d, np.abs(d) - 0.125)  # sigma 2
    loss = forward('type: "SmoothL1Loss" smooth_l1_loss_param { sigma: 2 }', x, t, inside, outside)
    np.testing.assert_allclose(loss, (outside * losses).sum() / 2, rtol=1e-5)


def test_smooth_l1_errors() -> None:
    assert error_of('type: "SmoothL1Loss"', (2, 3), (2, 3), (2, 3)) == (
        'layer "L" (SmoothL1Loss): has 3 bottoms, allowed: 2, or 4 with inside and outside weights'
    )
    assert error_of('type: "SmoothL1Loss"', (2, 3), (2, 4)) == (
        "bottoms have shapes (2, 3) and (2, 4), allowed: equal"
    )
