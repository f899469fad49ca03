"""Style qdq where float32 operators would round: exact arithmetic's operators stand there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from adaption.exact import ExactNet, ExactOptions
from adaption.export.onnx import export_onnx
from adaption.export.onnx import qdq as style
from tests.exact.exact_nets import DATA
from tests.exact.exact_nets import NETS as EXACT_NETS
from tests.exact.function_nets import NORMS, TABLES, alexnet
from tests.export.nets import input_layer, layer, net_of, run_model, samples
from tests.export.qdq_codes import assert_equal_codes, fused
from tests.export.qdq_nets import (
    ROUNDS_FLOATS,
    chain,
    conv,
    fixed,
    pool,
    precision,
    product,
    relu,
    rounds,
)

NETS = {
    **{name: DATA + text for name, text in {**EXACT_NETS, **TABLES, **NORMS}.items()},
    **{f"AlexNet, {b} bits": input_layer("data", 1, 3, 19, 19) + alexnet(b) for b in (8, 16)},
}


@pytest.mark.parametrize("name", NETS)
def test_every_operation_of_exact_arithmetic_is_bit_equal(name: str, tmp_path: Path) -> None:
    net = net_of(NETS[name])
    inputs = {"data": 2 * samples(net, 3)["data"]}
    report = assert_equal_codes(net, tmp_path / "net.onnx", inputs)
    assert report.batch is None
    assert not any("codes may differ from exact arithmetic" in note for note in report.notes)


PRELU = layer("prelu", "c", "c", 'type: "PReLU"')


def test_a_stated_accumulator_overflows_as_in_exact_arithmetic(tmp_path: Path) -> None:
    stated = "accumulator { kind: FIXED word_length: 11 overflow: WRAP }"
    weights = precision(fixed("weight", 8, 6), stated)
    net = net_of(
        input_layer("data", 2, 3, 8, 8)
        + rounds("act0", "data", 8, 5)
        + layer("c", "data", "c", 'type: "Convolution" convolution_param { num_output: 4'
                f" kernel_size: 3 }} {weights}")
        + rounds("act", "c", 8, 5)
    )  # fmt: skip
    exact = ExactNet(net)
    inputs = samples(net)
    exact.run(inputs)
    assert exact.report().accumulators[0].overflows > 0
    assert_equal_codes(net, tmp_path / "net.onnx", inputs)


def test_one_accumulator_per_product_is_named(tmp_path: Path) -> None:
    stated = "accumulator { kind: FIXED word_length: 11 frac_length: 6 per_product: true }"
    weights = precision(fixed("weight", 8, 6), stated)
    net = net_of(
        input_layer("data", 2, 3)
        + rounds("act0", "data", 8, 5)
        + layer("c", "data", "c", 'type: "InnerProduct" inner_product_param { num_output: 4 }'
                f" {weights}")
        + rounds("act", "c", 8, 5)
    )  # fmt: skip
    assert export_onnx(net, tmp_path / "net.onnx", style="qdq").notes == (
        'layer "c" runs in float32, where its sums may round: accumulators of stated width are for'
        " exact arithmetic",
        ROUNDS_FLOATS,
    )


@pytest.mark.parametrize(("word_length", "rounding"), [(8, "FLOOR"), (20, "HALF_AWAY")])
def test_other_points_round_exact_values(word_length: int, rounding: str, tmp_path: Path) -> None:
    """Points without QuantizeLinear: behind what float32 would round, and behind integers."""
    point = rounds("act", "c", word_length, 5).replace("HALF_EVEN", rounding)
    net = net_of(
        input_layer("data", 2, 3, 8, 8)
        + rounds("act0", "data", 8, 5)
        + conv("data", "c", 4, "kernel_size: 3", (8, 6))
        + PRELU
        + point
        + conv("c", "d", 4, "kernel_size: 3", (8, 6))
        + rounds("act_d", "d", word_length, 3).replace("HALF_EVEN", rounding)
        + product("d", "e", 2, (8, 6))
        + rounds("act_e", "e", 8, 3)
    )
    assert_equal_codes(net, tmp_path / "net.onnx", samples(net, 5))


def test_stretches_of_exact_arithmetic_take_any_size(tmp_path: Path) -> None:
    up = "group: 3 kernel_size: 4 stride: 2 pad: 1"
    net = net_of(
        text := input_layer("data", 1, 3, 8, 8)
        + rounds("act0", "data", 8, 5)
        + conv("data", "c", 6, "kernel_size: 3 pad: 1", (8, 6))
        + PRELU
        + pool("c", "p", "pool: AVE kernel_size: 3 stride: 1")
        + conv("p", "up", 6, up, (8, 6)).replace("Convolution", "Deconvolution")
        + rounds("act_up", "up", 8, 3)
    )
    report = export_onnx(net, tmp_path / "net.onnx", style="qdq", free_size=True)
    assert report.inputs == {"data": ("N", 3, "H", "W")}
    other = net_of(text.replace("dim: 8 dim: 8", "dim: 9 dim: 14"))
    inputs = samples(other, 2)
    exact = ExactNet(other, ExactOptions(biases="product", rounding="half_even")).run(inputs)
    found = run_model(tmp_path / "net.onnx", inputs)
    np.testing.assert_array_equal(found["up"], exact.outputs["up"].numpy())


def test_exact_arithmetic_is_made_only_where_float32_would_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes eight bytes per weight."""
    monkeypatch.setattr(style, "build_program", None)
    export_onnx(net_of(chain()), tmp_path / "net.onnx", style="qdq")
    with pytest.raises(TypeError):
        export_onnx(
            net_of(DATA + EXACT_NETS["PReLU, then a point"]), tmp_path / "net.onnx", style="qdq"
        )


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize(("bits", "convolutions"), [(8, 3), (16, 6)])
def test_float32_convolutions_are_cut_so_that_no_sum_rounds(
    bits: int, convolutions: int, kind: str, tmp_path: Path
) -> None:
    """Weights at the ends of their range, behind a PReLU whose results have 24 bits."""
    net = net_of(
        input_layer("data", 1, 32, 6, 6)
        + rounds("act0", "data", 8, 0)
        + layer("prelu", "data", "x", 'type: "PReLU"')
        + conv("x", "c", 3, "kernel_size: 3", (bits, bits - 1)).replace("Convolution", kind)
        + rounds("act", "c", bits, -5)
    )
    rng = np.random.default_rng(0)
    most = 1 - 2.0 ** (1 - bits)
    weight, bias = net.nodes[-2].masters
    weight.write(np.float32(rng.choice([most, -most, most / 2], weight.shape)))
    bias.write(np.zeros(bias.shape, np.float32))
    inputs = {"data": np.float32(rng.choice([-200, -3, 126, 127, 200], (4, 32, 6, 6)))}
    assert_equal_codes(net, tmp_path / "net.onnx", inputs)
    made = Counter(node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node)
    assert made["Conv" if kind == "Convolution" else "ConvTranspose"] == convolutions
    assert not made["ConvInteger"]


