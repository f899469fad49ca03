"""What export_onnx writes: names, shapes, inputs and outputs, what is left out, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import adaption.export.onnx.file as file_module
from adaption.errors import LayerError, UsageError
from adaption.export.onnx import ExportReport, export_onnx
from adaption.net import Net
from tests.export.nets import (
    IP,
    TRAIN_VAL,
    constant_of,
    input_layer,
    layer,
    net_of,
    run_model,
    samples,
)

CONV = 'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }'
LP_CONV = (
    'type: "LPConvolution" convolution_param { num_output: 4 kernel_size: 3 }'
    " lpfp_param { bd: 2 ad: 6 }"
)
DATA = input_layer("data", 2, 3, 8, 8)


def exported(net: Net, folder: Path, **options: object) -> tuple[ExportReport, onnx.ModelProto]:
    report = export_onnx(net, folder / "net.onnx", **options)  # type: ignore[arg-type]
    model = onnx.load(folder / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    return report, model


def assert_same(net: Net, path: Path, count: int) -> None:
    values = samples(net, count)
    want = net.forward(values)
    for name, found in run_model(path, values).items():
        # float32 in another order of operations
        np.testing.assert_allclose(found, want[name].numpy(), rtol=1e-5, atol=1e-5)


def test_values_are_named_after_blobs(tmp_path: Path) -> None:
    """In place, the last value has the blob's name; earlier ones say which layer made them."""
    net = net_of(
        DATA
        + layer("conv1", "data", "c", CONV)
        + layer("relu1", "c", "c", 'type: "ReLU"')
        + layer("act1", "c", "c", 'type: "LPAct" lpfp_param { bd: 3 ad: 5 }')
        + layer("drop1", "c", "c", 'type: "Dropout"')
        + layer("ip1", "c", "ip1", IP)
    )
    report, model = exported(net, tmp_path)
    assert report.values == {
        "conv1": ("c@conv1",),
        "relu1": ("c@relu1",),
        "act1": ("c",),
        "drop1": ("c",),
        "ip1": ("ip1",),
    }
    assert [n.name for n in model.graph.node][:3] == [
        "conv1/Conv",
        "relu1/Relu",
        "act1/activation/Mul",
    ]
    assert [i.name for i in model.graph.input] == ["data"]
    assert [o.name for o in model.graph.output] == ["ip1"]
    assert_same(net, tmp_path / "net.onnx", 3)


def test_metadata_says_formats_and_places(tmp_path: Path) -> None:
    net = net_of(
        'name: "tiny"'
        + DATA
        + layer("conv1", "data", "c", LP_CONV)
        + layer("act1", "c", "a", 'type: "LPAct" lpfp_param { bd: 3 ad: 5 }')
    )
    _, model = exported(net, tmp_path)
    props = {p.key: p.value for p in model.metadata_props}
    assert model.producer_name == "adaption"
    assert model.graph.name == props["adaption.net"] == "tiny"
    assert props["adaption.style"] == "float"
    conv, act = json.loads(props["adaption.layers"])
    assert (conv["name"], conv["type"], conv["tops"]) == ("conv1", "LPConvolution", ["c"])
    assert conv["weight"]["q"] == "Q2.6"
    assert "bias" not in conv
    assert act["activation"] == {
        "q": "Q3.5",
        "kind": "FIXED",
        "word_length": 8,
        "frac_length": 5,
        "rounding": "half_away",
        "is_signed": True,
        "range": "symmetric",
    }
    assert (act["before"], act["tops"]) == (["c"], ["a"])


def test_weights_are_the_rounded_ones(tmp_path: Path) -> None:
    net = net_of(DATA + layer("conv1", "data", "c", LP_CONV))
    _, model = exported(net, tmp_path)
    weight = numpy_helper.to_array(constant_of(model, "conv1/blob0"))
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight, net.nodes[-1].quantized_blobs()[0].numpy())
    np.testing.assert_array_equal(weight * 64, np.round(weight * 64))
    assert np.any(weight != net.params["conv1"][0].data)


def test_weights_with_stochastic_rounding_are_rounded_once(tmp_path: Path) -> None:
    text = LP_CONV.replace("ad: 6", "ad: 6 rounding_scheme: STOCHASTIC")
    report, _ = exported(net_of(DATA + layer("conv1", "data", "c", text)), tmp_path)
    assert 'stochastic rounding were rounded once, for this file: "conv1"' in report.notes[0]


def test_stochastic_activations_name_their_layer(tmp_path: Path) -> None:
    text = 'type: "LPAct" lpfp_param { bd: 3 ad: 5 rounding_scheme: STOCHASTIC }'
    with pytest.raises(LayerError) as e:
        export_onnx(net_of(DATA + layer("act1", "data", "a", text)), tmp_path / "net.onnx")
    assert str(e.value) == (
        'layer "act1" (LPAct): activation is rounded stochastic, which ONNX cannot compute\n'
        "  fix: export with rounding_scheme: DETERMINISTIC (rounding: HALF_AWAY) at this point"
    )
    assert not list(tmp_path.iterdir())


