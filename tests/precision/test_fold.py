"""Folding batch norm: the folded net computes the same, and what cannot be folded stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.errors import LayerError, WeightsError
from adaption.io import prototxt
from adaption.io.caffemodel import LayerWeights, Weights, read_weights
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net
from adaption.precision.fold import fold_batch_norm

HEAD = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 4 dim: 5 dim: 5 } } }
"""
FILLER = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" min: -1 }'
BN = 'layer { name: "bn" type: "BatchNorm" bottom: "%s" top: "%s" }\n'
SCALE = (
    'layer { name: "scale" type: "Scale" bottom: "%s" top: "%s" scale_param { bias_term: %s'
    ' filler { type: "uniform" min: -2 max: 2 } bias_filler { type: "uniform" min: -1 } } }\n'
)


def weight_layer(kind: str, settings: str) -> str:
    param = "inner_product_param" if kind == "InnerProduct" else "convolution_param"
    return (
        f'layer {{ name: "w" type: "{kind}" bottom: "x" top: "w"\n'
        f"  {param} {{ {settings} {FILLER} }} }}\n"
    )


def make(text: str, folder: Path) -> tuple[NetFile, Path, Net]:
    """The net with random statistics, and its weights in a file."""
    net_file = from_document(prototxt.parse(text, "net.prototxt"))
    net = Net(net_file, seed=5)
    values = torch.Generator().manual_seed(7)
    for node in net.nodes:
        if node.spec.type == "BatchNorm":
            mean, variance, factor = node.blobs
            mean.tensor.copy_(torch.randn(mean.shape, generator=values))
            variance.tensor.copy_(torch.rand(variance.shape, generator=values) + 0.1)
            factor.tensor.fill_(0.7)
    net.save(folder / "net.caffemodel")
    return net_file, folder / "net.caffemodel", net


CASES = [
    pytest.param("Convolution", "num_output: 4 kernel_size: 3 group: 2", id="groups"),
    pytest.param("Convolution", "num_output: 3 kernel_size: 3 bias_term: false", id="no bias"),
    pytest.param("Deconvolution", "num_output: 6 kernel_size: 2 group: 2 stride: 2", id="deconv"),
    pytest.param("ConvolutionDepthwise", "num_output: 4 kernel_size: 3", id="depthwise"),
    pytest.param("InnerProduct", "num_output: 3", id="inner product"),
    pytest.param("InnerProduct", "num_output: 3 transpose: true", id="transposed"),
]


@pytest.mark.parametrize(("kind", "settings"), CASES)
@pytest.mark.parametrize("behind", ["bn", "bn scale", "bn scale+bias", "scale+bias", "own tops"])
def test_folded_net_computes_the_same(
    kind: str, settings: str, behind: str, tmp_path: Path
) -> None:
    text = HEAD + weight_layer(kind, settings)
    names = ("w", "n", "s") if behind == "own tops" else ("w", "w", "w")
    if "bn" in behind or behind == "own tops":
        text += BN % names[:2]
    if behind != "bn":
        text += SCALE % (*names[1:], str("bias" in behind or behind == "own tops").lower())
    text += f'layer {{ name: "relu" type: "ReLU" bottom: "{names[2]}" top: "y" }}\n'
    net_file, weights, net = make(text, tmp_path)
    made = fold_batch_norm(net_file, weights)
    assert [m.type for m in made.net.message.layer] == ["Input", kind, "ReLU"]
    assert not made.left
    folded = Net(made.net)
    folded.load(made.weights)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 5)).astype(np.float32)
    net.forward({"x": x})
    folded.forward({"x": x})
    want, found = net.blobs["y"].data, folded.blobs["y"].data
    # float32 sums of up to 100 products in another order
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5 * float(np.abs(want).max()))


def test_what_is_kept_of_the_text(tmp_path: Path) -> None:
    text = HEAD + weight_layer("Convolution", "num_output: 2 kernel_size: 1 bias_term: false")
    text += "# statistics\n" + BN % ("w", "w") + "# the end\n"
    net_file, weights, _ = make(text, tmp_path)
    made = fold_batch_norm(net_file, weights)
    assert made.folded == {"w": ("bn",)}
    assert made.net.text() == text.replace(" bias_term: false", "").replace(BN % ("w", "w"), "")


TRAIN_AND_TEST = (
    HEAD
    + weight_layer("Convolution", "num_output: 4 kernel_size: 1")
    + 'layer { name: "bn" type: "BatchNorm" bottom: "w" top: "n" include { phase: TRAIN }'
    " batch_norm_param { use_global_stats: false } }\n"
    + 'layer { name: "bn" type: "BatchNorm" bottom: "w" top: "n" include { phase: TEST }'
    " batch_norm_param { use_global_stats: true } }\n"
    + 'layer { name: "relu" type: "ReLU" bottom: "n" top: "n" }\n'
)


