from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, forward

X = np.arange(6).reshape(1, 2, 3)


@pytest.mark.parametrize(("axis", "tiles"), [(-1, 2), (1, 3), (2, 1), (-3, 2)])
def test_axes(axis: int, tiles: int) -> None:
    y = forward(f'type: "Tile" tile_param {{ axis: {axis} tiles: {tiles} }}', X)
    np.testing.assert_array_equal(y, np.concatenate([X] * tiles, axis))


@pytest.mark.parametrize(("param", "found"), [("", "'missing'"), ("tiles: 0", "0")])
def test_tiles_is_required(param: str, found: str) -> None:
    assert error_of(f'type: "Tile" tile_param {{ {param} }}', X.shape) == (
        f'layer "L" (Tile): tile_param.tiles is {found}, allowed: 1 or more'
    )
