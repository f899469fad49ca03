from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.layers.snippets import error_of, layer_of, net_of, spread

X = spread(4, 2, 3).numpy()
MEAN, VARIANCE = X.mean((0, 2), keepdims=True), X.var((0, 2), keepdims=True)


@pytest.mark.parametrize(
    ("param", "tops", "want"),
    [
        ("", 1, "MovingBN"),
        ("bn_param { slope_filler { } }", 1, "MovingBN"),
        ("bn_param { frozen: true }", 1, "MovingBN"),
        ("bn_param { eps: 0.001 }", 1, "MovingBN"),
        ("bn_param { icnet: true scale_filler { } }", 1, "MovingBN"),
        ("", 3, "BatchBN"),
        ("bn_param { scale_filler { } }", 1, "BatchBN"),
        ("bn_param { bn_mode: INFERENCE }", 1, "BatchBN"),
        ("bn_param { scale_filler { } var_eps: 0.1 }", 1, "AveragedBN"),
    ],
)
def test_fields_and_tops_say_whose_it_is(param: str, tops: int, want: str) -> None:
    assert type(layer_of(f'type: "BN" {param}', tops=tops)).__name__ == want


@pytest.mark.parametrize(
    ("dialect", "want"), [("tsn", [(1, 2)] * 4), ("segnet", [(1, 2, 1, 1)] * 2)]
)
def test_dialect_says_it_where_fields_do_not(dialect: str, want: list[tuple[int, ...]]) -> None:
    assert layer_of('type: "BN"', dialect=dialect).blob_shapes((4, 2, 3)) == want


def test_moving_statistics_are_those_of_the_batch_unbiased_by_nothing() -> None:
    net = net_of(
        'type: "BN" bottom: "x" top: "y" bn_param { momentum: 0.75 slope_filler { value: 2 } }',
        {"x": X},
        "TRAIN",
    )
    net.params["L"][2].data[...] = 8
    net.forward()
    want = 2 * (X - MEAN) / np.sqrt(VARIANCE + 1e-5)
    np.testing.assert_allclose(net.blobs["y"].data, want, rtol=1e-4, atol=1e-5)
    moving = [b.data.ravel() for b in net.params["L"][2:]]
    np.testing.assert_allclose(moving[0], 6 + 0.25 * MEAN.ravel(), rtol=1e-5)
    np.testing.assert_allclose(moving[1], 0.25 * VARIANCE.ravel(), rtol=1e-5)
    assert [name for name, _ in net.named_parameters()] == ["L:0", "L:1"]


def test_frozen_learns_nothing_and_begins_at_variance_1() -> None:
    net = net_of(
        'type: "BN" bottom: "x" top: "y" bn_param { frozen: true slope_filler { value: 3 } }',
        {"x": X},
        "TRAIN",
        "force_backward: true",
    )
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data, 3 * X, rtol=1e-4)
    net.blobs["y"].diff[...] = 1
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, 3, rtol=1e-4)
    assert not any(blob.diff.any() for blob in net.params["L"])
    assert not list(net.parameters())


def test_bare_layer_without_statistics_takes_the_batch_in_test() -> None:
    net = net_of('type: "BN" bottom: "x" top: "y"', {"x": X})
    net.params["L"][0].data[...] = 1
    net.forward()
    want = (X - MEAN) / np.sqrt(VARIANCE)
    np.testing.assert_allclose(net.blobs["y"].data, want, rtol=1e-4, atol=1e-5)
    net.params["L"][3].data[...] = 4
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data, X / 2, rtol=1e-4)


@pytest.mark.parametrize("original", [False, True])
def test_gradient_in_test_takes_statistics_as_fixed_unless_the_original_is_asked_for(
    original: bool,
) -> None:
    net = net_of(
        'type: "BN" bottom: "x" top: "y" bn_param { slope_filler { value: 1 } }',
        {"x": X},
        header="force_backward: true",
        original_semantics=original,
    )
    net.params["L"][3].data[...] = 4
    grad = spread(*X.shape, seed=1).numpy()
    net.forward()
    net.blobs["y"].diff[...] = grad
    net.backward()
    want = grad / 2
    if original:
        axes = (0, 2)
        along = X / 2 * (X / 2 * grad).mean(axes, keepdims=True) + grad.mean(axes, keepdims=True)
        want = (grad - along) / 2
    np.testing.assert_allclose(net.blobs["x"].diff, want, rtol=1e-4, atol=1e-5)


def test_ctpn_averages_along_its_axis() -> None:
    net = net_of(
        'type: "BN" bottom: "x" top: "y" bn_param { axis: 2 decay: 0.25 }',
        {"x": X},
        "TRAIN",
    )
    net.forward()
    assert [b.shape for b in net.params["L"]] == [(1, 1, 3, 1)] * 4
    mean = X.mean((0, 1))
    np.testing.assert_allclose(net.params["L"][2].data.ravel(), 0.25 * mean, rtol=1e-5, atol=1e-7)


def test_saved_blobs_load_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    snippet = 'type: "BN" bottom: "x" top: "y" bn_param { momentum: 0.5 }'
    net = net_of(snippet, {"x": X}, "TRAIN")
    net.forward()
    net.save(tmp_path / "w.caffemodel")
    other = net_of(snippet, {"x": X}, weights=tmp_path / "w.caffemodel")
    for mine, theirs in zip(net.params["L"], other.params["L"], strict=True):
        assert torch.equal(mine.tensor, theirs.tensor)


@pytest.mark.parametrize(
    ("snippet", "shape", "message"),
    [
        ("", (3,), "bottom has shape (3,), allowed: 2 to 4 axes"),
        ("bn_param { axis: 3 }", (2, 3), "bn_param.axis is 3.0, allowed: 1, 2"),
        ("bn_param { axis: 2 }", (2, 3), "bottom has shape (2, 3), allowed: 3 axes"),
    ],
)
def test_errors(snippet: str, shape: tuple[int, ...], message: str) -> None:
    assert message in error_of(f'type: "BN" {snippet}', shape)
