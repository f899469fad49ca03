"""Published nets in 16, 8 and mixed bits: exact arithmetic, its simulation, and their exports."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from adaption.compare.between import check_between
from adaption.compare.float_check import check_float
from adaption.exact import ExactNet, ExactOptions
from adaption.exact.inputs import format_of_data
from adaption.export.onnx import export_onnx
from adaption.io.netfile import NetFile, read_net
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision.measure import measure_net
from adaption.precision.propose import propose
from adaption.precision.recipe_rewrite import rewrite

QUICK = ["lenet"]
NETS = [
    "cifar10_resnet20",
    "mtcnn_det2",
    "armnn_lenet",
    "cifar10_plainnet20",
    "cifar10_quick_v1format",
    "cmsisnn_cifar10_m7",
    "hyperlpr_charrec",
    "hyperlpr_finemapping",
    "lenet_v1format",
    "mtcnn_det1",
    "mtcnn_det3",
    "pcn",
    "pcn:_pcn2",
    "pcn:_pcn3",
    "rfb_320",
    "squeezenet_v1.0",
    "vdsr",
    "waifu2x_upconv7",
    "yufacedetectnet_v1",
]
# Their inputs are cut to this size: as many layers, less time.
CUT = {"vdsr": 48, "waifu2x_upconv7": 48, "mtcnn_det1": 48}
BITS = (16, 8, "mixed")
FOLDER = Path(__file__).resolve().parents[2] / "models"

Inputs = dict[str, npt.NDArray[np.float32]]


def low_precision(folder: Path, name: str, bits: int | str) -> tuple[Net, Inputs]:
    """The net of a folder measured on its sample, and quantized; "mixed": 8 and 16 in turn."""
    name, _, part = name.partition(":")
    file = read_net(folder / name / f"deploy{part}.prototxt")
    weights = folder / name / "deploy.caffemodel"
    net = Net(file, weights)
    size = CUT.get(name)
    x = np.load(folder / name / f"input{part}.npy")[:1, ..., :size, :size]
    inputs = {net.inputs[0]: np.ascontiguousarray(x)}
    return quantized(file, net, inputs, bits), inputs


def quantized(file: NetFile, net: Net, inputs: Inputs, bits: int | str) -> Net:
    measured = measure_net(net, [SimpleNamespace(blobs=inputs, names=["sample"])])
    plan = propose(net.spec, measured, bits=8 if bits == "mixed" else bits)
    if bits == "mixed":
        wide = propose(net.spec, measured, bits=16)
        layers = list(dict.fromkeys(point.layer for point in plan.choices))
        for layer in layers[1::2]:
            plan.choices |= {p: c for p, c in wide.choices.items() if p.layer == layer}
    made = Net(rewrite(file, plan))
    masters = {node.spec.name: node.masters for node in net.nodes}
    for node in made.nodes:
        for own, blob in zip(node.masters, masters.get(node.spec.name, []), strict=True):
            own.write(blob.data)
    made.forward(inputs)  # the sample's size becomes the net's
    return made


def check(net: Net, inputs: Inputs, tmp_path: Path) -> None:
    formats: dict[str, FixedPoint] = {name: format_of_data(x) for name, x in inputs.items()}
    path = tmp_path / "net.onnx"

    export_onnx(net, path, style="integer", input_formats=formats)
    integer = check_between(net, "exact", path, inputs)
    assert integer.ok, integer.detail
    assert sum(t.is_promised for t in integer.tops) >= len(net.params) // 2

    exact = ExactNet(net, ExactOptions(formats))
    simulated = check_between(net, "lp64", "exact", inputs, input_formats=formats)
    if exact.program.is_lossless:
        points = [t for t in simulated.tops if t.format is not None]
        assert points and all(t.is_promised for t in points)
        assert simulated.ok, simulated.detail
    else:
        # Rounded factors of batch norm, or slopes: the first codes to differ do so near ties, by
        # one LSB; what follows from them is told, not judged. Codes of 24 bits behind a slope have
        # 8 bits below an LSB of 16, so that about one value in 2^8 lies near enough.
        first = simulated.first_difference
        if first is not None and first.format is not None:
            assert first.differing <= first.count / 128 + 2, simulated.detail
            assert first.max_error_lsb == 1.0, simulated.detail

    export_onnx(net, path, style="float", input_formats=formats)
    report = check_float(net, path, inputs)
    assert report.ok, report.detail  # flips are counted, and each lies within float32's error


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", [*(pytest.param(n, marks=pytest.mark.slow) for n in NETS), *QUICK])
def test_exports_of_published_nets(
    name: str, bits: int | str, shared: Path, tmp_path: Path
) -> None:
    check(*low_precision(shared / "models", name, bits), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ["alexnet", "caffenet", "googlenet"])
def test_nets_with_lrn(name: str, bits: int, tmp_path: Path) -> None:
    """The nets of `models/` with LRN between their convolutions, on random weights."""
    file = read_net(FOLDER / name / "deploy.prototxt")
    net = Net(file)
    generator = torch.Generator().manual_seed(0)
    for node in net.nodes:
        for blob in node.masters:
            fan_in = np.prod(blob.shape[1:]) if len(blob.shape) > 1 else 100
            blob.write((torch.randn(blob.shape, generator=generator) * (2 / fan_in) ** 0.5).numpy())
    rng = np.random.default_rng(0)
    shape = (1, *net.blobs[net.inputs[0]].shape[1:])
    inputs = {net.inputs[0]: np.float32(rng.integers(-128, 128, shape))}
    check(quantized(file, net, inputs, bits), inputs, tmp_path)


def test_embedded_example(tmp_path: Path) -> None:
    """The checkout's own net, without shared files."""
    folder = FOLDER / "lenet_digits"
    file: NetFile = read_net(folder / "deploy.prototxt")
    net = Net(file, folder / "lenet_digits.caffemodel")
    shape = net.blobs[net.inputs[0]].shape
    rng = np.random.default_rng(0)
    inputs = {net.inputs[0]: np.float32(rng.integers(0, 17, shape) / 16)}
    check(quantized(file, net, inputs, 8), inputs, tmp_path)
