"""Weights between the plain and the low-precision layout: by name, by order, baked; sparsity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.errors import UsageError, WeightsError
from adaption.io.caffemodel import LayerWeights, WeightBlob, read_weights, write_weights
from adaption.io.netfile import read_net
from adaption.numerics import FixedPoint
from adaption.precision.convert import convert, convert_file
from adaption.precision.edit import edit

W = np.array([[0.1, -0.4, 0.0, 1.3]], np.float32)
B = np.array([0.3], np.float32)
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "fc_lp_1" type: "LPInnerProduct" bottom: "data" top: "fc_lp_1"
  lpfp_param { bd: 2 ad: 2 round_bias: true } inner_product_param { num_output: 1 } }
"""
PLAIN = NET.replace("LPInnerProduct", "InnerProduct").replace("fc_lp_1", "fc1")


def files(folder: Path, *layers: LayerWeights) -> tuple[Path, Path]:
    (folder / "net.prototxt").write_text(NET)
    write_weights(folder / "in.caffemodel", layers or [fc("fc1")])
    return folder / "in.caffemodel", folder / "net.prototxt"


def fc(name: str, kind: str = "InnerProduct") -> LayerWeights:
    return LayerWeights(name, kind, [WeightBlob.of(W), WeightBlob.of(B)])


def test_by_order_to_four_blobs_and_back(tmp_path: Path) -> None:
    weights, net = files(tmp_path)
    made = convert_file(weights, net, tmp_path / "lp.caffemodel", by_order=True)
    assert (made.mapping, made.left_out, made.missing) == ({"fc1": "fc_lp_1"}, (), ())
    low = read_weights(tmp_path / "lp.caffemodel").get("fc_lp_1")
    assert low is not None and low.type == "LPInnerProduct"
    q = [[0, -0.5, 0, 1.25]]
    for blob, want in zip(low.blobs, (W, q, B, [0.25]), strict=True):
        np.testing.assert_array_equal(blob.array(), want)
    (tmp_path / "plain.prototxt").write_text(PLAIN)
    back = convert_file(
        tmp_path / "lp.caffemodel", tmp_path / "plain.prototxt", tmp_path / "b.h5", by_order=True
    )
    assert back.mapping == {"fc_lp_1": "fc1"}
    again = read_weights(tmp_path / "b.h5").get("fc1")
    assert again is not None
    np.testing.assert_array_equal(again.blobs[0].array(), W)
    np.testing.assert_array_equal(again.blobs[1].array(), B)


def test_baked_weights_are_plain_and_on_the_grid(tmp_path: Path) -> None:
    weights, net = files(tmp_path)
    convert_file(weights, net, tmp_path / "baked.caffemodel", by_order=True, baked=True)
    (layer,) = read_weights(tmp_path / "baked.caffemodel").layers
    assert (layer.name, layer.type, len(layer.blobs)) == ("fc_lp_1", "InnerProduct", 2)
    np.testing.assert_array_equal(layer.blobs[0].array(), [[0, -0.5, 0, 1.25]])
    np.testing.assert_array_equal(layer.blobs[1].array(), [0.25])


def test_rounded_blobs_follow_the_formats_of_the_new_net(tmp_path: Path) -> None:
    """A file rounded for one Qm.f becomes one for another, not one with stale rounded blobs."""
    weights, net = files(tmp_path)
    convert_file(weights, net, tmp_path / "2.caffemodel", by_order=True)
    net.write_text(NET.replace("ad: 2", "ad: 4"))
    (layer,) = convert(tmp_path / "2.caffemodel", net)
    want = FixedPoint(6, 4).quantize(torch.from_numpy(W)).numpy()
    np.testing.assert_array_equal(layer.blobs[1].array(), want)


def test_sparsity_files_tell_of_float_and_rounded_weights(tmp_path: Path) -> None:
    weights, net = files(tmp_path)
    made = convert_file(
        weights, net, tmp_path / "lp.caffemodel", by_order=True, sparsity_folder=tmp_path
    )
    texts = [path.read_text() for path in made.sparsity_files]
    assert texts == ["fc1 layer: 25.000000 \n", "fc_lp_1 layer: 50.000000 \n"]


