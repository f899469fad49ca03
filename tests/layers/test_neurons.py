"""Element-wise layers whose parameters no golden case of the original covers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward, net_of

X = np.array([-8.0, -1.0, 0.0, 0.5, 6.0, 9.0])


@pytest.mark.parametrize(
    ("snippet", "want"),
    [
        ('type: "Clip" clip_param { min: -1 max: 5 }', np.clip(X, -1, 5)),
        ('type: "Clip" clip_param { min: 1 max: -1 }', np.ones(6)),
        ('type: "ReLU6"', np.clip(X, 0, 6)),
        ('type: "ReLU6" relu6_param { negative_slope: 0.1 }', [-0.8, -0.1, 0, 0.5, 6, 6]),
        ('type: "Swish" swish_param { beta: 2 }', X / (1 + np.exp(-2 * X))),
        ('type: "Threshold" threshold_param { threshold: -1 }', X > -1),
        ('type: "Threshold"', X > 0),
        ('type: "ELU" elu_param { alpha: 2 }', np.where(X > 0, X, 2 * np.expm1(X))),
        ('type: "BNLL"', np.logaddexp(0, X)),
    ],
)
def test_forward(snippet: str, want: Any) -> None:
    np.testing.assert_allclose(forward(snippet, X), want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("snippet", "want"),
    [
        pytest.param('type: "AbsVal"', [-1, -1, 0, 1, 1, 1], id="AbsVal: 0 at 0"),
        pytest.param('type: "ReLU6"', [0, 0, 0, 1, 0, 0], id="ReLU6: 0 at 0 and 6"),
        pytest.param(
            'type: "Clip" clip_param { min: -1 max: 6 }',
            [0, 1, 1, 1, 1, 0],
            id="Clip: 1 at both bounds",
        ),
        pytest.param(
            'type: "ELU" elu_param { alpha: 2 }',
            [2 * np.exp(-8), 2 * np.exp(-1), 2, 1, 1, 1],
            id="ELU: alpha at 0",
        ),
    ],
)
def test_gradient_at_the_edges(snippet: str, want: Any) -> None:
    net = net_of(f'{snippet} bottom: "x" top: "y"', {"x": X}, header="force_backward: true")
    net.forward()
    net.blobs["y"].diff[...] = 1
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, want, rtol=1e-5)


def test_clip_needs_both_bounds() -> None:
    assert error_of('type: "Clip" clip_param { min: 0 }', (1,)) == (
        "layer \"L\" (Clip): clip_param.max is 'missing', allowed: a number"
    )
