from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward, net_of

A, B = [[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]], [[1.0, 0.0], [0.3, 0.4], [0.0, 0.0]]
SIMILAR = [1, 0, 0]


@pytest.mark.parametrize(
    ("param", "want"),
    [
        pytest.param("", (4 + 0.25 + 0) / 6, id="margin 1"),
        pytest.param("margin: 6", (4 + 5.5**2 + 1) / 6, id="margin"),
        pytest.param("margin: 6 legacy_version: true", (4 + 5.75 + 0) / 6, id="legacy"),
    ],
)
def test_loss(param: str, want: float) -> None:
    loss = forward(f'type: "ContrastiveLoss" contrastive_loss_param {{ {param} }}', A, B, SIMILAR)
    np.testing.assert_allclose(loss, want, rtol=1e-6)


def test_gradient_at_distance_0_is_finite() -> None:
    net = net_of(
        'type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "similar" top: "loss"',
        {"a": [[1, 1]], "b": [[1, 1]], "similar": [0]},
        header="force_backward: true",
    )
    net.forward()
    net.backward()
    np.testing.assert_array_equal(net.blobs["a"].diff, [[0, 0]])


def test_pairs_must_match() -> None:
    assert error_of('type: "ContrastiveLoss"', (2, 3), (2, 4), (2,)) == (
        "bottoms have shapes (2, 3) and (2, 4), allowed: equal"
    )