def test_golden_conversion(shared: Path, tmp_path: Path) -> None:
    """convert_weights.py on a net of two layers, its dummy net's sparsity included."""
    golden = shared / "golden/quantization"
    made = convert_file(
        golden / "Conv/Conv_original.caffemodel",
        golden / "dummyLP_Conv_deploy.prototxt",
        tmp_path / "lp.caffemodel",
        by_order=True,
        sparsity_folder=tmp_path,
        dummy=golden / "Conv/dummyLP_Conv.caffemodel.h5",
        original_semantics=True,
    )
    assert made.mapping == {"conv1": "conv_lp_1", "fc2": "fc_lp_2"}
    found = read_weights(tmp_path / "lp.caffemodel")
    recorded = np.load(golden / "convert.npz")
    names = [name for name in recorded.files if name.startswith("lp.")]
    assert len(names) == 8
    for name in names:
        _, layer, index = name.split(".")
        blob = found.get(layer).blobs[int(index)]  # type: ignore[union-attr]
        np.testing.assert_array_equal(blob.array(), recorded[name], err_msg=name)
    for name in ("sparsity_hp.txt", "sparsity_lp.txt"):
        assert (tmp_path / name).read_text() == (golden / name).read_text()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        pytest.param(
            [fc("a"), fc("b")],
            "does not pair by order: 2 layers with blobs, 1 in the net",
            id="numbers",
        ),
        pytest.param(
            [fc("a", "Convolution")],
            'does not pair by order: "a" (Convolution) with "fc_lp_1" (LPInnerProduct)',
            id="types",
        ),
    ],
)
def test_layers_that_do_not_pair(layers: list[LayerWeights], message: str, tmp_path: Path) -> None:
    weights, net = files(tmp_path, *layers)
    with pytest.raises(WeightsError) as caught:
        convert_file(weights, net, tmp_path / "out.caffemodel", by_order=True)
    assert str(caught.value) == (
        f"{weights}: {message}\n"
        "  fix: pair by name, or give the net that differs only in its layers' names"
    )
    assert not (tmp_path / "out.caffemodel").exists()


def test_no_name_in_common(tmp_path: Path) -> None:
    weights, net = files(tmp_path)
    with pytest.raises(WeightsError) as caught:
        convert_file(weights, net, tmp_path / "out.caffemodel")
    assert str(caught.value) == (
        f"{weights}: has no layer of the net's, by name\n"
        "  fix: give the caffemodel of this net, or --by-order where only the names differ"
    )


def test_dummy_weights_need_original_semantics(tmp_path: Path) -> None:
    weights, net = files(tmp_path)
    with pytest.raises(UsageError, match="dummy weights only count with original semantics"):
        convert_file(weights, net, tmp_path / "out.caffemodel", dummy=weights)


def test_baked_weights_equal_published_ones(shared: Path, tmp_path: Path) -> None:
    """An 8-bit net that others published, rounded from its float weights: every code."""
    folder = shared / "models/cmsisnn_cifar10_m7"
    if not folder.is_dir():
        pytest.skip(f"no published models at {folder.parent}")
    net = read_net(folder / "deploy.prototxt")
    lengths = {"conv1": 7, "conv2": 8, "conv3": 9, "ip1": 11}
    changes = [f"{name}:weight=Q{8 - f}.{f}" for name, f in lengths.items()]
    low = edit(net, changes).net
    published = {x.name: x.blobs for x in read_weights(folder / "quantized.caffemodel")}
    made = {
        layer.name: layer.blobs[0].array()
        for layer in convert(folder / "float.caffemodel.h5", low, baked=True)
        if layer.blobs
    }
    assert sorted(made) == ["conv1", "conv2", "conv3", "ip1"]
    for name, values in made.items():
        np.testing.assert_array_equal(values, published[name][0].array())
