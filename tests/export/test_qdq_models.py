"""Published nets in 8 bits: the qdq export in onnxruntime against exact arithmetic.

Exact arithmetic is asked to round half to even, and biases to the grid of the products, as the qdq
form does. Every value of the file that stands for codes must then be equal, bit for bit, wherever
the export does not say that float32 operators come between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from adaption.export import export_onnx
from adaption.export.exact.options import ExactOptions
from adaption.export.exact.run import ExactNet
from adaption.graph import NetState, build_spec, with_inputs
from adaption.io.netfile import read_net
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.precision import measure_net, propose, rewrite
from tests.export.nets import run_model

# Nets whose every rounded sum is one of integers.
INTEGER = ["lenet", "hyperlpr_charrec"]
INTEGER_DEAR = ["armnn_lenet", "hyperlpr_finemapping", "lenet_v1format", "pcn", "rfb_320",
                "squeezenet_v1.0", "vdsr"]  # fmt: skip
# Nets in which float32 operators (PReLU, leaky ReLU, batch norm, AVE pooling) make what is rounded.
FLOATS = ["cifar10_plainnet20", "cifar10_quick_v1format", "cifar10_resnet20", "cmsisnn_cifar10_m7",
          "mtcnn_det1", "mtcnn_det2", "mtcnn_det3", "waifu2x_upconv7"]  # fmt: skip


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


def values_of(path: Path, inputs: dict[str, np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """Every top that the file has a value of, by layer and blob."""
    model = onnx.load(path)
    entries = json.loads({p.key: p.value for p in model.metadata_props}["adaption.layers"])
    names = {(e["name"], b): t for e in entries for b, t in zip(e["blobs"], e["tops"], strict=True)}
    made = {name for node in model.graph.node for name in node.output}
    have = {o.name for o in model.graph.output}
    wanted = dict.fromkeys(t for t in names.values() if t in made)
    model.graph.output.extend(
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None)
        for n in wanted if n not in have
    )  # fmt: skip
    whole = path.with_suffix(".all.onnx")
    onnx.save(model, whole)
    found = run_model(whole, inputs)
    return {key: found[t] for key, t in names.items() if t in found}


def differences(name: str, shared: Path, tmp_path: Path) -> tuple[int, list[str], list[str]]:
    """How many tops of codes were compared, the layers whose differ, in order, and the notes."""
    net, x, formats = quantized(shared / "models" / name)
    path = tmp_path / "net.onnx"
    report = export_onnx(net, path, style="qdq", input_formats=formats)
    onnx.checker.check_model(path, full_check=True)
    inputs = {net.inputs[0]: x}
    exact = ExactNet(
        net, ExactOptions(input_formats=formats, biases="product", rounding="half_even")
    ).run(inputs)
    found = values_of(path, inputs)
    plain = run_model(path, inputs)
    for blob, want in exact.outputs.items():
        scale = max(1.0, float(want.abs().max()))
        # float32 layers at the end (Softmax), or codes that differ where the notes say so
        tolerance = 1e-5 if not any("float32" in n for n in report.notes) else 0.05
        np.testing.assert_allclose(plain[blob], want.numpy(), rtol=0, atol=tolerance * scale)
    compared: int = 0
    off: list[str] = []
    for layer, blob, scale_, codes in exact.tops():
        if scale_ is None or scale_.divisor != 1 or (layer, blob) not in found:
            continue
        compared += 1
        want = codes.double().numpy() * scale_.scale
        if (found[layer, blob] != want).any():
            off.append(layer)
    return compared, off, list(report.notes)


@pytest.mark.parametrize(
    "name", [*INTEGER, *(pytest.param(n, marks=pytest.mark.slow) for n in INTEGER_DEAR)]
)
def test_codes_equal_exact_arithmetic(name: str, shared: Path, tmp_path: Path) -> None:
    compared, off, notes = differences(name, shared, tmp_path)
    assert compared > 3
    assert not off
    assert not any("codes may differ from exact arithmetic" in note for note in notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOATS)
def test_what_float32_operators_make_is_named(name: str, shared: Path, tmp_path: Path) -> None:
    compared, off, notes = differences(name, shared, tmp_path)
    assert compared > 3
    assert any("float32" in note for note in notes)
    first = next((layer for layer in off if layer.endswith("_lpact")), None)
    named = next((n for n in notes if "codes may differ from exact arithmetic" in n), "")
    assert first is None or f'"{first}"' in named


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bits", "opset"),
    [
        pytest.param(16, 21, id="16 bits"),
        pytest.param(["weight=8", "activation=12"], 21, id="8 and 12 bits"),
        pytest.param(["weight=5", "activation=8"], 18, id="5 and 8 bits"),
    ],
)
@pytest.mark.parametrize("name", [*INTEGER, *INTEGER_DEAR, *FLOATS])
def test_other_word_lengths_run(
    name: str, bits: int | list[str], opset: int, shared: Path, tmp_path: Path
) -> None:
    net, x, formats = quantized(shared / "models" / name, bits)
    report = export_onnx(net, tmp_path / "net.onnx", style="qdq", input_formats=formats)
    assert report.opset == opset
    inputs = {net.inputs[0]: x}
    want = ExactNet(
        net, ExactOptions(input_formats=formats, biases="product", rounding="half_even")
    ).run(inputs)
    for blob, y in run_model(tmp_path / "net.onnx", inputs).items():
        scale = max(1.0, float(want.outputs[blob].abs().max()))
        # Float32 sums and slopes: codes may differ beside a tie, and layers behind pass it on.
        assert float(np.abs(y - want.outputs[blob].numpy()).mean()) < 0.02 * scale
