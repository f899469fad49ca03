"""Published nets exported whole and verified; one of them in low precision."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from adaption.compare.float_check import check_float
from adaption.export.onnx import export_onnx
from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net
from tests.export.nets import run_model

QUICK = [
    "armnn_lenet",
    "cifar10_plainnet20",
    "cifar10_quick_v1format",
    "cifar10_resnet20",
    "cmsisnn_cifar10_m7",
    "hyperlpr_charrec",
    "hyperlpr_finemapping",
    "lenet",
    "lenet_v1format",
    "mtcnn_det1",
    "mtcnn_det2",
    "mtcnn_det3",
    "pcn",
    "rfb_320",
]
DEAR = ["squeezenet_v1.0", "vdsr", "waifu2x_upconv7", "yufacedetectnet_v1"]


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in DEAR)]
)
def test_published_net(name: str, shared: Path, tmp_path: Path) -> None:
    folder = shared / "models" / name
    definition = folder / "deploy.prototxt"
    net = Net(definition, folder / "deploy.caffemodel")
    data = np.load(folder / "input.npy")[:2]
    path = tmp_path / "net.onnx"
    net.forward({net.inputs[0]: data})  # reshapes, too
    want = {n: blob.data.copy() for n, blob in net.blobs.items()}  # the file may end at any blob
    report = export_onnx(net, path)
    assert report.left_out == (("detection_out",) if name == "yufacedetectnet_v1" else ())
    assert report.batch is None, report.notes
    onnx.checker.check_model(path, full_check=True)
    checked = check_float(net, path, {net.inputs[0]: data})
    assert checked.ok, checked.detail
    for blob, y in run_model(path, {net.inputs[0]: data}).items():
        # float32 through a whole net, in another order of operations
        scale = float(np.abs(want[blob]).max())
        np.testing.assert_allclose(y, want[blob], atol=2e-5 * max(scale, 1.0))


def low_precision_lenet(folder: Path) -> Net:
    """LeNet with 16 bit weights and activations; the first activations coarser."""
    text = (folder / "deploy.prototxt").read_text()
    text = text.replace('"Convolution"', '"LPConvolution" lpfp_param { bd: 2 ad: 14 }')
    text = text.replace('"InnerProduct"', '"LPInnerProduct" lpfp_param { bd: 2 ad: 14 }')
    act = (
        'layer {{ name: "act{0}" type: "LPAct" bottom: "conv{0}" top: "conv{0}"'
        ' lpfp_param {{ {1} }} }}\nlayer {{\n  name: "pool{0}"'
    )
    for index, bits in (("1", "bd: 5 ad: 3"), ("2", "bd: 6 ad: 10")):
        place = rf'layer \{{\s*name: "pool{index}"'
        text, count = re.subn(place, act.format(index, bits), text)
        assert count == 1
    relu = "precision_param { activation { kind: FIXED word_length: 16 frac_length: 10 } }"
    text = text.replace('"ReLU"', f'"ReLU" {relu}')
    spec = build_spec(from_document(prototxt.parse(text)).message, NetState("TEST"))
    return Net(spec, folder / "deploy.caffemodel")


def test_low_precision_lenet(shared: Path, tmp_path: Path) -> None:
    net = low_precision_lenet(shared / "models" / "lenet")
    path = tmp_path / "net.onnx"
    report = export_onnx(net, path)
    assert report.values["act1"] == ("conv1",)
    data = np.load(shared / "models" / "lenet" / "input.npy")
    checked = check_float(net, path, {"data": data})
    assert checked.ok, checked.detail
    points = [b for b in checked.blobs if b.format is not None]
    assert [b.layer for b in points] == ["act1", "act2", "relu1"]
    assert all(b.max_error_lsb is not None and b.max_error_lsb <= 2 for b in points)
    assert checked.edge_values > 10_000
    assert checked.outputs[0].agreeing == checked.samples == len(data)