def test_one_layer_per_phase(tmp_path: Path) -> None:
    net_file, weights, _ = make(TRAIN_AND_TEST, tmp_path)
    made = fold_batch_norm(net_file, weights)
    assert [m.name for m in made.net.message.layer] == ["in", "w", "relu"]
    assert made.net.message.layer[2].bottom == ["w"]


CONV = weight_layer("Convolution", "num_output: 4 kernel_size: 1")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        pytest.param(
            CONV + BN % ("w", "n") + 'layer { name: "t" type: "TanH" bottom: "w" top: "t" }',
            {"bn": "does not follow a weight layer alone"},
            id="the sum is read elsewhere",
        ),
        pytest.param(
            BN % ("x", "n"), {"bn": "does not follow a weight layer alone"}, id="no weights before"
        ),
        pytest.param(
            CONV + 'layer { name: "bn" type: "BatchNorm" bottom: "w" top: "w"'
            " batch_norm_param { use_global_stats: false } }",
            {"bn": "computes its statistics from each batch"},
            id="batch statistics",
        ),
        pytest.param(
            CONV + 'layer { name: "s" type: "Scale" bottom: "w" top: "w" scale_param { axis: 2 } }',
            {"s": "does not act per channel (axis 1, num_axes 1)"},
            id="another axis",
        ),
        pytest.param(
            weight_layer("Convolution", "num_output: 4 kernel_size: 3 axis: 2") + BN % ("w", "w"),
            {"bn": "stands behind a convolution of another axis than 1"},
            id="a convolution's other axis",
        ),
        pytest.param(
            CONV.replace("top:", 'param { name: "shared" } top:')
            + CONV.replace('"w"', '"v"').replace("top:", 'param { name: "shared" } top:')
            + BN % ("w", "w"),
            {"w": "shares its parameters with another layer",
             "bn": "does not follow a weight layer alone"},
            id="shared parameters",
        ),
    ],
)  # fmt: skip
def test_left_alone(text: str, left: dict[str, str], tmp_path: Path) -> None:
    net_file, weights, _ = make(HEAD + text, tmp_path)
    made = fold_batch_norm(net_file, weights)
    assert made.net.text() == HEAD + text
    assert dict(made.left) == left


@pytest.mark.parametrize("behind", [BN % ("w", "w"), SCALE % ("w", "w", "true")])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Convolution", "num_output: 4 kernel_size: 3 axis: 2"),
        ("Deconvolution", "num_output: 4 kernel_size: 3 axis: 2"),
        ("InnerProduct", "num_output: 4 axis: 2"),
        ("InnerProduct", "num_output: 4 axis: 2 transpose: true"),
        ("InnerProduct", "num_output: 4 axis: -1"),
    ],
)
def test_both_act_on_one_axis(kind: str, settings: str, behind: str, tmp_path: Path) -> None:
    """Outputs on axis 2 or 3, as many as there are channels: the statistics are those of axis 1."""
    net_file, weights, net = make(HEAD + weight_layer(kind, settings) + behind, tmp_path)
    made = fold_batch_norm(net_file, weights)
    assert made.net.text() == net_file.text() and not made.folded
    (why,) = made.left.values()
    assert why.endswith("of another axis than 1")
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 5)).astype(np.float32)
    want = net.forward({"x": x})["w"].numpy()
    np.testing.assert_array_equal(Net(made.net, made.weights).forward({"x": x})["w"].numpy(), want)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    net_file, path, _ = make(HEAD + CONV + BN % ("w", "w"), tmp_path)
    layers = [x for x in read_weights(path).layers if x.name != "bn"]
    with pytest.raises(WeightsError) as caught:
        fold_batch_norm(net_file, Weights(layers, file="half.caffemodel"))
    assert str(caught.value) == (
        'half.caffemodel: layer "w" (Convolution): has no weights for layer "bn" (BatchNorm)\n'
        "  fix: give the caffemodel that belongs to this prototxt"
    )
    whole = read_weights(path)
    blobs = whole.get("bn").blobs  # type: ignore[union-attr]
    layers.append(LayerWeights("bn", "BatchNorm", [b.of(np.ones(3)) for b in blobs]))
    with pytest.raises(WeightsError, match='"bn" has 3 channels, the layer before it 4'):
        fold_batch_norm(net_file, Weights(layers))


def test_low_precision_net_is_refused(tmp_path: Path) -> None:
    text = HEAD + CONV.replace('"Convolution"', '"LPConvolution" lpfp_param { bd: 2 ad: 6 }')
    net_file, path, _ = make(text + BN % ("w", "w"), tmp_path)
    with pytest.raises(LayerError) as caught:
        fold_batch_norm(net_file, path)
    assert str(caught.value) == (
        'net.prototxt: layer "w" (LPConvolution): is low precision, allowed: a float net to fold'
        " batch norm in\n  fix: bring it back to float first:"
        " adaption rewrite NET --to float -o OUT"
    )
