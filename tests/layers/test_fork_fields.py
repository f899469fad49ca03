"""Fields that forks added to layers of plain Caffe: computed, or refused, never passed over."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adaption.errors import AdaptionError
from tests.layers.snippets import forward, layer_of, net_of

X = np.random.default_rng(0).normal(size=(2, 3, 7, 6)).astype(np.float32) * 4


def pooled(fields: str) -> np.ndarray:
    text = (
        f'layer {{ name: "L" type: "Pooling" bottom: "x" top: "y" pooling_param {{ {fields} }} }}'
    )
    return net_of(text, {"x": X}).forward()["y"].cpu().numpy()


def test_each_side_padded_on_its_own() -> None:
    fields = "num_output: 4 kernel_size: 3 stride: 2 pad_l: 0 pad_r: 1 pad_t: 2 pad_b: 1"
    filler = 'weight_filler { type: "xavier" }'
    net = net_of(
        f'layer {{ name: "L" type: "Convolution" bottom: "x" top: "y"'
        f" convolution_param {{ {fields} {filler} }} }}",
        {"x": X},
    )
    found = net.forward()["y"].cpu()
    weight, bias = (b.tensor.cpu() for b in net.params["L"])
    want = F.conv2d(F.pad(torch.from_numpy(X), (0, 1, 2, 1)), weight, bias, stride=2)
    assert found.shape == (2, 4, 4, 3)
    torch.testing.assert_close(found, want)


def test_hole_is_dilation() -> None:
    for fields in ("hole: 2", "hole_h: 2 hole_w: 2", "dilation: 2"):
        layer = layer_of(
            f'type: "Convolution" convolution_param {{ num_output: 1 kernel_size: 3 {fields} }}'
        )
        assert layer.top_shape((1, 1, 9, 9)) == (1, 1, 5, 5)


@pytest.mark.parametrize("fields", ["round_mode: FLOOR", "ceil_mode: false"])
@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_pooling_rounds_down(fields: str, pool: str) -> None:
    plain = F.max_pool2d if pool == "MAX" else F.avg_pool2d
    found = pooled(f"pool: {pool} kernel_size: 3 stride: 2 {fields}")
    assert found.shape == (2, 3, 3, 2)
    np.testing.assert_allclose(found, plain(torch.from_numpy(X), 3, 2).numpy(), rtol=1e-6)


@pytest.mark.parametrize("pool", ["AVE avg_include_pad: false", "AVE_EXC_PAD"])
def test_average_without_the_padding(pool: str) -> None:
    """synopsys-caffe's pool: AVE_EXC_PAD was taken for STOCHASTIC."""
    found = pooled(f"pool: {pool} kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR")
    want = F.avg_pool2d(torch.from_numpy(X), 3, 2, 1, count_include_pad=False)
    # Order of float32 sums.
    np.testing.assert_allclose(found, want.numpy(), rtol=1e-5, atol=1e-6)


def test_pooling_padded_at_one_side() -> None:
    fields = "pool: MAX kernel_size: 2 stride: 2 pad_r: 1 pad_b: 1 ceil_mode: false"
    found = pooled(fields)
    padded = F.pad(torch.from_numpy(X), (0, 1, 0, 1), value=-torch.inf)
    np.testing.assert_array_equal(found, F.max_pool2d(padded, 2, 2).numpy())


def test_relu6_flag() -> None:
    found = forward('type: "ReLU" relu_param { relu6: true }', X)
    np.testing.assert_array_equal(found, X.clip(0, 6))
    assert (X > 6).any()


def test_dropout_that_scales_down_in_test() -> None:
    fields = "dropout_param { dropout_ratio: 0.25 scale_train: false }"
    text = f'layer {{ name: "L" type: "Dropout" bottom: "x" top: "y" {fields} }}'
    np.testing.assert_array_equal(net_of(text, {"x": X}).forward()["y"].cpu().numpy(), X * 0.75)
    kept = net_of(text, {"x": X}, phase="TRAIN").forward()["y"].cpu().numpy()
    assert set(np.unique(kept != 0)) == {False, True}
    np.testing.assert_array_equal(kept[kept != 0], X[kept != 0])


@pytest.mark.parametrize(
    ("snippet", "message"),
    [
        (
            'type: "Deconvolution" convolution_param { num_output: 1 kernel_size: 2 pad_l: 1 }',
            "convolution_param.pad_l, pad_r, pad_t, pad_b is [1, 0, 0, 0], allowed: none in a"
            " Deconvolution, and none beside pad, pad_h and pad_w",
        ),
    ],
)
def test_what_is_not_computed_is_refused(snippet: str, message: str) -> None:
    with pytest.raises(AdaptionError) as caught:
        layer_of(snippet)
    assert message in str(caught.value)
