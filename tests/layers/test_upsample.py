from __future__ import annotations

import numpy as np
import pytest

from adaption.errors import FieldError
from tests.layers.snippets import error_of, forward, net_of

MASKED = 'type: "Upsample" upsample_param { %s }'


@pytest.mark.parametrize(
    ("param", "want"),
    [
        ("", (4, 6)),
        ("scale: 3", (6, 9)),
        ("scale_h: 2 scale_w: 3", (4, 9)),
        ("pad_out_h: true", (3, 6)),
        ("scale: 2 pad_out_w: true", (4, 5)),
        ("upsample_h: 5 upsample_w: 7 scale: 9", (5, 7)),
    ],
)
def test_sizes_with_a_mask(param: str, want: tuple[int, int]) -> None:
    x = np.ones((1, 2, 2, 3))
    y = forward(MASKED % param, x, np.zeros_like(x))
    assert y.shape[2:] == want
    assert y.sum() == 2  # each plane's values all go to its place 0, where one stays


def test_of_values_with_one_index_the_last_stays_and_each_gets_the_gradient() -> None:
    snippet = 'type: "Upsample" bottom: "x" bottom: "m" top: "y"'
    mask = [[[[5, 5], [0, 15]]]]
    net = net_of(snippet, {"x": [[[[1, 2], [3, 4]]]], "m": mask}, header="force_backward: true")
    net.forward()
    want = np.zeros(16)
    want[[5, 0, 15]] = [2, 3, 4]
    np.testing.assert_array_equal(net.blobs["y"].data.ravel(), want)
    net.blobs["y"].diff[...] = np.arange(16).reshape(1, 1, 4, 4)
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff, mask)


@pytest.mark.parametrize(("param", "scale"), [("", 1), ("upsample_param { scale: 3 }", 3)])
def test_without_a_mask_each_value_is_repeated(param: str, scale: int) -> None:
    x = np.arange(12).reshape(1, 2, 2, 3)
    y = forward(f'type: "Upsample" {param}', x)
    np.testing.assert_array_equal(y, x.repeat(scale, 2).repeat(scale, 3))


def test_index_beyond_the_plane() -> None:
    with pytest.raises(FieldError, match=r"mask index is 16, allowed: 0\.\.15, the places of a 4"):
        forward(MASKED % "", np.ones((1, 1, 2, 2)), np.full((1, 1, 2, 2), 16))


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("scale: 1", "upsample_param.scale is 1, allowed: 2 or more"),
        ("scale_h: 2", "gives one of scale_h and scale_w, allowed: both, or scale"),
        ("scale: 2 scale_h: 2 scale_w: 2", "gives scale, and scale_h and scale_w, allowed"),
        ("scale: 3 pad_out_h: true", "upsample_param.pad_out_h is True, allowed: true with scale"),
        ("upsample_h: 1 upsample_w: 4", "upsample_param.upsample_h is 1, allowed: 2 or more"),
    ],
)
def test_fields_out_of_range(param: str, message: str) -> None:
    assert message in error_of(MASKED % param, (1, 1, 2, 2), (1, 1, 2, 2))


def test_shapes_that_do_not_fit() -> None:
    assert "allowed: equal, (N, C, H, W)" in error_of(MASKED % "", (1, 1, 2, 2), (1, 1, 2, 3))
    assert "allowed: (N, C, H, W)" in error_of(MASKED % "", (1, 2))
