from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.layers.snippets import error_of, forward, spread


@pytest.mark.parametrize(
    ("param", "unfold"),
    [
        pytest.param("kernel_h: 2 kernel_w: 3 stride_w: 2", ((2, 3), 1, 0, (1, 2)), id="h and w"),
        pytest.param("kernel_size: 2 dilation: 2", ((2, 2), 2, 0, 1), id="dilation"),
        pytest.param("kernel_size: 3 pad_h: 1", ((3, 3), 1, (1, 0), 1), id="pad of one side"),
        pytest.param("kernel_size: 3 kernel_size: 1", ((3, 1), 1, 0, 1), id="one per axis"),
    ],
)
def test_two_axes_as_torch(param: str, unfold: tuple[object, ...]) -> None:
    x = spread(2, 3, 5, 6).float()
    y = forward(f'type: "Im2col" convolution_param {{ {param} }}', x)
    want = F.unfold(x, *unfold)  # type: ignore[arg-type]
    np.testing.assert_array_equal(y.reshape(want.shape), want)


def test_axis_2_takes_the_axes_before_as_samples() -> None:
    x = spread(2, 3, 4, 5).float()
    y = forward('type: "Im2col" convolution_param { kernel_size: 2 axis: 2 }', x)
    want = torch.cat([x[..., :-1].unsqueeze(3), x[..., 1:].unsqueeze(3)], 3).reshape(2, 3, 8, 4)
    np.testing.assert_array_equal(y, want)


def test_kernel_too_large() -> None:
    assert error_of('type: "Im2col" convolution_param { kernel_size: 3 }', (1, 1, 2, 4)) == (
        "kernel [3, 3] does not fit a bottom of shape (1, 1, 2, 4)"
    )
