from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward

X = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("order", "full"),
    [("", (0, 1, 2)), ("order: 2", (2, 0, 1)), ("order: 1 order: 2", (1, 2, 0))],
)
def test_missing_axes_follow_in_order(order: str, full: tuple[int, ...]) -> None:
    y = forward(f'type: "Permute" permute_param {{ {order} }}', X)
    np.testing.assert_array_equal(y, X.transpose(full))


@pytest.mark.parametrize("order", ["order: 1 order: 1", "order: 3"])
def test_order_out_of_range(order: str) -> None:
    found = [int(v) for v in order.replace("order:", "").split()]
    assert error_of(f'type: "Permute" permute_param {{ {order} }}', X.shape) == (
        f"permute_param.order is {found}, allowed: each of 0..2 once"
    )
