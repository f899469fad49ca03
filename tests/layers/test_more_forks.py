"""Layers of forks that published nets use, against their sources' formulas, written as loops."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adaption.errors import AdaptionError, LayerError
from adaption.export.onnx import export_onnx
from adaption.layers.base import Runtime
from tests.layers.snippets import error_of, layer_of, spread
from tests.net.nets import data, layer, net_of

# -- C3D -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("shape", [(2, 2, 5, 6, 7), (1, 1, 2, 4, 4), (1, 3, 16, 3, 5)])
def test_pooling3d(pool: str, shape: tuple[int, ...]) -> None:
    kernel, depth, stride, steps, pad = 3, 2, 2, 3, 0 if pool == "MAX" else 1
    made: Any = layer_of(
        f'type: "Pooling3D" pooling_param {{ pool: {pool} kernel_size: {kernel} kernel_depth:'
        f" {depth} stride: {stride} temporal_stride: {steps} pad: {pad} }}",
        1,
    )
    x = spread(*shape).numpy()
    y = made.run(Runtime(), torch.from_numpy(x)).numpy()
    want = np.zeros(made.top_shape(shape))
    long, high, wide = shape[2:]
    assert want.shape[2:] == (
        -(-(long - depth) // steps) + 1,
        *(-(-(side + 2 * pad - kernel) // stride) + 1 for side in (high, wide)),
    )
    for n, c, t, i, j in product(*map(range, want.shape)):
        t0, i0, j0 = t * steps, i * stride - pad, j * stride - pad
        t1, i1, j1 = (
            min(t0 + depth, long),
            min(i0 + kernel, high + pad),
            min(j0 + kernel, wide + pad),
        )
        count = (t1 - t0) * (i1 - i0) * (j1 - j0)
        part = x[n, c, t0:t1, max(i0, 0) : min(i1, high), max(j0, 0) : min(j1, wide)]
        want[n, c, t, i, j] = part.max() if pool == "MAX" else part.sum() / count
    np.testing.assert_allclose(y, want, rtol=1e-12)


def test_convolution3d_is_a_convolution_along_three_axes() -> None:
    text = (
        "convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 pad: 1 temporal_pad: 1"
        " stride: 2 temporal_stride: 3 filter_group: 2 }"
    )
    made: Any = layer_of(f'type: "Convolution3D" {text}', 1)
    x, w, b = spread(2, 3, 5, 6, 7), spread(4, 3, 2, 3, 3, seed=1), spread(4, seed=2)
    assert made.blob_shapes(tuple(x.shape)) == [(4, 3, 2, 3, 3), (4,)]
    want = F.conv3d(x, w, b, (3, 2, 2), (1, 1, 1))
    assert made.top_shape(tuple(x.shape)) == tuple(want.shape)
    torch.testing.assert_close(made.run(Runtime(), x, w, b), want)


@pytest.mark.parametrize(
    ("snippet", "shape", "message"),
    [
        ('type: "Pooling3D" pooling_param { kernel_size: 2 }', (1, 1, 2, 2, 2),
         "pooling_param.kernel_depth is 'missing'"),
        ('type: "Pooling3D" pooling_param { kernel_size: 2 kernel_depth: 1 pad: 1 }',
         (1, 1, 2, 2, 2), "pooling_param.pad is 1, allowed: 0 with pool: MAX"),
        ('type: "Pooling3D" pooling_param { kernel_size: 2 kernel_depth: 1 }', (1, 1, 2, 2),
         "allowed: 5 axes"),
        ('type: "Convolution3D" convolution_param { num_output: 1 kernel_size: 2 }',
         (1, 1, 2, 2, 2), "kernel_depth is 'missing'"),
        ('type: "Convolution3D" convolution_param { num_output: 1 kernel_size: 2 kernel_depth: 1 }',
         (1, 1, 2, 2), "allowed: 5, (N, C, time, height, width)"),
    ],
)  # fmt: skip
def test_bad_volumes(snippet: str, shape: tuple[int, ...], message: str) -> None:
    assert message in error_of(snippet, shape)


# -- pixel shuffle -------------------------------------------------------------------------------


def test_pixels_of_channels() -> None:
    made: Any = layer_of('type: "Reshape" reshape_param { pixelshuffler: 3 }', 1)
    x = spread(2, 18, 2, 4).numpy()
    y = made.run(Runtime(), torch.from_numpy(x)).numpy()
    assert y.shape == made.top_shape(x.shape) == (2, 2, 6, 12)
    for n, c, h, w in product(*map(range, x.shape)):
        assert y[n, c // 9, 3 * h + c % 9 // 3, 3 * w + c % 3] == x[n, c, h, w]


def test_pixels_that_do_not_fit() -> None:
    snippet = 'type: "Reshape" reshape_param { pixelshuffler: 2 }'
    assert "allowed: (N, 4 C, H, W)" in error_of(snippet, (1, 6, 2, 2))
    zero = 'type: "Reshape" reshape_param { pixelshuffler: 0 }'
    assert "pixelshuffler is 0, allowed: 1 or more" in error_of(zero, (1, 4, 2, 2))


# -- Bayesian SegNet -----------------------------------------------------------------------------

SAMPLED = "dropout_param { dropout_ratio: 0.25 sample_weights_test: true }"


def test_dropout_that_samples_in_test() -> None:
    net = net_of(data(4, 1000) + layer("Dropout", "d", "data", more=SAMPLED), seed=5)
    passes = [net.forward(data=torch.ones(4, 1000))["d"].clone() for _ in range(2)]
    for y in passes:
        assert y.unique().tolist() == [0.0, pytest.approx(4 / 3)]
        assert 0.7 < (y > 0).float().mean() < 0.8
    assert not torch.equal(*passes)
    again = net_of(data(4, 1000) + layer("Dropout", "d", "data", more=SAMPLED), seed=5)
    assert torch.equal(again.forward(data=torch.ones(4, 1000))["d"], passes[0])


def test_samples_have_no_exact_form(tmp_path: Any) -> None:
    net = net_of(data(1, 4) + layer("Dropout", "d", "data", more=SAMPLED))
    with pytest.raises(LayerError, match="draws anew in every pass"):
        export_onnx(net, tmp_path / "n.onnx")
    made: Any = layer_of(f'type: "Dropout" {SAMPLED}', 1)
    assert not made.is_pointwise
    assert not made.keeps_codes()
    plain: Any = layer_of('type: "Dropout"', 1)
    assert plain.is_pointwise
    assert plain.keeps_codes()


# -- losses --------------------------------------------------------------------------------------


def test_dice_of_a_batch_and_of_samples() -> None:
    a, b = spread(3, 2, 4), spread(3, 2, 4, seed=1)
    batch: Any = layer_of('type: "DiceCoefLoss"', 2, dialect="east")
    want = 1 - 2 * (a * b).sum() / ((a**2).sum() + (b**2).sum())
    torch.testing.assert_close(batch.run(Runtime(), a, b), want)
    each: Any = layer_of('type: "DiceCoefLoss"', 2, dialect="vnet")
    shares = [
        (2 * float((x * y).sum()) + 1) / (float((x**2).sum()) + float((y**2).sum()) + 1)
        for x, y in zip(a, b, strict=True)
    ]
    assert float(each.run(Runtime(), a, b)) == pytest.approx(1 - sum(shares) / 3)


def test_forks_disagree_about_dice() -> None:
    net = net_of(data(2, 3) + layer("DiceCoefLoss", "l", "data data"))
    assert any("read as east has it" in notice for notice in net.notices)


def _paths(scores: np.ndarray[Any, Any], labels: list[int]) -> float:
    """Sum over all paths of T steps that collapse to the labels."""
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    total = 0.0
    for path in product(range(scores.shape[1]), repeat=len(scores)):
        merged = [c for t, c in enumerate(path) if t == 0 or c != path[t - 1]]
        if [c for c in merged if c] == labels:
            total += float(np.prod([probabilities[t, c] for t, c in enumerate(path)]))
    return total


def test_ctc_loss_of_deeptextspotter() -> None:
    x = spread(4, 2, 1, 3).float().requires_grad_()
    label = torch.tensor([[1.0, 2.0, 0.0], [2.0, 0.0, 0.0]])
    made: Any = layer_of('type: "CTCLoss"', 2)
    loss = made.run(Runtime(), x, label)
    rows = x.detach().double().numpy()[:, :, 0]
    want = -np.mean([np.log(_paths(rows[:, 0], [1, 2])), np.log(_paths(rows[:, 1], [2]))])
    assert loss.item() == pytest.approx(want, rel=1e-5)
    (3 * loss).backward()  # the source knows no loss_weight
    assert x.grad is not None
    moved = x.detach().clone()
    moved[1, 0, 0, 2] += 1e-2
    difference = (made.run(Runtime(), moved, label) - loss).item() / 1e-2
    assert float(x.grad[1, 0, 0, 2]) == pytest.approx(difference, abs=2e-3)


def test_a_sequence_longer_than_its_steps_teaches_nothing() -> None:
    x = spread(2, 1, 1, 3).float().requires_grad_()
    made: Any = layer_of('type: "CTCLoss"', 2)
    loss = made.run(Runtime(), x, torch.tensor([[1.0, 1.0, 2.0]]))
    assert loss.item() == 0
    loss.backward()
    assert x.grad is not None and not x.grad.any()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(4, 2, 3), (2, 5)], "allowed: (T, N, 1, C) and (N, L)"),
        ([(4, 2, 1, 3), (3, 5)], "allowed: (T, N, 1, C) and (N, L)"),
        ([(4, 2, 1, 3), (2, 4), (2, 5)], "has 3 bottoms, allowed: 2"),
    ],
)
def test_other_ctc_losses_are_refused(shapes: Any, message: str) -> None:
    assert message in error_of('type: "CTCLoss"', *shapes)


def test_a_label_that_is_no_class() -> None:
    made: Any = layer_of('type: "CTCLoss"', 2)
    with pytest.raises(AdaptionError, match="label is 3, allowed: up to 2"):
        made.run(Runtime(), torch.zeros(4, 1, 1, 3), torch.tensor([[3.0]]))
