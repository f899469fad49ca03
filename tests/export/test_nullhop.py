"""NullHop: the text layout, the way back, and that the codes compute what the net computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.cli.main import main
from adaption.errors import AdaptionError, FileFormatError
from adaption.export.nullhop import sparsity_map
from adaption.export.nullhop.files import (
    NullHopFormats,
    NullHopLayer,
    NullHopNetwork,
    read_nullhop,
    write_nullhop,
)
from adaption.export.targets import export_net
from adaption.export.targets.nullhop import nullhop_network
from adaption.io.caffemodel import LayerWeights, WeightBlob, read_weights, write_weights
from adaption.net import Net
from adaption.numerics import FixedPoint

NET = """name: "chip"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }
layer { name: "in" type: "LPAct" bottom: "data" top: "data" lpfp_param { bd: 8 ad: 8 } }
layer { name: "conv1" type: "LPConvolution" bottom: "data" top: "conv1"
  lpfp_param { bd: 2 ad: 6 round_bias: true }
  convolution_param { num_output: 3 kernel_size: 3 pad: 1
    weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "uniform" min: -1 } } }
layer { name: "act1" type: "LPAct" bottom: "conv1" top: "act1" lpfp_param { bd: 4 ad: 5 } }
layer { name: "relu1" type: "ReLU" bottom: "act1" top: "act1" }
layer { name: "pool1" type: "Pooling" bottom: "act1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "LPConvolution" bottom: "pool1" top: "conv2"
  lpfp_param { bd: 2 ad: 9 round_bias: true }
  convolution_param { num_output: 4 kernel_size: 2
    weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "uniform" min: -1 } } }
layer { name: "act2" type: "LPAct" bottom: "conv2" top: "conv2" lpfp_param { bd: 3 ad: 7 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc"
  inner_product_param { num_output: 2 } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    Net(path, seed=3).save(tmp_path / "net.caffemodel")
    return path, tmp_path / "net.caffemodel"


def image() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 8, 8)).astype(np.float32)


def test_layout_is_the_originals(tmp_path: Path) -> None:
    layer = NullHopLayer(
        False, 1, 1, 2, 1, 2, False, True, 0, np.array([[[[256]]], [[[-77]]]]), np.array([0, 5])
    )
    path, _ = write_nullhop(NullHopNetwork((layer,), np.array([[[1, 2]]])), tmp_path / "n.cnn")
    assert path.read_text() == (
        "1 # num layers \n 0 #compression_enabled\n 1 #kernel_size \n 1 #num input channels \n"
        " 2 #num_input_column \n 1 #num_input_rows \n 2 #num_output_channels \n"
        " 0 #pooling_enabled \n 1 #relu_enabled \n 0 #padding \n"
        "#KERNELS#\n256\n-77\n#BIASES#\n0\n5\n#PIXELS#\n1\n2\n"
    )


def test_decoded_codes_compute_what_the_net_computes(files: tuple[Path, Path]) -> None:
    """Bit for bit, through the chip's compressed feature maps."""
    net_path, weights = files
    out = net_path.with_name("net.cnn")
    made = export_net(net_path, weights, to="nullhop", out=out, pixels=image())
    assert made.details["layers"] == ["conv1", "conv2"]
    assert list(made.notes) == [
        "weights do not all have 8 fractional bits, which is what the driver of the original takes"
        " for granted: net.cnn.json has the formats",
        "inner products run on the host: fc",
    ]
    network = read_nullhop(out)
    net = Net(net_path, weights)
    with torch.no_grad():
        net.forward({"data": image()[None]})
    want = {
        "conv1": FixedPoint(9, 5).codes(net.blobs["pool1"].tensor[0]).numpy(),
        "conv2": FixedPoint(10, 7).codes(net.blobs["conv2"].tensor[0]).numpy(),
    }
    x = network.pixels
    for layer in network.layers:
        x = layer.run(x)
        np.testing.assert_array_equal(x, want[layer.formats.name])
        again = sparsity_map.decode(sparsity_map.encode(x), x.shape)
        np.testing.assert_array_equal(again, x)
    assert [layer.padding for layer in network.layers] == [1, 0]
    assert [layer.compression_enabled for layer in network.layers] == [False, True]
    assert [layer.relu_enabled for layer in network.layers] == [True, False]
    assert [layer.pooling_enabled for layer in network.layers] == [True, False]


def test_written_and_read_again_is_the_same(files: tuple[Path, Path]) -> None:
    network = nullhop_network(Net(*files), pixels=image())
    write_nullhop(network, files[0].with_name("a.cnn"))
    write_nullhop(read_nullhop(files[0].with_name("a.cnn")), files[0].with_name("b.cnn"))
    for suffix in (".cnn", ".cnn.json"):
        texts = [files[0].with_name(name + suffix).read_text() for name in "ab"]
        assert texts[0] == texts[1]
    files[0].with_name("a.cnn.json").unlink()
    plain = read_nullhop(files[0].with_name("a.cnn"))
    assert plain.layers[0].formats == NullHopFormats()


