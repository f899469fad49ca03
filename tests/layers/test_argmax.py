from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward

X = [[3, 1, 3], [2, 5, 4]]


@pytest.mark.parametrize(
    ("param", "x", "want"),
    [
        pytest.param("", X, [[[2]], [[1]]], id="ties go to the highest index"),
        pytest.param("top_k: 2", X, [[[2, 0]], [[1, 2]]], id="top_k"),
        pytest.param("out_max_val: true", X, [[[2], [3]], [[1], [5]]], id="index, then value"),
        pytest.param("axis: 0", X, [[0, 1, 1]], id="axis 0"),
        pytest.param("axis: -1", X, [[2], [1]], id="negative axis"),
        pytest.param("axis: 1 top_k: 3", X, [[2, 0, 1], [1, 2, 0]], id="top_k is the axis"),
        pytest.param("axis: 0 out_max_val: true", X, [[3, 5, 4]], id="values along an axis"),
        pytest.param("", np.arange(16).reshape(1, 2, 2, 4), [[[[15]]]], id="4 axes give 4 axes"),
        pytest.param("", [4, 7], [[[0]], [[0]]], id="samples of one value"),
    ],
)
def test_argmax(param: str, x: Any, want: Any) -> None:
    y = forward(f'type: "ArgMax" argmax_param {{ {param} }}', x)
    np.testing.assert_array_equal(y, np.array(want))


def test_top_k_out_of_range() -> None:
    message = error_of('type: "ArgMax" argmax_param { top_k: 4 axis: 1 }', (2, 3))
    assert message == "argmax_param.top_k is 4, allowed: 1..3"
