from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from adaption.errors import AdaptionError
from tests.layers.snippets import error_of, forward, layer_of, spread

ROIS = np.array(
    [
        [0, 0, 0, 12, 10],
        [1, 3, 2, 11, 8],
        [1, -6, -6, 4, 4],
        [0, 12.5, 3.5, 40, 9],
        [0, 30, 30, 40, 40],
        [1, 9, 9, 3, 3],
        [1, 5, 5, 5, 5],
    ]
)


def reference(x: Any, rois: Any, dim: int, cells: int, scale: float) -> Any:
    """psroi_pooling_layer.cpp, cell by cell."""
    tops = np.zeros((len(rois), dim, cells, cells))
    for r, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (np.trunc(v + np.copysign(0.5, v)) for v in corners)
        left, top = np.float32(x1) * np.float32(scale), np.float32(y1) * np.float32(scale)
        right, bottom = (np.float32(v + 1) * np.float32(scale) for v in (x2, y2))
        width, height = max(right - left, np.float32(0.1)), max(bottom - top, np.float32(0.1))
        for i, j in np.ndindex(cells, cells):
            rows, columns = (
                (
                    int(np.clip(np.floor(at * side / cells + start), 0, size)),
                    int(np.clip(np.ceil((at + 1) * side / cells + start), 0, size)),
                )
                for at, side, start, size in (
                    (i, height, top, x.shape[2]),
                    (j, width, left, x.shape[3]),
                )
            )
            for d in range(dim):
                own = x[int(image), (d * cells + i) * cells + j, slice(*rows), slice(*columns)]
                tops[r, d, i, j] = own.mean() if own.size else 0
    return tops


@pytest.mark.parametrize(("dim", "cells", "scale"), [(2, 3, 1.0), (4, 2, 0.5), (18, 1, 0.25)])
def test_regions_within_around_and_beside_the_image(dim: int, cells: int, scale: float) -> None:
    x = spread(2, dim * cells**2, 6, 7).numpy()
    param = f"output_dim: {dim} group_size: {cells} spatial_scale: {scale}"
    y = forward(f'type: "PSROIPooling" psroi_pooling_param {{ {param} }}', x, ROIS)
    want = reference(np.float32(x), ROIS, dim, cells, scale)
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)


def test_channels_last_memory() -> None:
    param = "output_dim: 2 group_size: 2 spatial_scale: 0.5"
    layer = layer_of(f'type: "PSROIPooling" psroi_pooling_param {{ {param} }}', 2)
    x, rois = spread(2, 8, 6, 7), torch.from_numpy(ROIS)
    y = layer.forward(x.to(memory_format=torch.channels_last), rois)
    torch.testing.assert_close(y, layer.forward(x, rois))


def test_no_region() -> None:
    text = (
        'type: "PSROIPooling" psroi_pooling_param { output_dim: 2 group_size: 1 spatial_scale: 1 }'
    )
    assert forward(text, np.zeros((1, 2, 4, 4)), np.zeros((0, 5))).shape == (0, 2, 1, 1)


def test_errors() -> None:
    text = (
        'type: "PSROIPooling" psroi_pooling_param { output_dim: 2 group_size: 2 spatial_scale: 1 }'
    )
    with pytest.raises(AdaptionError, match=r"image index of a region is 1, allowed: 0\.\.0"):
        forward(text, np.zeros((1, 8, 4, 4)), [[1, 0, 0, 1, 1]])
    assert error_of(text, (1, 9, 4, 4), (3, 5)) == (
        "bottom has shape (1, 9, 4, 4), allowed: (N, 8, H, W) for output_dim 2 and group_size 2"
    )
    assert error_of(text, (1, 8, 4, 4), (3, 4)) == "the regions have shape (3, 4), allowed: (R, 5)"
    assert error_of('type: "PSROIPooling"', (1, 9, 4, 4), (3, 5)) == (
        "layer \"L\" (PSROIPooling): psroi_pooling_param.spatial_scale is 'missing',"
        " allowed: above 0"
    )
