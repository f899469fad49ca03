from __future__ import annotations

import numpy as np
import pytest

from tests.layers.snippets import error_of, layer_of, net_of, spread

X = spread(1, 3, 5, 6).numpy()


def filtered(x: np.ndarray, w: np.ndarray, pad: int) -> np.ndarray:
    """Each channel with its own filter, stride 1."""
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,cij->nchw", windows, w[:, 0])


@pytest.mark.parametrize(
    ("kind", "param"),
    [
        ("ConvolutionDepthwise", "kernel_size: 3 pad: 1"),
        ("ConvolutionDepthwise", "num_output: 7 group: 2 kernel_size: 3 pad: 1"),
        ("DepthwiseConvolution", "num_output: 3 group: 3 kernel_size: 3 pad: 1"),
    ],
)
def test_one_filter_per_channel_with_rounded_weights(kind: str, param: str) -> None:
    rounded = "precision_param { weight { kind: FIXED word_length: 4 frac_length: 2 } }"
    net = net_of(
        f'type: "{kind}" bottom: "x" top: "y" convolution_param {{ {param} }} {rounded}', {"x": X}
    )
    weight = spread(3, 1, 3, 3, low=-1, high=1).numpy()
    assert [b.shape for b in net.params["L"]] == [(3, 1, 3, 3), (3,)]
    net.params["L"][0].data[...] = weight
    net.params["L"][1].data[...] = [1, 2, 3]
    net.forward()
    grid = np.sign(weight) * np.floor(np.abs(weight) * 4 + 0.5) / 4
    want = filtered(X, grid, 1) + np.reshape([1, 2, 3], (3, 1, 1))
    np.testing.assert_allclose(net.blobs["y"].data, want, rtol=1e-5, atol=1e-5)


def test_macs_count_one_channel_per_filter() -> None:
    layer = layer_of('type: "ConvolutionDepthwise" convolution_param { kernel_size: 3 }')
    assert layer.macs([(1, 3, 5, 6)], layer.top_shapes((1, 3, 5, 6))) == 3 * 3 * 4 * 9


def test_depthwise_needs_two_spatial_axes() -> None:
    message = error_of('type: "ConvolutionDepthwise" convolution_param { kernel_size: 3 }', (2, 3))
    assert message == "bottom has shape (2, 3), allowed: (N, C, H, W), axis 1"
