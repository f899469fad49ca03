"""Style qdq: integers in the file, integer kernels in onnxruntime, and the codes of exact sums.

The nets here round half to even, and their sums stay below 2^24, where float32 is exact: our own
forward pass is then the reference, bit for bit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from adaption.compare.between import check_between
from adaption.compare.float_check import check_float
from adaption.compare.sessions import ModelFile
from adaption.errors import UsageError
from adaption.export.onnx import export_onnx
from adaption.export.onnx.qdq import INT8_ONLY
from adaption.net import Net
from tests.export.nets import input_layer, layer, net_of, run_model, samples
from tests.export.qdq_codes import fused
from tests.export.qdq_nets import ROUNDS_FLOATS, chain, conv, pool, precision, product, relu, rounds


def assert_equal_blobs(net: Net, path: Path, inputs: dict[str, np.ndarray]) -> None:
    """The file as it is gives our outputs; every value it has gives our blobs."""
    outputs = {n: y.clone() for n, y in net.forward(to_tensors(inputs)).items()}
    for blob, y in run_model(path, inputs).items():
        np.testing.assert_array_equal(y, outputs[blob].numpy(), err_msg=blob)
    model = onnx.load(path)
    have = {o.name for o in model.graph.output}
    made = {name for node in model.graph.node for name in node.output}
    blobs = {n: b.tensor.numpy() for n, b in net.blobs.items() if n in made - have}
    model.graph.output.extend(helper.make_tensor_value_info(n, 1, None) for n in blobs)
    whole = path.with_suffix(".all.onnx")
    onnx.save(model, whole)
    found = run_model(whole, inputs)
    for name, blob in blobs.items():
        np.testing.assert_array_equal(found[name], blob, err_msg=name)


def to_tensors(inputs: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


def test_chain_runs_on_integer_kernels_and_is_bit_equal(tmp_path: Path) -> None:
    net = net_of(chain())
    report = export_onnx(net, tmp_path / "net.onnx", style="qdq")
    assert (report.opset, report.batch, report.notes) == (18, None, ())
    kernels = fused(tmp_path / "net.onnx")
    assert (kernels["QLinearConv"], kernels["QGemm"]) == (2, 2)
    assert not {"Conv", "FusedConv", "Gemm", "MatMul", "Relu"} & set(kernels)
    assert kernels["QuantizeLinear"] == 1  # the input
    assert_equal_blobs(net, tmp_path / "net.onnx", samples(net, 7))


def test_weights_and_biases_are_integers(tmp_path: Path) -> None:
    export_onnx(net_of(chain()), tmp_path / "net.onnx", style="qdq")
    stored = [numpy_helper.to_array(t) for t in onnx.load(tmp_path / "net.onnx").graph.initializer]
    assert sorted(a.dtype.name for a in stored if a.ndim > 1) == ["int8", "int8", "int8", "uint8"]
    assert sorted(a.dtype.name for a in stored if a.ndim == 1 and a.dtype.kind != "i") == []
    scales = [a for a in stored if a.dtype == np.float32]
    assert scales
    assert all(np.frexp(a)[0] == 0.5 for a in scales)


@pytest.mark.parametrize("bits", [2, 3, 5, 7])
def test_short_words_saturate_at_their_own_ends(bits: int, tmp_path: Path) -> None:
    net = net_of(chain(bits))
    export_onnx(net, tmp_path / "net.onnx", style="qdq")
    inputs = {name: 8 * x for name, x in samples(net, 3).items()}
    assert_equal_blobs(net, tmp_path / "net.onnx", inputs)


def net_of_extreme_codes(extra: str, code: int) -> Net:
    """Pairs of products that 16 bits do not hold; some kernels for AVX2 would saturate them."""
    net = net_of(
        input_layer("data", 1, 32, 9, 9)
        + rounds("act0", "data", 8, 0, extra)
        + conv("data", "c", 16, "kernel_size: 3", (8, 0)).replace(
            "word_length: 8 frac_length: 0", "word_length: 8 frac_length: 0 range: FULL", 1
        )
        + rounds("act1", "c", 8, -14, extra)
    )
    for node in net.nodes:
        if node.masters:
            node.masters[0].write(np.full(node.masters[0].shape, code, np.float32))
            node.masters[1].write(np.zeros(node.masters[1].shape, np.float32))
    return net


def extreme_codes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"data": rng.choice(np.float32([-300, 0, 120, 127, 255]), (4, 32, 9, 9))}


@pytest.mark.parametrize("code", [127, -128])
@pytest.mark.parametrize("extra", ["", "range: FULL", "is_signed: false"])
def test_extreme_codes_do_not_saturate_a_kernel(extra: str, code: int, tmp_path: Path) -> None:
    net = net_of_extreme_codes(extra, code)
    export_onnx(net, tmp_path / "net.onnx", style="qdq")
    assert fused(tmp_path / "net.onnx")["QLinearConv"] == 1
    assert_equal_blobs(net, tmp_path / "net.onnx", extreme_codes())


def test_processor_vnni_has_int8_weights_and_says_where_they_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    report = export_onnx(net_of(chain()), path, style="qdq", processor="vnni")
    stored = [numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer]
    assert [a.dtype.name for a in stored if a.ndim > 1] == ["int8"] * 4
    assert fused(path)["QLinearConv"] == 2
    assert report.to_dict()["processor"] == "vnni"
    assert report.notes == (INT8_ONLY,)


def test_verify_opens_files_for_vnni_so_that_they_are_exact_everywhere(tmp_path: Path) -> None:
    """Without its session option, this fails on x86 processors that lack VNNI."""
    net, path = net_of_extreme_codes("is_signed: false", 127), tmp_path / "net.onnx"
    export_onnx(net, path, style="qdq", processor="vnni")
    report = check_between(net, "exact-half-even", path, extreme_codes(), tolerance=0)
    assert report.ok, report.problems
    assert ModelFile(path).session_config == {"session.x64quantprecision": "1"}
    export_onnx(net, path, style="qdq")
    assert ModelFile(path).session_config == {}


@pytest.mark.parametrize(
    ("style", "processor", "message"),
    [
        ("qdq", "amx", "processor is 'amx', allowed: any, vnni"),
        ("float", "vnni", "style float is the same for every processor, processor is 'vnni'"),
    ],
)
def test_bad_processor(style: str, processor: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        export_onnx(net_of(chain()), tmp_path / "net.onnx", style=style, processor=processor)
    assert not list(tmp_path.iterdir())


def test_branches_of_different_grids_join_exactly(tmp_path: Path) -> None:
    """Concat of Q4.4 and Q5.3: the codes behind it are those of Q4.4, doubled where needed."""
    net = net_of(
        input_layer("data", 2, 3, 8, 8)
        + rounds("act0", "data", 8, 5)
        + conv("data", "a", 4, "kernel_size: 1", (8, 6))
        + rounds("act_a", "a", 8, 4)
        + relu("a")
        + conv("data", "b", 4, "kernel_size: 3 pad: 1", (8, 6))
        + rounds("act_b", "b", 8, 3)
        + relu("b")
        + layer("join", "a b", "join", 'type: "Concat"')
        + pool("join", "p", "pool: MAX kernel_size: 2 stride: 2")
        + conv("p", "c", 4, "kernel_size: 3", (8, 6))
        + rounds("act_c", "c", 8, 3)
    )
    export_onnx(net, tmp_path / "net.onnx", style="qdq")
    kernels = fused(tmp_path / "net.onnx")
    assert (kernels["QLinearConv"], kernels["QLinearConcat"]) == (3, 1)
    assert_equal_blobs(net, tmp_path / "net.onnx", samples(net))


def test_residual_sum_with_a_point_is_one_kernel(tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 2, 4, 8, 8)
        + rounds("act0", "data", 8, 5)
        + conv("data", "a", 4, "kernel_size: 3 pad: 1", (8, 6))
        + rounds("act_a", "a", 8, 4)
        + layer("sum", "a data", "sum", 'type: "Eltwise"')
        + rounds("act_sum", "sum", 8, 3)
        + relu("sum")
        + conv("sum", "c", 4, "kernel_size: 3", (8, 6))
        + rounds("act_c", "c", 8, 3)
    )
    export_onnx(net, tmp_path / "net.onnx", style="qdq")
    assert fused(tmp_path / "net.onnx")["QLinearAdd"] == 1
    assert_equal_blobs(net, tmp_path / "net.onnx", samples(net))


def test_a_sum_without_a_point_stays_exact_in_float(tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 2, 4, 8, 8)
        + rounds("act0", "data", 8, 5)
        + layer("sum", "data data", "sum", 'type: "Eltwise"')
        + conv("sum", "c", 4, "kernel_size: 3", (8, 6))
        + rounds("act_c", "c", 8, 3)
    )
    report = export_onnx(net, tmp_path / "net.onnx", style="qdq")
    (note,) = report.notes
    assert note == (
        'layer "c" runs in float32, where its sums are exact: its bottom or its weights need more'
        " than 8 bits"
    )
    assert_equal_blobs(net, tmp_path / "net.onnx", samples(net))


def test_an_input_that_is_not_rounded_is_named(tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 1, 3, 8, 8)
        + conv("data", "c", 4, "kernel_size: 3", (8, 6))
        + rounds("act", "c", 8, 3)
    )
    report = export_onnx(net, tmp_path / "net.onnx", style="qdq")
    assert report.notes == (
        'layer "c" runs in float32, where its sums may round: its bottom is not rounded',
        ROUNDS_FLOATS,
    )


def test_sums_beyond_32_bits_are_named_and_stay_float(tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 1, 140_000)
        + rounds("act0", "data", 8, 0, "is_signed: false")
        + product("data", "ip", 1, (8, 0))
        + rounds("act", "ip", 8, -20)
    )
    net.nodes[-2].masters[0].write(np.full((1, 140_000), 127, np.float32))
    report = export_onnx(net, tmp_path / "net.onnx", style="qdq")
    assert report.notes == (
        'layer "ip" runs in float32, where its sums may round: its sums reach 34 bits, more than'
        " 32-bit accumulators hold",
        ROUNDS_FLOATS,
    )
    assert not fused(tmp_path / "net.onnx")["QGemm"]


def test_half_away_and_biases_off_the_grid_are_named(tmp_path: Path) -> None:
    text = chain().replace("rounding: HALF_EVEN", "rounding: HALF_AWAY")
    text = text.replace("bias { kind: FIXED word_length: 12 frac_length: 6", "bias { kind: FLOAT")
    net = net_of(text)
    away, bias = export_onnx(net, tmp_path / "net.onnx", style="qdq").notes
    assert away == (
        "QuantizeLinear rounds ties to even (half_even), the net away from zero (half_away) at 4 of"
        " 4 activation points: codes differ where a sum lies on a tie; given data (--data,"
        " inputs=), the export counts them"
    )
    assert bias == (
        "biases that are no multiples of their products' LSB were rounded to it (half_away), and"
        ' codes may differ at ties: "c1" (8)'
    )


def test_sixteen_bits_need_opset_21(tmp_path: Path) -> None:
    net = net_of(chain(16))
    report = export_onnx(net, tmp_path / "net.onnx", style="qdq")
    assert report.opset == 21
    stored = onnx.load(tmp_path / "net.onnx").graph.initializer
    assert {numpy_helper.to_array(t).dtype.name for t in stored} >= {"int16"}
    inputs = {name: x / 8 for name, x in samples(net, 2).items()}
    want = net.forward(to_tensors(inputs))
    for blob, y in run_model(tmp_path / "net.onnx", inputs).items():
        # sums of 30-bit products in float32, in another order: a code may differ
        np.testing.assert_allclose(y, want[blob].numpy(), atol=4 * 2.0**-12)
    with pytest.raises(UsageError, match="opset is 18, style qdq needs 21 or later"):
        export_onnx(net, tmp_path / "net.onnx", style="qdq", opset=18)


def test_words_beyond_16_bits_and_floor_keep_their_rounding(tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 2, 3, 8, 8)
        + rounds("wide", "data", 20, 8)
        + layer("twice", "data data", "sum", 'type: "Eltwise"')
        + layer("act", "sum", "sum", 'type: "LPAct" ' + precision(
            "activation { kind: FIXED word_length: 8 frac_length: 3 rounding: FLOOR }"
        ))
        + conv("sum", "c", 4, "kernel_size: 3", (8, 6))
        + rounds("act_c", "c", 8, 3)
    )  # fmt: skip
    report = export_onnx(net, tmp_path / "net.onnx", style="qdq")
    assert report.notes == ()
    assert fused(tmp_path / "net.onnx")["QLinearConv"] == 1
    assert_equal_blobs(net, tmp_path / "net.onnx", samples(net))


def test_verify_refuses_a_style_that_it_does_not_compare(tmp_path: Path) -> None:
    net = net_of(chain())
    export_onnx(net, tmp_path / "net.onnx", style="qdq")
    with pytest.raises(UsageError, match="this model has style qdq, allowed: float"):
        check_float(net, tmp_path / "net.onnx")
