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

from adaption.export import export_onnx
from adaption.export.exact import ExactNet, ExactOptions
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net
from adaption.net.node import Node
from adaption.precision import measure_net, propose, rewrite
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
    plan = propose(
        full.spec,
        measured,
        bits=8,
        rounding="half_even",
        product_bias=True,
        every_bottom=True,
        same_format="concat",
    )
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
    export_onnx(net, tmp_path / "net.onnx", style=style)
    found = run_model(tmp_path / "net.onnx", inputs)
    want = ExactNet(net).run(inputs).outputs
    for blob, values in found.items():
        np.testing.assert_array_equal(values, want[blob].numpy())
    as_qdq = ExactNet(net, ExactOptions(biases="product", rounding="half_even")).run(inputs)
    for blob, values in as_qdq.outputs.items():
        np.testing.assert_array_equal(values.numpy(), want[blob].numpy())
