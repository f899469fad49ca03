"""Published nets, quantized: the qdq export in onnxruntime against exact arithmetic.

Exact arithmetic is asked to round half to even, and biases to the grid of the products, as the qdq
form does. Every value of the file that stands for codes must then be equal, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.export.onnx import ExportReport, export_onnx
from adaption.graph import NetState, build_spec, with_inputs
from adaption.io.netfile import read_net
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision.measure import measure_net
from adaption.precision.propose import propose
from adaption.precision.recipe_rewrite import rewrite
from tests.export.qdq_codes import assert_equal_codes, fused

NETS = ["cifar10_quick_v1format", "cifar10_resnet20", "cmsisnn_cifar10_m7", "hyperlpr_charrec",
        "lenet", "mtcnn_det1"]  # fmt: skip
DEAR = ["armnn_lenet", "cifar10_plainnet20", "hyperlpr_finemapping", "lenet_v1format", "mtcnn_det2",
        "mtcnn_det3", "pcn", "rfb_320", "squeezenet_v1.0", "vdsr", "waifu2x_upconv7"]  # fmt: skip


class OneBatch:
    """What measure_net goes over."""

    def __init__(self, blobs: Mapping[str, torch.Tensor]) -> None:
        self.blobs = blobs
        self.names = ["0"]


def quantized(
    folder: Path, bits: int | list[str] = 8
) -> tuple[Net, np.ndarray, dict[str, FixedPoint]]:
    """The net in few bits, biases rounded; one sample; the format of its input."""
    definition, weights = folder / "deploy.prototxt", folder / "deploy.caffemodel"
    file = read_net(definition)
    x = np.load(folder / "input.npy")[:1].astype(np.float32)
    state = NetState("TEST")
    full = Net(build_spec(file.message, state, file=file.file), weights)
    name = full.inputs[0]
    batch = OneBatch({name: torch.from_numpy(x)})
    full.forward(batch.blobs)
    plan = propose(full.spec, measure_net(full, [batch]), bits=bits, round_bias=True)
    low = build_spec(rewrite(file, plan).message, state)
    peak = float(np.abs(x).max())
    word_length = bits if isinstance(bits, int) else 8
    formats = {name: FixedPoint(word_length, word_length - 1 - int(np.ceil(np.log2(peak))))}
    return Net(with_inputs(low, {name: x.shape}), weights), x, formats


def check(name: str, bits: int | list[str], shared: Path, path: Path) -> ExportReport:
    net, x, formats = quantized(shared / "models" / name, bits)
    report = assert_equal_codes(net, path, {net.inputs[0]: x}, formats)
    assert not any("codes may differ from exact arithmetic" in note for note in report.notes)
    return report


@pytest.mark.parametrize("name", [*NETS, *(pytest.param(n, marks=pytest.mark.slow) for n in DEAR)])
def test_codes_equal_exact_arithmetic(name: str, shared: Path, tmp_path: Path) -> None:
    report = check(name, 8, shared, tmp_path / "net.onnx")
    assert report.opset == 18


def test_every_weight_layer_runs_on_an_integer_kernel(shared: Path, tmp_path: Path) -> None:
    net, _, formats = quantized(shared / "models" / "squeezenet_v1.0")
    export_onnx(net, tmp_path / "net.onnx", style="qdq", input_formats=formats)
    kernels = fused(tmp_path / "net.onnx")
    assert kernels["QLinearConv"] == sum(n.spec.type.endswith("Convolution") for n in net.nodes)
    assert not {"Conv", "FusedConv", "ConvInteger"} & set(kernels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bits", "opset"),
    [
        pytest.param(16, 21, id="16 bits"),
        pytest.param(["weight=8", "activation=12"], 21, id="8 and 12 bits"),
        pytest.param(["weight=5", "activation=8"], 18, id="5 and 8 bits"),
    ],
)
@pytest.mark.parametrize("name", [*NETS, *DEAR])
def test_other_word_lengths(
    name: str, bits: int | list[str], opset: int, shared: Path, tmp_path: Path
) -> None:
    assert check(name, bits, shared, tmp_path / "net.onnx").opset == opset
