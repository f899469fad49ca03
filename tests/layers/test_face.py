"""CenterLoss and MarginInnerProduct."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, net_of, spread

LABELS = [2, 0, 2, 1]
X = spread(4, 5).numpy()


def test_center_loss_moves_each_centre_by_its_own_rule() -> None:
    net = net_of(
        'type: "CenterLoss" bottom: "x" bottom: "t" top: "loss" loss_weight: 0.5'
        ' center_loss_param { num_output: 4 center_filler { type: "xavier" } }',
        {"x": X, "t": LABELS},
        "TRAIN",
        "force_backward: true",
    )
    centers = net.params["L"][0].data.copy()
    net.forward()
    net.backward()
    way = X - centers[LABELS]
    np.testing.assert_allclose(net.blobs["loss"].data, (way**2).sum() / 8, rtol=1e-5)
    np.testing.assert_allclose(net.blobs["x"].diff, 0.5 * way / 4, rtol=1e-5)
    want = np.stack([-way[1] / 2, -way[3] / 2, -(way[0] + way[2]) / 3, np.zeros(5)])
    np.testing.assert_allclose(net.params["L"][0].diff, want, rtol=1e-5, atol=1e-6)


def psi(kind: str, c: np.ndarray) -> np.ndarray:
    """(-1)^k cos(m angle) - 2 k on the k-th of m parts of 0..pi: Liu et al. 2017, equation 7."""
    m = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "QUADRUPLE": 4}[kind]
    angle = np.arccos(c)
    k = np.minimum(np.floor(angle * m / np.pi), m - 1)
    return (-1) ** k * np.cos(m * angle) - 2 * k


@pytest.mark.parametrize("kind", ["SINGLE", "DOUBLE", "TRIPLE", "QUADRUPLE"])
def test_margin_against_the_paper(kind: str) -> None:
    param = f"num_output: 3 type: {kind} base: 8 gamma: 1 power: 2 iteration: 2 lambda_min: 0.4"
    net = net_of(
        'type: "MarginInnerProduct" bottom: "x" bottom: "t" top: "y" top: "lambda"'
        f' margin_inner_product_param {{ {param} weight_filler {{ type: "xavier" }} }}',
        {"x": X, "t": LABELS},
        "TRAIN",
    )
    weight = net.params["L"][0].data.copy()
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    plain, length = X @ weight.T, np.linalg.norm(X, axis=1)
    for mix in (8 / 16, 0.4):  # 8 (1 + 3)^-2, then the least
        net.forward()
        want = plain.copy()
        rows = np.arange(4)
        own = plain[rows, LABELS]
        margin = length * psi(kind, own / length)
        want[rows, LABELS] = (margin + mix * own) / (1 + mix)
        np.testing.assert_allclose(net.blobs["lambda"].data, [mix], rtol=1e-6)
        np.testing.assert_allclose(net.blobs["y"].data, want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(net.params["L"][0].data, weight, rtol=1e-5)


def test_errors() -> None:
    param = "margin_inner_product_param { num_output: 3 }"
    margin = f'type: "MarginInnerProduct" {param}'
    assert "labels have shape (3,), allowed: one for each of" in error_of(margin, (4, 5), (3,))
    assert "num_output is 0, allowed: 1 or more" in error_of(
        'type: "MarginInnerProduct"', (4, 5), (4,)
    )
    assert "num_output is 0, allowed: 1 or more" in error_of('type: "CenterLoss"', (4, 5), (4,))
