"""Shapes of a whole net without a net."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaption.errors import ShapeError, UnknownLayerError
from adaption.graph import NetSpec, NetState, build_spec, with_inputs
from adaption.io import prototxt
from adaption.io.netfile import from_document, read_net
from adaption.layers.shapes import each_shape, shapes_of
from adaption.net import Net

ROOT = Path(__file__).resolve().parents[2]

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: KERNEL } }
layer { name: "relu" type: "KIND" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" }
"""


def spec_of(kernel: int = 3, kind: str = "ReLU") -> NetSpec:
    text = NET.replace("KERNEL", str(kernel)).replace("KIND", kind)
    net = from_document(prototxt.parse(text, "net.prototxt"))
    return build_spec(net.message, NetState("TRAIN"), file=net.file, lines=net.lines)


def test_shapes() -> None:
    found = {x.spec.name: x for x in shapes_of(spec_of())}
    assert found["data"].tops == ((2, 3, 8, 8), (2,))
    assert found["conv"].blobs == ((4, 3, 3, 3), (4,))
    assert found["relu"].bottoms == found["relu"].tops == ((2, 4, 6, 6),)
    assert found["fc"].blobs == ((5, 144), (5,))
    assert found["loss"].spec.tops == ("(automatic)",) and found["loss"].tops == ((),)


@pytest.mark.parametrize("name", ["googlenet", "cifar10_resnet20"])
def test_they_are_those_of_the_net(name: str) -> None:
    file = read_net(ROOT / f"models/{name}/train_val.prototxt")
    size = 224 if name == "googlenet" else 32
    inputs = {"data": (1, 3, size, size), "label": (1,)}
    spec = with_inputs(build_spec(file.message, NetState("TRAIN")), inputs)
    net = Net(spec)
    for found in shapes_of(spec):
        assert list(found.tops) == [net.blobs[top].shape for top in found.spec.tops]
        blobs = net.params.get(found.spec.name, [])
        assert list(found.blobs) == [blob.shape for blob in blobs]


def test_errors_name_file_line_and_layer() -> None:
    with pytest.raises(ShapeError) as caught:
        shapes_of(spec_of(kernel=9))
    assert caught.value.where == 'net.prototxt:4: layer "conv" (Convolution)'


def test_unknown_layers() -> None:
    with pytest.raises(UnknownLayerError, match='layer "relu" of type'):
        shapes_of(spec_of(kind="Unheard"))
    # It is in place; what reads the blob has a shape none the less.
    assert [x.spec.name for x in each_shape(spec_of(kind="Unheard"))] == [
        "data", "conv", "fc", "loss",
    ]  # fmt: skip
