"""check_float: right files pass, whatever the order of sums; wrong ones fail and name the layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from adaption.compare.float_check import check_float
from adaption.compare.sessions import ModelFile
from adaption.errors import FileFormatError, ShapeError, UsageError
from adaption.export.onnx import export_onnx
from adaption.net import Net
from adaption.numerics import FixedPoint
from tests.export.nets import TRAIN_VAL, constant_of, input_layer, layer, net_of, node_of, samples

TEXT = (
    'name: "small"'
    + input_layer("data", 2, 3, 12, 12)
    + """
layer { name: "act0" type: "LPAct" bottom: "data" top: "x" lpfp_param { bd: 3 ad: 6 } }
layer { name: "conv1" type: "LPConvolution" bottom: "x" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 }
  lpfp_param { bd: 1 ad: 7 round_bias: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" relu_param { negative_slope: 0.1 } }
layer { name: "act1" type: "LPAct" bottom: "conv1" top: "conv1" lpfp_param { bd: 5 ad: 11 } }
layer { name: "norm" type: "LRN" bottom: "conv1" top: "norm" lrn_param { alpha: 0.1 } }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "ip" type: "LPInnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 10 } lpfp_param { bd: 2 ad: 10 }
  precision_param { activation { kind: FIXED word_length: 16 frac_length: 10 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
)


@pytest.fixture
def net() -> Net:
    return net_of(TEXT)


@pytest.fixture
def file(net: Net, tmp_path: Path) -> Path:
    export_onnx(net, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def changed(file: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(file)
    change(model)
    onnx.save(model, file)
    return file


def set_constant(name: str, change: Callable[[np.ndarray], object]) -> Callable[..., None]:
    def apply(model: onnx.ModelProto) -> None:
        tensor = constant_of(model, name)
        array = numpy_helper.to_array(tensor).copy()
        change(array)
        tensor.CopyFrom(numpy_helper.from_array(array, name))

    return apply


def set_attribute(node: str, name: str, value: object) -> Callable[..., None]:
    def apply(model: onnx.ModelProto) -> None:
        found = node_of(model, node)
        kept = [a for a in found.attribute if a.name != name]
        del found.attribute[:]
        found.attribute.extend([*kept, helper.make_attribute(name, value)])

    return apply


def test_an_exported_net_passes(net: Net, file: Path) -> None:
    report = check_float(net, file, samples(net, 16))
    assert report.ok, report.detail
    assert report.samples == 16
    assert [(b.layer, b.blob) for b in report.blobs] == [
        ("act0", "x"),
        ("conv1", "conv1"),
        ("relu1", "conv1"),
        ("act1", "conv1"),
        ("norm", "norm"),
        ("pool", "pool"),
        ("ip", "ip"),
        ("prob", "prob"),
    ]
    rows = {b.layer: b for b in report.blobs}
    assert rows["act0"].max_error == 0.0
    assert rows["act1"].format == FixedPoint(16, 11)
    assert rows["conv1"].format is None
    assert rows["conv1"].max_error_lsb is None
    # Codes and weights of few bits: every float32 sum of the convolution is exact.
    assert rows["conv1"].max_error == 0.0
    assert report.outputs[0].agreeing == 16


def test_first_difference_and_errors_in_lsb(net: Net, file: Path) -> None:
    """Sums of many fine codes are rounded in some order; at worst a code flips by one."""
    report = check_float(net, file, samples(net, 64))
    assert report.ok, report.detail
    first = report.first_difference
    assert first is not None
    assert first.layer in ("norm", "pool")
    ip = next(b for b in report.blobs if b.layer == "ip")
    assert ip.max_error_lsb in (0.0, 1.0)
    assert ip.max_error_lsb == ip.max_error * 2**10
    assert f'"{first.layer}" differs first' in report.detail


def test_flips_are_counted_and_explained(tmp_path: Path) -> None:
    """A wide inner product of fine values onto a fine grid flips some codes, by one LSB."""
    net = net_of(
        input_layer("data", 4, 3000)
        + """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 500 }
  precision_param { activation { kind: FIXED word_length: 30 frac_length: 16 } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "out" }"""
    )
    export_onnx(net, tmp_path / "net.onnx")
    report = check_float(net, tmp_path / "net.onnx", samples(net, 64))
    assert report.ok, report.detail
    assert report.flips > 0
    ip = report.blobs[0]
    assert 0 < ip.own_error < ip.tolerance
    assert ip.flips == report.flips == round(ip.differing_share * ip.count)
    assert f"{report.flips} of {ip.count} codes flip" in report.detail


@pytest.mark.parametrize(
    ("change", "layer", "fact"),
    [
        pytest.param(
            set_constant(
                "conv1/blob0", lambda w: w.__setitem__((1, 2, 0, 0), w[1, 2, 0, 0] + 2**-7)
            ),
            "conv1",
            "1 of 216 values of 'conv1/blob0' differ, by up to 0.00781 (1 LSB of Q1.7)",
            id="one weight is off by one LSB",
        ),
        pytest.param(
            set_constant(
                "ip/blob1", lambda b: b.__setitem__(3, np.nextafter(b[3], np.float32(np.inf)))
            ),
            "ip",
            "1 of 10 values of 'ip/blob1' differ",
            id="one bias is off by one bit",
        ),
        pytest.param(
            set_constant("act1/activation/constant_3", lambda c: c.__isub__(1)),
            "act1",
            "its activation point turns",
            id="the clip's upper bound is one code low",
        ),
        pytest.param(
            set_constant("ip/activation/constant_6", lambda c: c.__setitem__((), 0.5)),
            "ip",
            "its activation point turns",
            id="floor(x + 0.5)",
        ),
        pytest.param(
            lambda m: setattr(node_of(m, "act0/activation/Floor"), "op_type", "Round"),
            "act0",
            "its activation point turns",
            id="another rounding",
        ),
        pytest.param(
            set_attribute("relu1/LeakyRelu", "alpha", 0.1001),
            "relu1",
            'given our bottoms, "conv1" is off by up to',
            id="another slope",
        ),
        pytest.param(
            set_attribute("norm/LRN", "alpha", 0.101),
            "norm",
            'given our bottoms, "norm" is off by up to',
            id="another alpha",
        ),
        pytest.param(
            lambda m: node_of(m, "norm/LRN").input.__setitem__(0, "conv1@relu1"),
            "norm",
            'given our bottoms, "norm" is off by up to',
            id="reads the blob before it is rounded",
        ),
    ],
)
def test_a_wrong_file_fails_and_names_the_layer(
    net: Net, file: Path, change: Callable[[onnx.ModelProto], None], layer: str, fact: str
) -> None:
    report = check_float(net, changed(file, change), samples(net, 2))
    assert not report.ok
    for problem in report.problems:
        assert problem.startswith(f'layer "{layer}" '), report.problems
    assert any(fact in problem for problem in report.problems), report.problems
    assert "net.onnx: does NOT compute the same" in str(report)


def test_a_wrong_bound_shows_without_a_value_that_saturates(net: Net, file: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = constant_of(model, "act1/activation/constant_3")
        tensor.CopyFrom(numpy_helper.from_array(np.float32(32766), tensor.name))

    quiet = {"data": np.zeros((2, 3, 12, 12), np.float32)}
    report = check_float(net, changed(file, change), quiet)
    assert not report.ok
    assert report.blobs[3].max_error == 0.0


def test_a_file_that_cannot_run_fails(net: Net, file: Path) -> None:
    report = check_float(
        net, changed(file, set_attribute("conv1/Conv", "kernel_shape", [2, 2])), samples(net, 2)
    )
    assert not report.ok
    assert any("onnxruntime does not run the file" in p for p in report.problems)


def test_report_saves_as_an_entry_of_the_summary(net: Net, file: Path) -> None:
    entry = json.loads(json.dumps(check_float(net, file).to_dict()))
    assert entry["ok"] is True
    assert entry["what"] == "onnxruntime against the low-precision net"
    assert {"detail", "blobs", "first_difference", "flips", "outputs"} <= set(entry)
    first = entry["blobs"][0]
    assert {"blob", "layer", "max_error", "max_error_lsb", "differing_share"} <= set(first)
    assert (first["blob"], first["layer"], first["max_error_lsb"]) == ("x", "act0", 0.0)


def test_report_prints_a_table(net: Net, file: Path) -> None:
    lines = str(check_float(net, file)).splitlines()
    assert lines[0].split() == "layer blob format max error mean error max LSB differ flips".split()
    assert lines[1].split() == ["act0", "x", "Q3.6", "0", "0", "0", "0", "0"]
    assert lines[10] == f"{file}: computes the same"


def test_random_inputs_are_seeded_and_use_the_range(net: Net, file: Path) -> None:
    first, again, other = (check_float(net, file, seed=s).to_dict() for s in (1, 1, 2))
    assert first == again
    assert first["blobs"] != other["blobs"]


def test_the_net_is_not_changed(net: Net, file: Path) -> None:
    net.forward(samples(net))
    blobs = {name: blob.tensor.clone() for name, blob in net.blobs.items()}
    params = [b.tensor.clone() for p in net.params.values() for b in p]
    check_float(net, file, samples(net, 5, seed=9))
    assert all(torch.equal(net.blobs[n].tensor, t) for n, t in blobs.items())
    after = [b.tensor for p in net.params.values() for b in p]
    assert all(torch.equal(a, b) for a, b in zip(after, params, strict=True))


def test_batch_statistics_stay_as_they_are(tmp_path: Path) -> None:
    """use_global_stats: false updates the blobs at each forward pass; verify must not."""
    net = net_of(
        input_layer("data", 4, 3) + 'layer { name: "bn" type: "BatchNorm" bottom: "data" top: "y"'
        " batch_norm_param { use_global_stats: false } }"
    )
    export_onnx(net, tmp_path / "net.onnx")
    before = [b.tensor.clone() for b in net.params["bn"]]
    assert check_float(net, tmp_path / "net.onnx", samples(net)).ok
    for a, b in zip(net.params["bn"], before, strict=True):
        assert torch.equal(a.tensor, b)


def test_stochastic_weights_are_compared_with_the_files_draw(tmp_path: Path) -> None:
    text = TEXT.replace("bd: 1 ad: 7 round", "bd: 1 ad: 7 rounding_scheme: STOCHASTIC round")
    net = net_of(text)
    export_onnx(net, tmp_path / "net.onnx")
    report = check_float(net, tmp_path / "net.onnx", samples(net, 2))
    assert report.ok, report.detail

    def off_grid(model: onnx.ModelProto) -> None:
        set_constant("conv1/blob0", lambda w: w.__setitem__((0, 0, 0, 0), w[0, 0, 0, 0] + 2**-6))(
            model
        )

    report = check_float(net, changed(tmp_path / "net.onnx", off_grid), samples(net, 2))
    assert report.problems == (
        "layer \"conv1\" (LPConvolution): constant 'conv1/blob0' is not its blob, rounded to Q1.7",
    )


def test_data_layers_bring_their_own_values(tmp_path: Path) -> None:
    net = net_of(
        TRAIN_VAL.replace(
            "dummy_data_param {", "dummy_data_param { data_filler { type: 'gaussian' }", 1
        )
    )
    export_onnx(net, tmp_path / "net.onnx")
    report = check_float(net, tmp_path / "net.onnx")
    assert report.ok, report.detail
    assert (report.samples, [b.layer for b in report.blobs]) == (2, ["ip"])


def test_a_fixed_batch_size_is_filled_up(tmp_path: Path) -> None:
    net = net_of(TEXT)
    export_onnx(net, tmp_path / "net.onnx", batch=4)
    report = check_float(net, tmp_path / "net.onnx", samples(net, 6))
    assert report.ok, report.detail
    assert (report.samples, report.outputs[0].agreeing) == (6, 6)


def test_blobs_that_the_file_does_not_read_may_be_given(tmp_path: Path) -> None:
    net = net_of(
        input_layer("data", 2, 4)
        + input_layer("label", 2)
        + 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"'
        " inner_product_param { num_output: 3 } }"
        + 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "l" }'
    )
    export_onnx(net, tmp_path / "net.onnx")
    assert check_float(net, tmp_path / "net.onnx", samples(net)).ok


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ({}, UsageError, "inputs are given for no blob\n  fix: give one array for each of 'data'"),
        (
            {"dat": np.zeros((1, 3, 12, 12))},
            UsageError,
            "inputs are given for 'dat'\n  fix: did you mean data?"
            " give one array for each of 'data'",
        ),
        (
            {"data": np.zeros((1, 3, 12, 11))},
            ShapeError,
            'input "data" has shape (1, 3, 12, 11), the net has (2, 3, 12, 12)\n'
            "  fix: the first axis counts the samples; for other sizes, forward the net on them and"
            " export it again",
        ),
    ],
)
def test_inputs_that_do_not_fit(
    net: Net, file: Path, inputs: dict[str, np.ndarray], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as e:
        check_float(net, file, inputs)
    assert str(e.value) == message


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        pytest.param(["left"], "give one array for each of 'left', 'left2'", id="one is missing"),
        pytest.param(
            ["left", "leff2"],
            "did you mean left2? give one array for each of 'left', 'left2'",
            id="one is mistyped",
        ),
    ],
)
def test_the_input_that_is_mistyped_is_named(tmp_path: Path, given: list[str], fix: str) -> None:
    """The hint was about the first input that was given, right or not."""
    net = net_of(
        input_layer("left", 2, 4)
        + input_layer("left2", 2, 4)
        + layer("sum", "left left2", "sum", 'type: "Eltwise"')
    )
    export_onnx(net, tmp_path / "net.onnx")
    with pytest.raises(UsageError) as e:
        check_float(net, tmp_path / "net.onnx", {name: np.zeros((2, 4)) for name in given})
    assert e.value.fix == fix


def test_a_file_of_another_net_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match=r'the file has layer "conv1" .* not at the same place'):
        check_float(net_of(TEXT.replace('"conv1" type', '"conv2" type')), file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html></html>", "this is an HTML page, not an ONNX model"),
        (b"layer { }", "this is text, not an ONNX model"),
        (None, "no such file, an ONNX model was expected"),
    ],
)
def test_a_file_of_another_kind(
    net: Net, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileFormatError) as e:
        check_float(net, path)
    assert e.value.fact == message


