from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward, layer_of, spread

SHAPE = (1, 2, 7, 9)


@pytest.mark.parametrize(
    ("param", "want"),
    [
        ("height: 3 width: 4", (3, 4)),
        ("zoom_factor: 2", (13, 17)),
        ("shrink_factor: 3", (3, 3)),
        ("shrink_factor: 2 zoom_factor: 3", (10, 13)),
        ("zoom_factor: 2 height: 3 width: 4", (13, 17)),
        ("shrink_factor: 2 zoom_factor: 3 height: 3 width: 4", (3, 4)),
        ("shrink_factor: 2 zoom_factor: 3 height: 3", (10, 13)),
        ("zoom_factor: 1 pad_beg: -1 pad_end: -2", (4, 6)),
    ],
)
def test_sizes(param: str, want: tuple[int, int]) -> None:
    layer = layer_of(f'type: "Interp" interp_param {{ {param} }}')
    assert layer.top_shapes(SHAPE) == [(*SHAPE[:2], *want)]


def test_corners_are_aligned_behind_the_crop() -> None:
    x = spread(*SHAPE).numpy()
    param = "height: 5 width: 4 pad_beg: -1 pad_end: -2"
    y = forward(f'type: "Interp" interp_param {{ {param} }}', x)
    cut = x[:, :, 1:-2, 1:-2]
    np.testing.assert_allclose(y[..., 0, 0], cut[..., 0, 0], rtol=1e-6)
    np.testing.assert_allclose(y[..., -1, -1], cut[..., -1, -1], rtol=1e-6)
    rows = np.linspace(0, 3, 5)
    want = [np.interp(rows, range(4), plane[:, 0]) for plane in cut[0]]
    np.testing.assert_allclose(y[0, :, :, 0], want, rtol=1e-5)


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("", "allowed: height and width, or zoom_factor, or shrink_factor"),
        ("height: 3", "allowed: height and width, or zoom_factor, or shrink_factor"),
        ("height: 0 width: 2", "interp_param.height and width is [0, 2], allowed: 1 or more"),
        ("zoom_factor: 0", "interp_param.zoom_factor is 0, allowed: 1 or more"),
        ("zoom_factor: 2 pad_beg: 1", "interp_param.pad_beg is 1, allowed: 0 or less (crop)"),
        ("zoom_factor: 2 pad_end: -7", "leave nothing of a bottom of shape (1, 2, 7, 9)"),
    ],
)
def test_errors(param: str, message: str) -> None:
    assert message in error_of(f'type: "Interp" interp_param {{ {param} }}', SHAPE)
