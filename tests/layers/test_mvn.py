from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward, net_of, spread


@pytest.mark.parametrize(
    ("param", "axes", "eps"),
    [
        pytest.param("eps: 0.5", (2, 3), 0.5, id="eps is added to the deviation"),
        pytest.param("across_channels: true eps: 0.1", (1, 2, 3), 0.1, id="across channels"),
    ],
)
def test_mvn(param: str, axes: tuple[int, ...], eps: float) -> None:
    x = spread(2, 3, 2, 4).numpy()
    y = forward(f'type: "MVN" mvn_param {{ {param} }}', x)
    centred = x - x.mean(axes, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axes, keepdims=True))
    np.testing.assert_allclose(y, centred / (deviation + eps), rtol=1e-5, atol=1e-6)


def test_mean_across_channels() -> None:
    x = spread(2, 3, 2, 4).numpy()
    y = forward('type: "MVN" mvn_param { across_channels: true normalize_variance: false }', x)
    np.testing.assert_allclose(y, x - x.mean((1, 2, 3), keepdims=True), rtol=1e-5, atol=1e-6)


def test_top_has_four_axes() -> None:
    assert forward('type: "MVN"', np.ones((2, 3))).shape == (2, 3, 1, 1)
    assert error_of('type: "MVN"', (1, 2, 3, 4, 5)) == (
        "bottom has shape (1, 2, 3, 4, 5), allowed: at most 4 axes"
    )


def test_constant_channel_has_a_finite_gradient() -> None:
    net = net_of(
        'type: "MVN" bottom: "x" top: "y" mvn_param { eps: 1 }',
        {"x": np.full((1, 1, 2, 2), 3.0)},
        header="force_backward: true",
    )
    net.forward()
    net.blobs["y"].diff[...] = [[[[1, 0], [0, 0]]]]
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff, [[[[0.75, -0.25], [-0.25, -0.25]]]])
