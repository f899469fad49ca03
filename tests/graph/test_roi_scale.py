"""spatial_scale of ROIPooling against the stride of its map."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaption.graph import NetState, build_spec, wrong_roi_scales
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net
from adaption.precision.edit import edit
from adaption.proto import caffe_pb2
from adaption.report.inspect import inspect

NET = """
layer { name: "in" type: "Input" top: "data" top: "rois"
  input_param { shape { dim: 1 dim: 1 dim: 32 dim: 32 } shape { dim: 1 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 1 kernel_size: 3 pad: 1 stride: 4 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "roi" type: "ROIPooling" bottom: "pool" bottom: "rois" top: "roi"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: SCALE } }
"""


@pytest.mark.parametrize(
    ("scale", "wrong"),
    [
        pytest.param("1.25", {"roi": (1.25, 0.125)}, id="ten times too large"),
        pytest.param("0.125", {}, id="right"),
        pytest.param("0.25", {}, id="something else, left to the author"),
    ],
)
def test_found(scale: str, wrong: dict[str, tuple[float, float]]) -> None:
    document = prototxt.parse(NET.replace("SCALE", scale))
    message, _ = document.message(caffe_pb2.NetParameter)
    assert wrong_roi_scales(build_spec(message, NetState())) == wrong


def test_said_and_mended(tmp_path: Path) -> None:
    net = from_document(prototxt.parse(NET.replace("SCALE", "1.25"), "n.prototxt"))
    assert Net(net).notices == [
        'layer "roi" (ROIPooling): spatial_scale is 1.25, ten times the 0.125 that a map of stride'
        " 8 asks for, as in ADaPTION's training nets; adaption edit NET --mend-roi-scale sets it"
        " right"
    ]
    path = tmp_path / "n.prototxt"
    path.write_text(net.text())
    assert inspect(path).warnings == Net(net).notices
    made = edit(net, mend_roi_scale=True)
    assert [str(change) for change in made.changes] == ["roi: spatial_scale 1.25 -> 0.125"]
    assert made.net.text() == NET.replace("SCALE", "0.125")
    assert Net(made.net).notices == []
