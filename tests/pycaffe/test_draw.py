"""pycaffe's draw: the calls of python/draw_net.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

import adaption.pycaffe as caffe
from adaption.errors import UsageError
from adaption.proto import caffe_pb2
from tests.net.nets import data, layer

TEXT = (
    data(1, 3)
    + layer("ReLU", "r", "data")
    + layer("TanH", "t", "data", None, "include { phase: TRAIN }")
)


@pytest.fixture
def net() -> caffe_pb2.NetParameter:
    message = caffe_pb2.NetParameter(name="n")
    text_format.Merge(TEXT, message)
    return message


def test_draw_net_to_file(net: caffe_pb2.NetParameter, tmp_path: Path) -> None:
    file = tmp_path / "net.dot"
    caffe.draw.draw_net_to_file(net, str(file), "BT")
    text = file.read_text()
    assert text.startswith('digraph "n" {\n  rankdir=BT;\n')
    assert '[label="t\\nTanH"' in text and '-> n1 [label="1x3"];' in text


def test_phase(net: caffe_pb2.NetParameter) -> None:
    both, test = (caffe.draw.draw_net(net, ext="dot", phase=p) for p in (None, caffe.TEST))
    assert b"TanH" in both and b"TanH" not in test


def test_graph(net: caffe_pb2.NetParameter, tmp_path: Path) -> None:
    graph = caffe.draw.get_pydot_graph(net, "LR", label_edges=False)
    assert "-> n1;" in graph.to_string()
    assert graph.create(format="mmd").startswith(b"flowchart LR\n")
    graph.write(tmp_path / "any")
    assert (tmp_path / "any").read_text() == graph.to_string()
    with pytest.raises(UsageError, match=r"^format is 'bmp', allowed: svg, png, pdf, dot, gv, mmd"):
        graph.create("bmp")


def test_colours() -> None:
    colour = caffe.draw.choose_color_by_layertype
    assert colour("Convolution") == colour("LPConvolution") != colour("Pooling")