def long_sums(word_length: int, frac_length: int, behind: str = "") -> str:
    return (
        input_layer("data", 2, 4096)
        + rounds("act0", "data", 8, 0, "is_signed: false")
        + product("data", "c", 8, (8, 0))
        + rounds("act", "c", word_length, frac_length)
        + behind
    )


@pytest.mark.parametrize(
    ("text", "kernels"),
    [
        pytest.param(long_sums(8, -17), 1, id="beyond 2^24 the top saturates"),
        pytest.param(long_sums(8, -17, relu("c")), 1, id="the same with ReLU"),
        pytest.param(long_sums(8, -19), 0, id="the kernel would round sums"),
        pytest.param(long_sums(16, -10), 0, id="float32 would round sums"),
    ],
)
def test_sums_beyond_24_bits(text: str, kernels: int, tmp_path: Path) -> None:
    net = net_of(text)
    rng = np.random.default_rng(0)
    weight, bias = next(n for n in net.nodes if n.spec.name == "c").masters
    weight.write(np.float32(rng.choice([-127, 1, 126, 127], weight.shape)))
    # Half a step from a tie, with 24 bits and more.
    bias.write(np.float32([2.0**18 - 1, 2.0**18 + 1] * 4) * ("frac_length: -19" in text))
    inputs = {"data": np.float32(rng.choice([0, 1, 254, 255], (64, 4096), p=[0.2, 0.2, 0.3, 0.3]))}
    report = assert_equal_codes(net, tmp_path / "net.onnx", inputs)
    assert report.notes == ()
    assert fused(tmp_path / "net.onnx")["QGemm"] == kernels


def test_constants_that_exact_arithmetic_rounds_are_noted(tmp_path: Path) -> None:
    net = net_of(NETS["AVE pooling straight into weights"])
    _, note = assert_equal_codes(net, tmp_path / "net.onnx", samples(net)).notes
    assert note == 'layer "a": its bias is rounded to the grid of the products'