def test_a_model_from_elsewhere_is_refused(net: Net, file: Path) -> None:
    with pytest.raises(FileFormatError, match="does not say which of its values are the blobs"):
        check_float(net, changed(file, lambda m: m.ClearField("metadata_props")))


@pytest.mark.parametrize(("low", "high"), [(-18, -12), (-1e-4, 1e-4), (-100, -50)])
@pytest.mark.parametrize("kind", ["Sigmoid", "TanH", "Softmax", "Swish", "ELU"])
def test_functions_are_exact_to_units_of_their_range(
    kind: str, low: float, high: float, tmp_path: Path
) -> None:
    """onnxruntime's Sigmoid is off by 1e-7 where its value is 1e-7: one unit in the last of 1."""
    net = net_of(input_layer("data", 2, 64) + layer("f", "data", "f", f'type: "{kind}"'))
    export_onnx(net, tmp_path / "n.onnx")
    x = np.random.default_rng(0).uniform(low, high, (2, 64)).astype(np.float32)
    report = check_float(net, tmp_path / "n.onnx", {"data": x})
    assert report.ok, report.detail


def test_a_large_constant_is_held_once(net: Net, file: Path) -> None:
    """A file's copy of the net's weights goes when both are known to be equal."""
    read = ModelFile(file)
    assert check_float(net, read).ok
    rounded = net.params["ip"][1].tensor.numpy()
    assert rounded.nbytes > 4096
    assert any(np.shares_memory(read.constant(name), rounded) for name in read.constants)


CODES = (
    input_layer("data", 2, 8)
    + layer("ip", "data", "ip", 'type: "InnerProduct" inner_product_param { num_output: 40 }')
    + layer("sig", "ip", "sig", 'type: "Sigmoid"')
    + layer("pool", "sig", "sum", 'type: "Power" power_param { scale: 3 }')
    + layer("act", "sum", "sum", 'type: "LPAct" lpfp_param { bd: 4 ad: 2 }')
)


@pytest.mark.parametrize(
    ("behind", "ok"),
    [
        pytest.param("", True, id="all that follows is codes"),
        pytest.param(
            layer("twice", "sig", "t", 'type: "Power" power_param { scale: 2 }'),
            False,
            id="a float follows beside them",
        ),
    ],
)
def test_sums_that_no_code_notices_are_no_problem(behind: str, ok: bool, tmp_path: Path) -> None:
    net = net_of(CODES + behind)
    export_onnx(net, tmp_path / "n.onnx")
    report = check_float(net, tmp_path / "n.onnx", samples(net, 64), tolerance=1e-9)
    assert report.ok == ok, report.detail
    if not ok:
        assert 'layer "sig"' in report.problems[0]
