from __future__ import annotations

import numpy as np

from tests.layers.snippets import net_of, spread

PER_CHANNEL = (
    'type: "Normalize" bottom: "x" top: "y" norm_param { across_spatial: false'
    ' channel_shared: false scale_filler { type: "constant" value: 20 } }'
)


def test_two_axes_and_a_filler() -> None:
    net = net_of(PER_CHANNEL, {"x": [[3, 4], [0, 2]]})
    net.forward()
    assert net.params["L"][0].shape == (2,)
    np.testing.assert_allclose(net.blobs["y"].data, [[12, 16], [0, 20]], rtol=1e-6)


def test_bare_layer_scales_by_1() -> None:
    net = net_of('type: "Normalize" bottom: "x" top: "y"', {"x": [[[3], [4]]]})
    net.forward()
    assert net.params["L"][0].shape == ()
    np.testing.assert_allclose(net.blobs["y"].data, [[[0.6], [0.8]]], rtol=1e-6)


def test_gradient_with_a_scale_per_channel_is_right_unless_the_original_is_asked_for() -> None:
    x, grad, scale = spread(1, 3).numpy(), np.array([[1.0, -2.0, 0.5]]), np.array([1.0, 2.0, 3.0])
    norm = np.sqrt((x**2).sum())
    y = x / norm
    right = (scale * grad - y * (y * scale * grad).sum()) / norm
    original = scale * (grad - y * (y * grad).sum()) / norm
    for original_semantics, want in ((False, right), (True, original)):
        net = net_of(
            PER_CHANNEL,
            {"x": x},
            header="force_backward: true",
            original_semantics=original_semantics,
        )
        net.params["L"][0].data[...] = scale
        net.forward()
        net.blobs["y"].diff[...] = grad
        net.backward()
        np.testing.assert_allclose(net.blobs["x"].diff, want, rtol=1e-5)
        np.testing.assert_allclose(net.params["L"][0].diff, (y * grad)[0], rtol=1e-5)
