"""Inputs at another scale. Source: ADaPTION specification, 3 (scale trap) and 10.8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.cli.main import main
from adaption.errors import FieldError, LayerError
from adaption.io import prototxt
from adaption.io.caffemodel import (
    LayerWeights,
    WeightBlob,
    Weights,
    read_weights,
    write_weights,
)
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision.rescale import rescale
from adaption.precision.rewrite import rewrite, uniform_plan

HEAD = """name: "n"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "gaussian" std: 0.01 }
    bias_filler { type: "gaussian" std: 3 } } }
"""
RELU = 'layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }\n'
BN = """layer { name: "b1" type: "BatchNorm" bottom: "c1" top: "c1" }
layer { name: "s1" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true
  bias_filler { type: "gaussian" std: 1 } } }
"""
REST = """layer { name: "p" type: "Pooling" bottom: "c1" top: "p"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "left" type: "Convolution" bottom: "p" top: "left" convolution_param { num_output: 4
  kernel_size: 1 weight_filler { type: "xavier" } bias_filler { value: 2 } } }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "p" top: "sum" }
layer { name: "ip" type: "InnerProduct" bottom: "sum" top: "ip" inner_product_param { num_output: 5
  weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 5 } } }
"""


def made(text: str, folder: Path) -> tuple[NetFile, Weights]:
    file = from_document(prototxt.parse(text, "n.prototxt"))
    net = Net(file, seed=3)
    if "b1" in net.params:
        mean, variance, factor = (b.tensor for b in net.params["b1"])
        mean.normal_(generator=torch.Generator().manual_seed(1))
        variance.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
        factor.fill_(2)
    net.save(folder / "w.caffemodel")
    return file, read_weights(folder / "w.caffemodel")


def scores(file: NetFile, weights: object, folder: Path, x: np.ndarray) -> np.ndarray:
    path = folder / "again.caffemodel"
    write_weights(path, weights)  # type: ignore[arg-type]
    return Net(file, path).forward({"x": x})["ip"].numpy().copy()


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-120, 130, (2, 3, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("factor", [1 / 255, 1 / 256, 7.0])
def test_scores_of_relu_and_pooling_nets_are_proportional(
    factor: float, tmp_path: Path, x: np.ndarray
) -> None:
    file, weights = made(HEAD + RELU + REST, tmp_path)
    before = scores(file, weights, tmp_path, x)
    found = rescale(file, weights, factor)
    assert list(found.changed) == ["c1", "left", "ip"]
    after = scores(found.net, found.weights, tmp_path, x * np.float32(factor))
    np.testing.assert_allclose(after, before * factor, rtol=1e-4, atol=1e-4 * factor)
    # Without its biases the net would compute something else.
    plain = scores(file, weights, tmp_path, x * np.float32(factor))
    assert np.abs(plain - before * factor).max() > 0.05 * np.abs(before * factor).max()


def test_batch_norm_takes_the_scale_out(tmp_path: Path, x: np.ndarray) -> None:
    file, weights = made(HEAD + BN + RELU + REST, tmp_path)
    before = scores(file, weights, tmp_path, x)
    found = rescale(file, weights, 1 / 255)
    assert list(found.changed) == ["c1", "b1"]
    assert "eps: 1.5378" in found.net.text()  # 1e-5 / 255^2, or it would matter
    after = scores(found.net, found.weights, tmp_path, x / np.float32(255))
    np.testing.assert_allclose(after, before, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (
            'layer { name: "n1" type: "LRN" bottom: "c1" top: "c1" }\n',
            '"n1" (LRN of scaled values)',
        ),
        (
            'layer { name: "s" type: "Sigmoid" bottom: "c1" top: "c1" }\n',
            '"s" (Sigmoid of scaled values)',
        ),
        (
            'layer { name: "r6" type: "ReLU" bottom: "c1" top: "c1" relu_param { relu6: true } }\n',
            '"r6" (ReLU of scaled values)',
        ),
    ],
)
def test_layers_that_cannot_hand_a_scale_on_are_named(
    layer: str, name: str, tmp_path: Path
) -> None:
    file, weights = made(HEAD + layer + REST, tmp_path)
    with pytest.raises(LayerError) as caught:
        rescale(file, weights, 0.5)
    assert str(caught.value).startswith(
        f"n.prototxt: cannot be rescaled, layers are not positively homogeneous: {name}\n  fix: "
    )
    assert any("changes its results" in n for n in rescale(file, weights, 0.5, allow=True).notes)
    # Behind batch norm nothing is scaled any more.
    rescale(file, weights, 1.0)
    file, weights = made(HEAD + BN + layer + REST, tmp_path)
    assert "b1" in rescale(file, weights, 0.5).changed


def test_branches_at_different_scales(tmp_path: Path) -> None:
    text = HEAD + BN + REST + (
        'layer { name: "cat" type: "Concat" bottom: "x" bottom: "x" top: "y" }\n'
        'layer { name: "both" type: "Eltwise" bottom: "y" bottom: "y" top: "z" }\n'
    )  # fmt: skip
    file, weights = made(text, tmp_path)
    rescale(file, weights, 0.5)
    mixed = text.replace('bottom: "left" bottom: "p"', 'bottom: "left" bottom: "q"').replace(
        'layer { name: "sum"',
        'layer { name: "c3" type: "Convolution" bottom: "x" top: "q0" convolution_param {'
        " num_output: 4 kernel_size: 6 stride: 1 } }\n"
        'layer { name: "q" type: "Pooling" bottom: "q0" top: "q"'
        " pooling_param { kernel_size: 1 } }\n"
        'layer { name: "sum"',
    )
    file, weights = made(mixed, tmp_path)
    with pytest.raises(LayerError, match=r'"sum" \(Eltwise of bottoms at different scales\)'):
        rescale(file, weights, 0.5)


@pytest.mark.parametrize(
    ("layer", "stuck"),
    [
        pytest.param('type: "CropCenter" crop_center_param { crop_size: 6 }', "", id="a mover"),
        pytest.param('type: "ArgMax"', "", id="indices alone"),
        pytest.param(
            'type: "ArgMax" argmax_param { out_max_val: true }',
            r'"l" \(ArgMax of scaled values\)',
            id="indices and values",
        ),
        pytest.param('bottom: "i" type: "BatchReindex"', "", id="a bottom of places"),
        pytest.param(
            'bottom: "i" type: "Eltwise"',
            r'"l" \(Eltwise of bottoms at different scales\)',
            id="a bottom of values",
        ),
    ],
)
def test_what_hands_a_scale_on(layer: str, stuck: str, tmp_path: Path) -> None:
    index = 'layer { name: "i" type: "Input" top: "i" input_param { shape { dim: 2 } } }\n'
    text = HEAD + index + f'layer {{ name: "l" bottom: "x" {layer} top: "l" }}\n'
    file = from_document(prototxt.parse(text, "n.prototxt"))
    weights = Weights([LayerWeights("c1", "Convolution", [WeightBlob.of(np.ones(4))] * 2)])
    if not stuck:
        assert list(rescale(file, weights, 0.5).changed) == ["c1"]
        return
    with pytest.raises(LayerError, match=stuck):
        rescale(file, weights, 0.5)


def test_data_layers_and_scores(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2] / "models/lenet_digits"
    out, weights = tmp_path / "n.prototxt", tmp_path / "w.caffemodel"
    command = ["rescale", str(root / "train_val.prototxt"), str(root / "lenet_digits.caffemodel")]
    flags = ["--factor", "0.5", "-o", str(out), "--weights-out", str(weights), "--quiet"]
    assert main([*command, *flags]) == 0
    text = out.read_text()
    assert text.count("scale: 0.03125") == 2 and text.startswith("# LeNet-style net")
    found = rescale(root / "deploy.prototxt", root / "lenet_digits.caffemodel", 0.5)
    assert found.notes == [
        'Feed blob "data" with what it was fed with times 0.5.',
        'Layer "prob" (Softmax) reads scores that are 0.5 times what they were: their order stays,'
        " its values change.",
    ]


def test_what_is_refused(tmp_path: Path) -> None:
    file, weights = made(HEAD + RELU + REST, tmp_path)
    for factor in (0.0, -1.0, float("nan")):
        with pytest.raises(FieldError, match="allowed: a number above 0"):
            rescale(file, weights, factor)
    low = rewrite(file, uniform_plan(file, weight=FixedPoint(8, 7), activation=None))
    with pytest.raises(LayerError, match=r"has low-precision layers \(c1, left, ip\)"):
        rescale(low, weights, 0.5)