def test_a_layer_without_onnx_form_is_named(tmp_path: Path) -> None:
    text = 'type: "Pooling" pooling_param { pool: MAX kernel_size: 2 }'
    with pytest.raises(LayerError, match=r'layer "p" \(Pooling\): .* mask top has no ONNX form'):
        export_onnx(net_of(DATA + layer("p", "data", "y mask", text)), tmp_path / "net.onnx")


def test_an_input_keeps_its_name_when_changed_in_place(tmp_path: Path) -> None:
    net = net_of(DATA + layer("scale", "data", "data", 'type: "Power" power_param { scale: 0.5 }'))
    report, _ = exported(net, tmp_path)
    assert report.values == {"scale": ("data@scale",)}
    assert list(report.inputs) == ["data"]
    assert list(report.outputs) == ["data@scale"]
    x = samples(net)
    np.testing.assert_array_equal(
        run_model(tmp_path / "net.onnx", x)["data@scale"], x["data"] * np.float32(0.5)
    )


def test_outputs_that_are_handed_on_keep_their_blob_names(tmp_path: Path) -> None:
    """Split, Dropout and Parameter give no value of their own; ONNX outputs need distinct ones."""
    net = net_of(
        DATA
        + layer("relu", "data", "r", 'type: "ReLU"')
        + layer("split", "r", "a b", 'type: "Split"')
        + layer("drop", "data", "d", 'type: "Dropout"')
        + layer("p", "", "p", 'type: "Parameter" parameter_param { shape { dim: 2 } }')
    )
    report, _ = exported(net, tmp_path)
    assert list(report.outputs) == ["a", "b", "d", "p"]
    assert_same(net, tmp_path / "net.onnx", 3)


def test_several_inputs_and_outputs_and_silence(tmp_path: Path) -> None:
    net = net_of(
        input_layer("x", 2, 3)
        + input_layer("s", 4)
        + input_layer("scalar")
        + layer("ip", "x", "ip", IP)
        + layer("slice", "s", "s0 s1", 'type: "Slice" slice_param { axis: 0 }')
        + layer("relu", "scalar", "r", 'type: "ReLU"')
        + layer("hush", "s1", "", 'type: "Silence"')
    )
    report, _ = exported(net, tmp_path)
    assert report.inputs == {"x": ("N", 3), "s": (4,), "scalar": ()}
    assert report.outputs == {"ip": ("N", 5), "r": (), "s0": (2,)}
    assert_same(net, tmp_path / "net.onnx", 3)


def test_blobs_read_by_several_layers_need_no_splits(tmp_path: Path) -> None:
    net = net_of(
        DATA
        + layer("conv1", "data", "c", CONV)
        + layer("relu", "c", "r", 'type: "ReLU"')
        + layer("sum", "c r", "sum", 'type: "Eltwise"')
    )
    report, model = exported(net, tmp_path)
    assert list(report.values) == ["conv1", "relu", "sum"]
    assert [n.op_type for n in model.graph.node] == ["Conv", "Relu", "Add"]
    assert_same(net, tmp_path / "net.onnx", 1)


def test_shared_params_are_stored_once(tmp_path: Path) -> None:
    shared = (
        CONV.replace("num_output: 4", "num_output: 3") + ' param { name: "w" } param { name: "b" }'
    )
    net = net_of(DATA + layer("one", "data", "a", shared) + layer("two", "a", "b", shared))
    _, model = exported(net, tmp_path)
    assert [t.name for t in model.graph.initializer] == ["one/blob0", "one/blob1"]
    assert_same(net, tmp_path / "net.onnx", 2)


def test_shared_params_in_two_formats_are_stored_twice(tmp_path: Path) -> None:
    text = LP_CONV.replace("num_output: 4", "num_output: 3") + ' param { name: "w" }'
    net = net_of(
        DATA
        + layer("one", "data", "a", text)
        + layer("two", "a", "b", text.replace("ad: 6", "ad: 3"))
    )
    _, model = exported(net, tmp_path)
    assert {"one/blob0", "two/blob0"} <= {t.name for t in model.graph.initializer}
    assert_same(net, tmp_path / "net.onnx", 2)


def test_losses_accuracies_and_labels_are_left_out(tmp_path: Path) -> None:
    report, model = exported(net_of(TRAIN_VAL), tmp_path)
    assert report.left_out == ("twice", "loss", "accuracy")
    assert list(report.inputs) == ["data"]
    assert list(report.outputs) == ["ip"]
    assert [n.op_type for n in model.graph.node] == ["Reshape", "Gemm"]
    assert report.notes == (
        'layers that measure, record or prepare labels are left out: "twice" (Power), "loss"'
        ' (SoftmaxWithLoss), "accuracy" (Accuracy); ends at "ip"',
        'top "label" of layer "mnist" is no input: nothing reads it',
        'the top of data layer "mnist" (DummyData) is an input: scaling, mean and crop stay'
        " outside the model",
    )


def test_the_target_of_an_autoencoder_is_no_output(tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 2, 6)
        + layer("flat", "data", "flat", 'type: "Flatten"')
        + layer("ip", "data", "ip", IP.replace("5", "6"))
        + layer("loss", "ip flat", "loss", 'type: "EuclideanLoss"')
    )
    report, _ = exported(net, tmp_path)
    assert report.left_out == ("flat", "loss")
    assert list(report.outputs) == ["ip"]


