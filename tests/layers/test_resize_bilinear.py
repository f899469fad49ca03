from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward, spread

X = spread(1, 2, 4, 5).numpy()


def positions(rule: str, before: int, after: int) -> np.ndarray:
    at = np.arange(after)
    if rule == "align_corners" and after > 1:
        return at * (before - 1) / (after - 1)
    if rule.endswith(("centers", "pixel")):
        return (at + 0.5) * before / after - 0.5
    return at * before / after


@pytest.mark.parametrize("rule", ["", "align_corners", "half_pixel_centers", "pytorch_half_pixel"])
@pytest.mark.parametrize("size", [(7, 9), (2, 3), (4, 1)])
def test_values_against_numpy(rule: str, size: tuple[int, int]) -> None:
    given = f"{rule}: true" if rule else ""
    sizes = f"output_height: {size[0]} output_width: {size[1]}"
    param = f'resize_bilinear_param {{ {sizes} {given} data_format: "NCHW" }}'
    y = forward(f'type: "ResizeBilinear" {param}', X)
    rows, columns = positions(rule, 4, size[0]), positions(rule, 5, size[1])
    if rule == "pytorch_half_pixel" and size[1] == 1:
        columns = np.zeros(1)
    want = np.apply_along_axis(lambda v: np.interp(columns, range(5), v), 3, X)
    want = np.apply_along_axis(lambda v: np.interp(rows, range(4), v), 2, want)
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)


def test_channels_last_and_scales() -> None:
    x = X.transpose(0, 2, 3, 1)
    last = forward('type: "ResizeBilinear" resize_bilinear_param { scale_height: 2.4 }', x)
    first = forward(
        'type: "ResizeBilinear" resize_bilinear_param { scale_height: 2.4 data_format: "NCHW" }', X
    )
    assert last.shape == (1, 9, 5, 2)
    np.testing.assert_allclose(last, first.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ('data_format: "NCHWD"', "data_format is 'NCHWD', allowed: NHWC, NCHW"),
        ("align_corners: true half_pixel_centers: true", "allowed: false with align_corners: true"),
        ("scale_width: 0.1", "gives a top of shape (1, 4, 0, 2)"),
    ],
)
def test_errors(param: str, message: str) -> None:
    found = error_of(f'type: "ResizeBilinear" resize_bilinear_param {{ {param} }}', (1, 4, 5, 2))
    assert message in found
