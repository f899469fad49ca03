"""Style integer: onnxruntime gives the codes of exact arithmetic, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from adaption.compare.sessions import ModelFile
from adaption.errors import LayerError
from adaption.exact import ExactNet, ExactOptions
from adaption.export.onnx import export_onnx
from adaption.net import Net
from adaption.numerics import FixedPoint
from tests.exact.exact_nets import CONV, DATA, ENTRY, NETS, act, lp
from tests.export.nets import input_layer, layer, net_of, run_model

Array = npt.NDArray[Any]

FLOAT_AT_THE_ENDS = {"Mul", "Add", "Clip", "Abs", "Floor", "Round", "Cast", "Div", "Sub"}
INPUT = np.float32(np.random.default_rng(3).normal(size=(1, 3, 6, 6)))


def assert_bit_equal(net: Net, path: Path, data: Array, fmt: FixedPoint | None = None) -> int:
    """Export, run, and compare the codes of every top; returns how many tops were compared."""
    formats = {} if fmt is None else {"data": fmt}
    export_onnx(net, path, style="integer", input_formats=formats)
    exact = ExactNet(net, ExactOptions(formats))
    run = exact.run({"data": data})
    file = ModelFile(path)
    found = file.whole()({"data": data})
    names = {
        (x.name, blob): (top, scale)
        for x in file.layers
        for blob, top, scale in zip(x.blobs, x.tops, x.scales, strict=True)
    }
    compared = 0
    for top in exact.program.tops:
        name, scale = names[top.layer, top.blob]
        assert (name is None) == (top.value is None)
        if top.value is None or top.is_float:
            continue
        value = exact.program.values[top.value]
        assert scale == (value.frac_length, value.divisor)
        assert found[name].dtype in (np.int32, np.int64)
        assert np.array_equal(found[name], run.codes[top.value].numpy()), (top.layer, top.blob)
        compared += 1
    for blob, want in run.outputs.items():
        gap = np.abs(run_model(path, {"data": data})[blob] - want.numpy()).max()
        # Two implementations of Softmax differ in the last bits; everything else is exact.
        assert gap <= (1e-6 if blob == "prob" else 0.0)
    return compared


@pytest.mark.parametrize("text", NETS.values(), ids=NETS.keys())
def test_equals_exact_arithmetic(text: str, tmp_path: Path) -> None:
    assert assert_bit_equal(net_of(DATA + text), tmp_path / "m.onnx", INPUT) >= 2


MORE = {
    "16 bits": ENTRY.replace("ad: 5", "ad: 13")
    + lp("c", "data", "c", "num_output: 4 kernel_size: 3", "lpfp_param { bd: 2 ad: 14 }")
    + act("a", "c", 5, 11)
    + layer("p", "c", "p", 'type: "Pooling" pooling_param { kernel_size: 2 stride: 1 pad: 1 }'),
    "PReLU of 16 bits into weights: codes of 24 bits": ENTRY.replace("ad: 5", "ad: 13")
    + layer("prelu", "data", "data", 'type: "PReLU"')
    + lp("c", "data", "c", "num_output: 4 kernel_size: 3 pad: 1", "lpfp_param { bd: 2 ad: 14 }")
    + act("a", "c", 5, 11),
    "wide sums into MAX pooling, Eltwise MAX and ReLU": ENTRY.replace("ad: 5", "ad: 13")
    + lp("c", "data", "c", "num_output: 3 kernel_size: 3 pad: 1", "lpfp_param { bd: 2 ad: 19 }")
    + layer("p", "c", "p", 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }')
    + layer("m", "c data", "m", 'type: "Eltwise" eltwise_param { operation: MAX }')
    + layer("r", "m", "m", 'type: "ReLU"'),
    "BatchNorm and Scale": ENTRY
    + CONV
    + layer("bn", "conv", "conv", 'type: "BatchNorm"')
    + layer("scale", "conv", "conv", 'type: "Scale" scale_param { bias_term: true }')
    + act("a", "conv", 5, 3),
    "half to even": ENTRY
    + CONV
    + layer("a", "conv", "conv", 'type: "LPAct" precision_param { activation { kind: FIXED'
            " word_length: 8 frac_length: 3 rounding: HALF_EVEN } }"),
    "floor, unsigned": ENTRY
    + CONV
    + layer("a", "conv", "conv", 'type: "LPAct" precision_param { activation { kind: FIXED'
            " word_length: 8 frac_length: 3 rounding: FLOOR is_signed: false } }")
    + lp("c", "conv", "c", "num_output: 4 kernel_size: 3"),
    "negative fraction": ENTRY
    + CONV
    + layer("a", "conv", "conv", 'type: "LPAct" precision_param { activation { kind: FIXED'
            " word_length: 4 frac_length: -1 } }")
    + lp("c", "conv", "c", "num_output: 4 kernel_size: 3"),
    "accumulator that wraps": ENTRY
    + lp("c", "data", "c", "num_output: 4 kernel_size: 3", "lpfp_param { bd: 2 ad: 6 }"
         " precision_param { accumulator { kind: FIXED word_length: 9 frac_length: 8"
         " overflow: WRAP } }")
    + act("a", "c", 5, 3),
    "accumulator that saturates": ENTRY
    + lp("c", "data", "c", "num_output: 4 kernel_size: 3", "lpfp_param { bd: 2 ad: 6 }"
         " precision_param { accumulator { kind: FIXED word_length: 9 } }"),
    "Deconvolution padded beyond its kernel, dilated": ENTRY
    + layer("up", "data", "up", 'type: "Deconvolution" convolution_param { num_output: 4'
            " kernel_size: 2 stride: 3 pad: 2 } precision_param { weight { kind: FIXED"
            " word_length: 8 frac_length: 6 } }")
    + layer("up2", "up", "up2", 'type: "Deconvolution" convolution_param { num_output: 2'
            " kernel_size: 3 dilation: 2 pad: 1 } precision_param { weight { kind: FIXED"
            " word_length: 8 frac_length: 6 } }"),
    "layers that move values, and Softmax": ENTRY
    + CONV
    + layer("slice", "conv", "x y", 'type: "Slice" slice_param { slice_point: 1 }')
    + layer("perm", "y", "perm", 'type: "Permute" permute_param { order: 0 order: 2 order: 3 }')
    + layer("flat", "perm", "flat", 'type: "Flatten"')
    + layer("drop", "flat", "drop", 'type: "Dropout"')
    + layer("shape", "drop", "shape", 'type: "Reshape" reshape_param { shape { dim: 0 dim: -1'
            " dim: 3 } }")
    + layer("prob", "shape", "prob", 'type: "Softmax" softmax_param { axis: 2 }')
    + layer("abs", "x", "abs", 'type: "AbsVal"')
    + layer("relu6", "abs", "relu6", 'type: "ReLU6"'),
}  # fmt: skip


@pytest.mark.parametrize("text", MORE.values(), ids=MORE.keys())
def test_equals_exact_arithmetic_more(text: str, tmp_path: Path) -> None:
    assert assert_bit_equal(net_of(DATA + text), tmp_path / "m.onnx", INPUT) >= 2


def test_greatest_codes_of_8_bits_do_not_saturate_in_onnxruntime(tmp_path: Path) -> None:
    """Pairs of products of 127 · 127 leave 16 bits, where signed kernels would saturate."""
    text = input_layer("data", 1, 64, 3, 3) + act("in", "data", 3, 5)
    text += lp("c", "data", "c", "num_output: 2 kernel_size: 3")
    net = net_of(text)
    weight = np.full((2, 64, 3, 3), 3.0, np.float32)
    weight[1] = -3.0
    net.params["c"][0].write(weight)
    for value in (9.0, -9.0):
        data = np.full((1, 64, 3, 3), value, np.float32)
        assert_bit_equal(net, tmp_path / "m.onnx", data)


def test_input_format_and_any_batch_size(tmp_path: Path) -> None:
    net, path = net_of(DATA + CONV + act("a", "conv", 4, 4)), tmp_path / "m.onnx"
    data = np.float32(np.random.default_rng(4).normal(size=(5, 3, 6, 6)))
    assert_bit_equal(net, path, data, FixedPoint.q("Q3.13"))
    assert ModelFile(path).batch is None


def test_no_float_operator_between_the_ends(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    text = NETS["Concat of three scales, Flatten, InnerProduct"]
    export_onnx(net_of(DATA + text), path, style="integer")
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kinds[value.name] = value.type.tensor_type.elem_type
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    computing = [n for n in model.graph.node if any(kinds[o] in floats for o in n.output)]
    # The LPAct of the input, and the last layer's codes handed out as float32.
    assert {n.name.partition("/")[0] for n in computing} == {"in", "d"}
    assert {n.op_type for n in computing} <= FLOAT_AT_THE_ENDS
    assert {"ConvInteger", "MatMulInteger"} <= {n.op_type for n in model.graph.node}


def test_accumulator_that_shifts_products_is_refused(tmp_path: Path) -> None:
    text = ENTRY + lp(
        "c", "data", "c", "num_output: 4 kernel_size: 3", "lpfp_param { bd: 2 ad: 6 }"
        " precision_param { accumulator { kind: FIXED word_length: 9 frac_length: 8"
        " per_product: true } }",
    )  # fmt: skip
    with pytest.raises(LayerError, match="an accumulator that shifts every product has no ONNX"):
        export_onnx(net_of(DATA + text), tmp_path / "m.onnx", style="integer")
