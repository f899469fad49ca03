from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward, spread


def reference(x: np.ndarray, level: int, pool: str) -> np.ndarray:
    """One pyramid level as PoolingLayer computes it with SPPLayer's parameters."""
    bins = 2**level
    kernel = [-(-size // bins) for size in x.shape[2:]]
    pad = [(k * bins - size + 1) // 2 for k, size in zip(kernel, x.shape[2:], strict=True)]
    tops = np.zeros((*x.shape[:2], bins, bins))
    for i in range(bins):
        for j in range(bins):
            start = [i * kernel[0] - pad[0], j * kernel[1] - pad[1]]
            end = [
                min(s + k, size + p)
                for s, k, size, p in zip(start, kernel, x.shape[2:], pad, strict=True)
            ]
            area = (end[0] - start[0]) * (end[1] - start[1])
            cell = x[:, :, max(start[0], 0) : end[0], max(start[1], 0) : end[1]]
            tops[:, :, i, j] = cell.max((2, 3)) if pool == "MAX" else cell.sum((2, 3)) / area
    return tops


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("size", [(8, 8), (7, 6), (9, 11), (6, 10)])
def test_levels(pool: str, size: tuple[int, int]) -> None:
    x = spread(2, 3, *size).numpy() - 5  # all below 0: padding must not win
    y = forward(f'type: "SPP" spp_param {{ pyramid_height: 3 pool: {pool} }}', x)
    want = np.concatenate([reference(x, i, pool).reshape(2, -1) for i in range(3)], 1)
    np.testing.assert_allclose(y, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("param", "message"),
    [
        (
            "",
            'layer "L" (SPP): spp_param.pyramid_height is 0, allowed: 1 or more',
        ),
        (
            "pyramid_height: 1 pool: STOCHASTIC",
            "layer \"L\" (SPP): spp_param.pool is 'STOCHASTIC', allowed: MAX, AVE",
        ),
        (
            "pyramid_height: 3",
            "spp_param.pyramid_height is 3, allowed: at most 2 for a bottom of 5 x 8: the 4 x 4"
            " windows of the last level would lie in padding",
        ),
    ],
)
def test_errors(param: str, message: str) -> None:
    assert error_of(f'type: "SPP" spp_param {{ {param} }}', (1, 2, 5, 8)) == message