def test_codes_that_do_not_fit_are_counted(files: tuple[Path, Path]) -> None:
    made = export_net(*files, to="nullhop", out=files[0].with_name("n"), pixels=image() * 1000)
    beyond = int((np.abs(image() * 256000) + 0.5 >= 32768).sum())
    assert made.details["saturated"] == {"pixels": beyond}
    assert f"{beyond} of pixels saturate at 16 bits" in made.notes


def test_original_semantics(files: tuple[Path, Path]) -> None:
    """No padding, 8 fractional bits truncated, and the file's own rounded blobs, stale or not."""
    net_path, weights = files
    stale = [
        LayerWeights(x.name, x.type, [*x.blobs[:3], WeightBlob.of(x.blobs[3].array() * 0 - 0.999)])
        if x.type == "LPConvolution"
        else x
        for x in read_weights(weights)
    ]
    write_weights(net_path.with_name("stale.caffemodel"), stale)
    out = net_path.with_name("original.cnn")
    export_net(
        net_path, net_path.with_name("stale.caffemodel"), to="nullhop", out=out,
        original_semantics=True,
    )  # fmt: skip
    network = read_nullhop(out)
    assert [layer.padding for layer in network.layers] == [0, 0]
    assert network.layers[1].num_input_rows == 3  # (8 - 3 + 1) / 2: padding is forgotten
    assert set(network.layers[0].biases.tolist()) == {-255}
    first = read_weights(weights).get("conv1")
    assert first is not None
    want = np.trunc(first.blobs[1].array().astype(np.float64) * 256)
    np.testing.assert_array_equal(network.layers[0].kernels, want)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kernel_size: 2\n", "kernel_size: 2 stride: 2\n", "has a stride, groups or dilation"),
        ("pool: MAX kernel_size: 2", "pool: AVE kernel_size: 2", "allowed: max pooling 2 x 2"),
        ('"ReLU"', '"TanH"', r'is followed by "relu1" \(TanH\), which NullHop lacks'),
        ("kernel_size: 3 pad: 1", "kernel_size: 2", "it rounds the size down"),
        ('bottom: "pool1" top: "conv2"', 'bottom: "data" top: "conv2"', "NullHop runs chains"),
        ("bd: 4 ad: 5", "bd: 12 ad: 5", "has a result of 17 bits, allowed: 16"),
        # Left out in silence, or taken for a ReLU, while the target kept a table of types.
        (
            'top: "act1" }',
            'top: "act1" relu_param { relu6: true } }',
            r'is followed by "relu1" \(ReLU\), which NullHop lacks',
        ),
        (
            '"LPConvolution" bottom: "pool1" top: "conv2"',
            '"ConvolutionDepthwise" bottom: "pool1" top: "conv2"',
            r'"conv2" \(ConvolutionDepthwise\): has a stride, groups or dilation',
        ),
        (
            '"LPConvolution" bottom: "pool1" top: "conv2"',
            '"Deconvolution" bottom: "pool1" top: "conv2"',
            r'"conv2" \(Deconvolution\): spreads its bottom, NullHop convolves',
        ),
    ],
)
def test_nets_that_the_chip_cannot_run(
    old: str, new: str, message: str, files: tuple[Path, Path]
) -> None:
    assert old in NET
    files[0].write_text(NET.replace(old, new))
    with pytest.raises(AdaptionError, match=message):
        nullhop_network(Net(files[0], seed=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends early"),
        ("x\n", r"word 1 is 'x', allowed: an integer"),
        ("1 # num layers\n 0 1 1 1 1 1 0 0 0\n#BIASES#\n", "where #KERNELS# is to stand"),
        ("1\n0 1 1 1 1 1 0 0 0\n#KERNELS#\n", r"#KERNELS# has 0 of 1 values"),
        ("0\n7\n", "goes on for 1 words"),
    ],
)
def test_files_that_are_none(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "n.cnn").write_text(text)
    with pytest.raises((FileFormatError, AdaptionError), match=message):
        read_nullhop(tmp_path / "n.cnn")


def test_verb(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    np.save(files[0].with_name("x.npy"), image())
    out = files[0].with_name("net.cnn")
    arguments = ["export", *map(str, files), "--to", "nullhop", "-o", str(out)]
    assert main([*arguments, "--pixels", str(files[0].with_name("x.npy"))]) == 0
    assert f"written: {out}" in capsys.readouterr().out
    assert read_nullhop(out).pixels.any()
    assert main([*arguments, "--pixels", str(files[0])]) == 2
    assert "is not a readable .npy array" in capsys.readouterr().err
