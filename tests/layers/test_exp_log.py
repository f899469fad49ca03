from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward

X = np.array([0.25, 0.5, 2.0])


@pytest.mark.parametrize(
    ("param", "want"),
    [
        pytest.param("", np.exp(X), id="e"),
        pytest.param("base: 2", 2**X, id="base"),
        pytest.param("base: 2 scale: 3 shift: -1", 2 ** (3 * X - 1), id="scale and shift"),
        pytest.param("shift: 2", np.exp(X + 2), id="shift with e"),
        pytest.param("base: 1 scale: 7", np.ones(3), id="base 1"),
    ],
)
def test_exp(param: str, want: np.ndarray) -> None:
    y = forward(f'type: "Exp" exp_param {{ {param} }}', X)
    np.testing.assert_allclose(y, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("param", "want"),
    [
        pytest.param("", np.log(X), id="e"),
        pytest.param("base: 10", np.log10(X), id="base"),
        pytest.param("base: 2 scale: 3 shift: 1", np.log2(3 * X + 1), id="scale and shift"),
        pytest.param("base: 0.5", -np.log2(X), id="base below 1"),
    ],
)
def test_log(param: str, want: np.ndarray) -> None:
    y = forward(f'type: "Log" log_param {{ {param} }}', X)
    np.testing.assert_allclose(y, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("snippet", "message"),
    [
        (
            'type: "Exp" exp_param { base: -2 }',
            'layer "L" (Exp): exp_param.base is -2.0, allowed: above 0, or -1 for e',
        ),
        (
            'type: "Log" log_param { base: 0 }',
            'layer "L" (Log): log_param.base is 0.0, allowed: above 0 but not 1, or -1 for e',
        ),
        (
            'type: "Log" log_param { base: 1 }',
            'layer "L" (Log): log_param.base is 1.0, allowed: above 0 but not 1, or -1 for e',
        ),
    ],
)
def test_bases(snippet: str, message: str) -> None:
    assert error_of(snippet, (2,)) == message