def test_nothing_but_labels_is_an_error(tmp_path: Path) -> None:
    net = net_of(
        input_layer("x", 2, 3)
        + input_layer("t", 2, 3)
        + layer("loss", "x t", "l", 'type: "EuclideanLoss"')
    )
    with pytest.raises(LayerError, match="nothing is left to export"):
        export_onnx(net, tmp_path / "net.onnx")


def test_the_net_must_be_in_phase_test(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the net is in phase TRAIN, allowed: TEST"):
        export_onnx(net_of(DATA + layer("c", "data", "c", CONV), phase="TRAIN"), tmp_path / "x")


def test_batch_size_can_be_fixed(tmp_path: Path) -> None:
    net = net_of(DATA + layer("c", "data", "c", CONV) + layer("ip", "c", "ip", IP))
    report, model = exported(net, tmp_path, batch=5)
    assert report.batch == 5
    assert report.inputs == {"data": (5, 3, 8, 8)}
    assert [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == [5, 5]
    assert_same(net, tmp_path / "net.onnx", 5)
    assert report.notes == ()
    net = net_of(DATA + layer("c", "data", "c", CONV))
    export_onnx(net, tmp_path / "net.onnx", batch=5)
    assert net.blobs["data"].shape == (2, 3, 8, 8)


def test_batch_size_is_fixed_where_a_layer_depends_on_it(tmp_path: Path) -> None:
    net = net_of(
        DATA
        + layer("c", "data", "c", CONV)
        + layer("r", "c", "r", 'type: "Reshape" reshape_param { shape { dim: 8 dim: 36 } }')
    )
    report, _ = exported(net, tmp_path)
    assert report.batch == 2
    assert report.notes == ('the batch size is fixed at 2: layer "r" depends on it',)
    with pytest.raises(LayerError, match='layer "r"'):
        export_onnx(net, tmp_path / "net.onnx", batch=3)


def test_same_net_same_bytes_and_the_net_is_untouched(tmp_path: Path) -> None:
    net = net_of(DATA + layer("c", "data", "c", LP_CONV) + layer("r", "c", "c", 'type: "ReLU"'))
    x = samples(net)
    before = {name: y.clone() for name, y in net.forward(x).items()}
    for name in ("a", "b"):
        export_onnx(net, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    for name, y in net.forward(x).items():
        assert torch.equal(y, before[name])


@pytest.mark.parametrize("opset", [11, 12, 14, 17, 18, 19, 20])
def test_opset_is_what_was_asked_for(opset: int, tmp_path: Path) -> None:
    net = net_of(DATA + layer("c", "data", "c", LP_CONV))
    report, model = exported(net, tmp_path, opset=opset)
    assert report.opset == model.opset_import[0].version == opset
    assert_same(net, tmp_path / "net.onnx", 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"style": "qdq8"},
            "style is 'qdq8', allowed: float, qdq, integer, qonnx\n  fix: did you mean qdq?",
        ),
        ({"opset": 10}, "opset is 10, allowed: 11..21"),
        ({"batch": 0}, "batch is 0, allowed: 1 or more"),
    ],
)
def test_bad_arguments(options: dict[str, object], message: str, tmp_path: Path) -> None:
    net = net_of(DATA + layer("c", "data", "c", CONV))
    with pytest.raises(UsageError) as e:
        export_onnx(net, tmp_path / "net.onnx", **options)  # type: ignore[arg-type]
    assert str(e.value) == message


def test_more_than_two_gib_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "MOST_BYTES", 400)
    with pytest.raises(UsageError, match="an ONNX file at most 2 GiB"):
        export_onnx(net_of(DATA + layer("c", "data", "c", CONV)), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_blob_names_win_over_operator_names(tmp_path: Path) -> None:
    """A blob may be called what an operator or a constant would be."""
    net = net_of(
        DATA + layer("c", "data", "c/Conv", CONV) + layer("r", "c/Conv", "c/blob0", 'type: "ReLU"')
    )
    report, _ = exported(net, tmp_path)
    assert report.values == {"c": ("c/Conv",), "r": ("c/blob0",)}
    assert_same(net, tmp_path / "net.onnx", 2)


def test_report_prints_and_saves(tmp_path: Path) -> None:
    report, _ = exported(net_of(DATA + layer("c", "data", "c", CONV)), tmp_path)
    size = (tmp_path / "net.onnx").stat().st_size
    assert str(report).splitlines() == [
        f"{tmp_path / 'net.onnx'}: {size} bytes, ONNX opset 18, style float, any batch size",
        "  inputs: data (N, 3, 8, 8)",
        "  outputs: c (N, 4, 6, 6)",
    ]
    saved = json.loads(json.dumps(report.to_dict()))
    assert saved["values"] == {"c": ["c"]}
    assert saved["outputs"] == {"c": ["N", 4, 6, 6]}


def test_importing_export_does_not_load_onnxruntime() -> None:
    code = "import sys, adaption.export; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
