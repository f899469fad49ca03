"""Layers that move values and compute nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.snippets import error_of, forward, layer_of

X = np.arange(2 * 8 * 2 * 4).reshape(2, 8, 2, 4)


def darknet(x: np.ndarray, s: int) -> np.ndarray:
    n, c, h, w = x.shape
    blocks = x.reshape(n, c * h // s**2, s, w, s).transpose(0, 2, 4, 1, 3)
    return blocks.reshape(n, c * s**2, h // s, w // s)


def space_to_depth(x: np.ndarray, s: int) -> np.ndarray:
    n, c, h, w = x.shape
    return (
        x.reshape(n, c, h // s, s, w // s, s)
        .transpose(0, 3, 5, 1, 2, 4)
        .reshape(n, -1, h // s, w // s)
    )


def depth_to_space(x: np.ndarray, s: int) -> np.ndarray:
    n, c, h, w = x.shape
    blocks = x.reshape(n, s, s, c // s**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // s**2, h * s, w * s)


@pytest.mark.parametrize(
    ("snippet", "want"),
    [
        ('type: "Reorg" reorg_param { stride: 2 }', darknet(X, 2)),
        ('type: "Reorg" reorg_param { stride: 2 reverse: true }', depth_to_space(X, 2)),
        ('type: "Reorg" reorg_param { stride: 1 }', X),
        (
            'type: "ShuffleChannel" shuffle_channel_param { group: 4 }',
            X[:, [0, 2, 4, 6, 1, 3, 5, 7]],
        ),
        ('type: "ShuffleChannel"', X),
        (
            'type: "Transpose" transpose_param { dim: 3 dim: 0 dim: 2 dim: 1 }',
            X.transpose(3, 0, 2, 1),
        ),
        ('type: "Reverse"', X[::-1]),
        ('type: "Reverse" reverse_param { axis: -2 }', X[:, :, ::-1]),
        (
            'type: "CropCenter" crop_center_param { crop_size: [0, 3, 0, 1] }',
            X[:, 3:5, :, 1:3],
        ),
    ],
)
def test_values(snippet: str, want: np.ndarray) -> None:
    np.testing.assert_array_equal(forward(snippet, X), want)


def test_reorg_of_deeptextspotter_is_plain() -> None:
    layer = layer_of('type: "Reorg" reorg_param { stride: 2 }', dialect="deeptextspotter")
    x = X[:, :3]
    y = layer.forward(torch.from_numpy(x.copy()))
    np.testing.assert_array_equal(y.numpy(), space_to_depth(x, 2))
    assert layer.top_shapes(x.shape) == [y.shape]


@pytest.mark.parametrize(
    ("axes", "shape", "want"),
    [
        ("", (1, 3, 1, 2), (3, 2)),
        ("", (1, 1), ()),
        ("axis: 0 axis: -2", (1, 3, 1, 2), (3, 2)),
        ("axis: -1", (1, 3, 1), (1, 3)),
    ],
)
def test_squeeze(axes: str, shape: tuple[int, ...], want: tuple[int, ...]) -> None:
    y = forward(f'type: "Squeeze" squeeze_param {{ {axes} }}', np.ones(shape))
    assert y.shape == want


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1)])
def test_axpy(shape: tuple[int, ...]) -> None:
    a, x, y = np.arange(6).reshape(shape), np.full((2, 3, 2, 2), 2), np.full((2, 3, 2, 2), 5)
    want = a.reshape(2, 3, 1, 1) * x + y
    np.testing.assert_array_equal(forward('type: "Axpy"', a, x, y), want)


@pytest.mark.parametrize(
    ("snippet", "shapes", "message"),
    [
        ('type: "Reorg"', [(1, 4, 2, 2)], "reorg_param.stride is 'missing', allowed: 1 or more"),
        ('type: "Reorg" reorg_param { stride: 2 }', [(1, 3, 2, 2)], "C divisible by 4"),
        ('type: "Reorg" reorg_param { stride: 2 }', [(1, 4, 3, 2)], "H and W divisible by 2"),
        ('type: "ShuffleChannel" shuffle_channel_param { group: 2 }', [(1, 3)], "group 2 does not"),
        ('type: "Transpose" transpose_param { dim: 1 }', [(1, 3)], "each of 0..1 once"),
        ('type: "Reverse" reverse_param { axis: 2 }', [(1, 3)], "axis is 2, allowed: -2..1"),
        ('type: "Squeeze" squeeze_param { axis: 1 }', [(1, 3)], "has size 3, allowed: 1"),
        ('type: "CropCenter" crop_center_param { crop_size: 1 }', [(1, 3)], "one per axis (2)"),
        (
            'type: "CropCenter" crop_center_param { crop_size: 0 crop_size: 2 }',
            [(1, 4)],
            "crop_size [0, 2] leaves nothing of a bottom of (1, 4)",
        ),
        ('type: "Axpy"', [(2, 2), (2, 3, 4), (2, 3, 4)], "a has shape (2, 2), allowed: (2, 3, 1"),
        ('type: "Axpy"', [(2, 3), (2, 3, 4), (2, 3, 5)], "allowed: equal, (N, C, ...)"),
    ],
)
def test_errors(snippet: str, shapes: list[tuple[int, ...]], message: str) -> None:
    assert message in error_of(snippet, *shapes)
