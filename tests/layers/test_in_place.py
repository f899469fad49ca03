"""In-place layers: the right gradient by default, the original's with original_semantics.

Where a layer's Backward reads the bottom data, or builds the derivative in the bottom diff before
it multiplies by the top diff, running in place makes it read what it has overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.layers.snippets import net_of

Array = NDArray[Any]
X = np.array([0.3, 0.7, 1.5])
GRAD = np.array([1.0, -2.0, 0.5])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("snippet", "forward", "right", "original"),
    [
        pytest.param(
            'type: "Power" power_param { power: 1 scale: 3 shift: 1 }',
            lambda x: 3 * x + 1,
            lambda x, y: GRAD * 3,
            lambda y: 0 * y + 9,
            id="Power 1",
        ),
        pytest.param(
            'type: "Power" power_param { power: 2 scale: 3 shift: 1 }',
            lambda x: (3 * x + 1) ** 2,
            lambda x, y: GRAD * 6 * (3 * x + 1),
            lambda y: (6 * (3 * y + 1)) ** 2,
            id="Power 2",
        ),
        pytest.param(
            'type: "Power" power_param { power: 3 scale: 2 shift: 1 }',
            lambda x: (2 * x + 1) ** 3,
            lambda x, y: GRAD * 6 * (2 * x + 1) ** 2,
            lambda y: (6 * y / (2 * y + 1)) ** 2,
            id="Power 3",
        ),
        pytest.param(
            'type: "Power" power_param { power: 3 scale: 2 }',
            lambda x: (2 * x) ** 3,
            lambda x, y: GRAD * 6 * (2 * x) ** 2,
            lambda y: 0 * y + 9,
            id="Power without shift",
        ),
        pytest.param(
            'type: "Power" power_param { power: 0 }',
            lambda x: 0 * x + 1,
            lambda x, y: 0 * x,
            lambda y: 0 * y,
            id="Power 0",
        ),
        pytest.param(
            'type: "Log" log_param { base: 2 scale: 3 shift: 1 }',
            lambda x: np.log2(3 * x + 1),
            lambda x, y: GRAD * 3 / np.log(2) / (3 * x + 1),
            lambda y: (3 / np.log(2) / (3 * y + 1)) ** 2,
            id="Log",
        ),
        pytest.param(
            'type: "BNLL"',
            lambda x: np.log1p(np.exp(x)),
            lambda x, y: GRAD * sigmoid(x),
            lambda y: GRAD * sigmoid(y),
            id="BNLL",
        ),
        pytest.param(
            'type: "Clip" clip_param { min: 0.5 max: 1 }',
            lambda x: np.clip(x, 0.5, 1),
            lambda x, y: GRAD * (x == y),
            lambda y: GRAD,
            id="Clip",
        ),
        pytest.param(
            'type: "Exp"',
            np.exp,
            lambda x, y: GRAD * y,
            lambda y: GRAD * y,
            id="Exp, which reads the top only",
        ),
    ],
)
def test_in_place_gradient(
    snippet: str,
    forward: Callable[[Array], Array],
    right: Callable[[Array, Array], Array],
    original: Callable[[Array], Array],
) -> None:
    y = forward(X)
    for original_semantics, want in ((False, right(X, y)), (True, original(y))):
        net = net_of(
            f'{snippet} bottom: "x" top: "x"',
            {"x": X},
            header="force_backward: true",
            original_semantics=original_semantics,
        )
        net.forward()
        np.testing.assert_allclose(net.blobs["x"].data, y, rtol=1e-5)
        net.blobs["x"].diff[...] = GRAD
        net.backward()
        np.testing.assert_allclose(net.blobs["x"].diff, want, rtol=1e-4)


@pytest.mark.parametrize("snippet", ['type: "Power" power_param { scale: 3 }', 'type: "BNLL"'])
def test_original_semantics_keeps_the_gradient_of_a_top_of_its_own(snippet: str) -> None:
    diffs = []
    for original_semantics in (False, True):
        net = net_of(
            f'{snippet} bottom: "x" top: "y"',
            {"x": X},
            header="force_backward: true",
            original_semantics=original_semantics,
        )
        net.forward()
        net.blobs["y"].diff[...] = GRAD
        net.backward()
        diffs.append(net.blobs["x"].diff.copy())
    np.testing.assert_array_equal(*diffs)
