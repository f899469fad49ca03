from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adaption.errors import AdaptionError
from tests.layers.snippets import error_of, forward, net_of, spread

X = spread(2, 2, 6, 7).numpy()


def reference(x: Any, rois: Any, grid: tuple[int, int], scale: float) -> Any:
    """roi_pooling_layer.cpp, cell by cell."""
    tops = np.zeros((len(rois), x.shape[1], *grid))
    for r, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (int(np.trunc(v * scale + np.copysign(0.5, v))) for v in corners)
        height, width = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i in range(grid[0]):
            for j in range(grid[1]):
                top = np.clip(y1 + int(np.floor(i * height / grid[0])), 0, x.shape[2])
                bottom = np.clip(y1 + int(np.ceil((i + 1) * height / grid[0])), 0, x.shape[2])
                left = np.clip(x1 + int(np.floor(j * width / grid[1])), 0, x.shape[3])
                right = np.clip(x1 + int(np.ceil((j + 1) * width / grid[1])), 0, x.shape[3])
                if top < bottom and left < right:
                    tops[r, :, i, j] = x[int(image), :, top:bottom, left:right].max((1, 2))
    return tops


ROIS = np.array(
    [
        [0, 0, 0, 12, 10],
        [1, 3, 2, 11, 8],
        [1, -6, -6, 4, 4],
        [0, 12, 3, 40, 9],
        [0, 30, 30, 40, 40],
        [1, 9, 9, 3, 3],
        [1, 5, 5, 5, 5],
    ]
)


@pytest.mark.parametrize(
    ("param", "grid", "scale"),
    [
        pytest.param("pooled_h: 2 pooled_w: 3", (2, 3), 1.0, id="scale 1"),
        pytest.param("pooled_h: 3 pooled_w: 1 spatial_scale: 0.5", (3, 1), 0.5, id="scale 1/2"),
        pytest.param("pooled_size: 2 spatial_scale: 0.5", (2, 2), 0.5, id="pooled_size"),
        pytest.param("pooled_size: 3 pooled_size: 2", (3, 2), 1.0, id="pooled_size twice"),
    ],
)
def test_regions_within_around_and_beside_the_image(
    param: str, grid: tuple[int, int], scale: float
) -> None:
    y = forward(f'type: "ROIPooling" roi_pooling_param {{ {param} }}', X, ROIS)
    np.testing.assert_array_equal(y, reference(X, ROIS, grid, scale).astype(np.float32))


def test_no_region() -> None:
    y = forward('type: "ROIPooling" roi_pooling_param { pooled_size: 2 }', X, np.zeros((0, 5)))
    assert y.shape == (0, 2, 2, 2)


@pytest.mark.parametrize(
    ("original_semantics", "want"),
    [
        pytest.param(False, [[0, 0, 0], [0, 0, 1], [0, 0, 0]], id="pooled pixels learn"),
        pytest.param(True, [[0, 0, 0], [0, 0, 0], [0, 0, 0]], id="the original leaves it out"),
    ],
)
def test_gradient_of_a_region_that_ends_before_it_starts(
    original_semantics: bool, want: Any
) -> None:
    net = net_of(
        'type: "ROIPooling" bottom: "x" bottom: "r" top: "y" roi_pooling_param { pooled_size: 1 }',
        {"x": np.arange(9).reshape(1, 1, 3, 3), "r": [[0, 2, 1, 0, 0]]},
        header="force_backward: true",
        original_semantics=original_semantics,
    )
    net.forward()
    assert net.blobs["y"].data.item() == 5
    net.blobs["y"].diff[...] = 1
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff[0, 0], want)


def test_first_of_equal_maxima_in_row_major_order_learns() -> None:
    net = net_of(
        'type: "ROIPooling" bottom: "x" bottom: "r" top: "y" roi_pooling_param { pooled_size: 1 }',
        {"x": [[[[0, 0, 1], [0, 1, 0], [1, 0, 1]]]], "r": [[0, 0, 0, 2, 2]]},
        header="force_backward: true",
    )
    net.forward()
    net.blobs["y"].diff[...] = 1
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff[0, 0], [[0, 0, 1], [0, 0, 0], [0, 0, 0]])


def test_errors() -> None:
    snippet = 'type: "ROIPooling" roi_pooling_param { pooled_size: 2 }'
    with pytest.raises(AdaptionError, match=r"image index of a region is 2, allowed: 0\.\.1"):
        forward(snippet, X, [[2, 0, 0, 1, 1]])
    assert error_of(snippet, X.shape, (3, 4)) == ("the regions have shape (3, 4), allowed: (R, 5)")
    assert error_of('type: "ROIPooling"', X.shape, (3, 5)) == (
        'layer "L" (ROIPooling): roi_pooling_param.pooled_h is 0, allowed: 1 or more'
    )
