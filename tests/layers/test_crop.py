from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward

X = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("param", "reference", "want"),
    [
        pytest.param("axis: 1", (9, 2, 3), X[:, :2, :3], id="no offset; axes before are kept"),
        pytest.param("axis: 0 offset: 1", (1, 2, 3), X[1:, 1:, 1:], id="one offset for all axes"),
        pytest.param("axis: 1 offset: 0 offset: 2", (2, 3, 2), X[:, :, 2:], id="one per axis"),
        pytest.param("axis: -1 offset: 3", (2, 3, 1), X[:, :, 3:], id="negative axis"),
    ],
)
def test_crop(param: str, reference: tuple[int, ...], want: np.ndarray) -> None:
    y = forward(f'type: "Crop" crop_param {{ {param} }}', X, np.zeros(reference))
    np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize(
    ("param", "reference", "message"),
    [
        pytest.param(
            "axis: 1 offset: 2",
            (2, 2, 2),
            "axis 1 of size 3 cannot be cropped to 2 from offset 2",
            id="offset too large",
        ),
        pytest.param(
            "axis: 0 offset: 1 offset: 1",
            (1, 1, 1),
            "crop_param.offset is [1, 1], allowed: none, one, or one per axis (3)",
            id="offsets for some axes",
        ),
        pytest.param(
            "axis: 1",
            (2, 2),
            "bottoms have shapes (2, 3, 4) and (2, 2), allowed: as many axes",
            id="another rank",
        ),
        pytest.param(
            "axis: 3",
            (2, 3, 4),
            "axis is 3, allowed: -3..2 for a blob of 3 axes",
            id="axis",
        ),
    ],
)
def test_errors(param: str, reference: tuple[int, ...], message: str) -> None:
    assert error_of(f'type: "Crop" crop_param {{ {param} }}', X.shape, reference) == message
