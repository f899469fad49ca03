"""One net in 8 bits for integer hardware computes the same codes in every form.

Such a net rounds half to even, has its biases on the grids of its products, and rounds whatever its
weight layers read: then the float32 simulation, exact arithmetic and each ONNX style agree in every
code, with nothing to be said about ties or about the order of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import Tensor

from adaption.compare.between import check_between
from adaption.exact import ExactNet, ExactOptions
from adaption.export.onnx import export_onnx
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net
from adaption.net.node import Node
from adaption.options import INT8
from adaption.precision.fold import fold_batch_norm
from adaption.precision.measure import measure_net
from adaption.precision.propose import propose
from adaption.precision.recipe_rewrite import rewrite
from tests.export.nets import input_layer, layer, net_of, run_model


def conv(count: int, kernel: int = 3) -> str:
    return (
        f'type: "Convolution" convolution_param {{ num_output: {count} kernel_size: {kernel}'
        f" pad: {kernel // 2} }}"
    )


TEXT = (
    input_layer("x", 4, 3, 12, 12)
    + layer("a", "x", "a", conv(8))
    + layer("relu_a", "a", "a", 'type: "ReLU"')
    + layer("b", "a", "b", conv(8))
    + layer("sum", "a b", "sum", 'type: "Eltwise"')
    + layer("relu_s", "sum", "sum", 'type: "ReLU"')
    + layer("max", "sum", "max", 'type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }')
    + layer("c", "max", "c", conv(8, 1))
    + layer("d", "max", "d", conv(8))
    + layer("cd", "c d", "cd", 'type: "Concat"')
    + layer("e", "cd", "e", conv(8))
    + layer(
        "ave", "e", "ave", 'type: "Pooling" pooling_param { pool: AVE kernel_size: 2 stride: 2 }'
    )
    + layer("ip", "ave", "ip", 'type: "InnerProduct" inner_product_param { num_output: 5 }')
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Net, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("net")
    full = net_of(TEXT)
    x = np.random.default_rng(0).normal(size=(4, 3, 12, 12)).astype(np.float32) * 40
    measured = measure_net(full, [SimpleNamespace(blobs={"x": x}, names=["0"])])
    plan = propose(full.spec, measured, **INT8)
    full.save(folder / "w.caffemodel")
    low = rewrite(from_document(prototxt.parse(TEXT)), plan)
    return Net(low, folder / "w.caffemodel"), {"x": x}


def test_the_float32_simulation_is_exact(made: tuple[Net, dict[str, np.ndarray]]) -> None:
    net, inputs = made
    seen: dict[str, Tensor] = {}

    def observe(node: Node, _: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        seen[node.spec.name] = tops[0].clone()

    net.forward(inputs, observer=observe)
    exact = ExactNet(net)
    assert exact.program.is_lossless
    compared = 0
    for name, _, scale, codes in exact.run(inputs).tops():
        assert scale is not None
        want = codes.double() * scale.scale
        assert (seen[name].double() == want).all(), name
        compared += 1
    assert compared > 12


@pytest.mark.parametrize("style", ["float", "qdq", "integer"])
def test_so_are_the_exports(
    style: str, made: tuple[Net, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    net, inputs = made
    report = export_onnx(net, tmp_path / "net.onnx", style=style)
    assert not [note for note in report.notes if "float32" in note or "differ" in note]
    found = run_model(tmp_path / "net.onnx", inputs)
    want = ExactNet(net).run(inputs).outputs
    for blob, values in found.items():
        np.testing.assert_array_equal(values, want[blob].numpy())
    as_qdq = ExactNet(net, ExactOptions(biases="product", rounding="half_even")).run(inputs)
    for blob, values in as_qdq.outputs.items():
        np.testing.assert_array_equal(values.numpy(), want[blob].numpy())


PUBLISHED = ["armnn_lenet", "cifar10_plainnet20", "cifar10_quick_v1format", "cifar10_resnet20",
             "cmsisnn_cifar10_m7", "hyperlpr_charrec", "hyperlpr_finemapping", "lenet",
             "lenet_v1format", "mtcnn_det1", "mtcnn_det2", "mtcnn_det3", "pcn"]  # fmt: skip
DEAR = ["rfb_320", "squeezenet_v1.0", "vdsr", "waifu2x_upconv7", "yufacedetectnet_v1"]
CUT = {"vdsr": 48, "waifu2x_upconv7": 48, "mtcnn_det1": 48}  # inputs: as many layers, less time
# 0.1, the slope of its ReLUs, times a code is rounded in float32: five codes become a tie.
LEAKY = ["waifu2x_upconv7"]


@pytest.mark.parametrize(
    "name", [*PUBLISHED, *(pytest.param(n, marks=pytest.mark.slow) for n in DEAR)]
)
def test_published_nets_in_every_form(name: str, shared: Path, tmp_path: Path) -> None:
    folder, size = shared / "models" / name, CUT.get(name)
    folded = fold_batch_norm(folder / "deploy.prototxt", folder / "deploy.caffemodel")
    full = Net(folded.net, folded.weights)
    x = np.ascontiguousarray(np.load(folder / "input.npy")[:1, ..., :size, :size])
    inputs = {full.inputs[0]: x}
    measured = measure_net(full, [SimpleNamespace(blobs=inputs, names=["0"])])
    plan = propose(full.spec, measured, **INT8)
    net = Net(rewrite(folded.net, plan), folded.weights)
    net.forward(inputs)  # the sample's size becomes the net's
    simulated = "lp64" if name in LEAKY else "lp"
    for style, exact in (("qdq", "exact-half-even"), ("integer", "exact")):
        path = tmp_path / f"{style}.onnx"
        export_onnx(net, path, style=style)
        by_exact = check_between(net, exact, path, inputs)
        assert by_exact.ok, by_exact.detail
        assert any(top.is_promised for top in by_exact.tops)
        tops = check_between(net, simulated, path, inputs).tops
        codes = [top for top in tops if top.format is not None]
        assert len(codes) >= (2 if style == "integer" else 1)
        assert not [top.layer for top in codes if top.differing]
