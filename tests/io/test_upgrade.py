"""upgrade.py against what the original Caffe made of the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from adaption.cli.main import main
from adaption.errors import AdaptionError, FieldError, LayerError, UnknownLayerError
from adaption.io import prototxt
from adaption.io.caffemodel import read_weights
from adaption.io.legacy_types import V0_TYPES, V1_TYPES
from adaption.io.netfile import from_document, read_net
from adaption.io.upgrade import needs_upgrade, solver_needs_upgrade, upgrade_net, upgrade_solver
from adaption.io.upgrade_file import upgrade
from adaption.net import Net
from adaption.proto import caffe_pb2

CASES = [
    "solver_adadelta",
    "solver_already_new",
    "solver_nesterov",
    "solver_numeric",
    "solver_rmsprop",
    "solver_sgd",
    "v0_basic",
    "v0_padding",
    "v0_sources",
    "v1_all_types",
    "v1_basic",
    "v1_data_transform",
    "v1_more_params",
    "v2_batchnorm_params",
    "v2_data_transform",
    "v2_input_dims",
    "v2_unchanged_lp",
]


def net(text: str) -> Any:
    return text_format.Parse(text, caffe_pb2.NetParameter())


def test_every_golden_case_is_in_the_list(shared: Path) -> None:
    folder = shared / "golden" / "upgrade"
    suffix = ".in.prototxt"
    assert sorted(p.name.removesuffix(suffix) for p in folder.glob(f"*{suffix}")) == CASES


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, shared: Path) -> None:
    folder = shared / "golden" / "upgrade"
    solver = case.startswith("solver_")
    kind = caffe_pb2.SolverParameter if solver else caffe_pb2.NetParameter
    message = text_format.Parse((folder / f"{case}.in.prototxt").read_text(), kind())
    want = text_format.Parse((folder / f"{case}.out.prototxt").read_text(), kind())
    needed = solver_needs_upgrade(message) if solver else needs_upgrade(message)
    assert needed == (message != want)
    notes = upgrade_solver(message) if solver else upgrade_net(message)
    assert message == want
    assert bool(notes) == needed
    assert not (solver_needs_upgrade(message) if solver else needs_upgrade(message))


def test_golden_binary(shared: Path) -> None:
    folder = shared / "golden" / "upgrade"
    for case in ("v1_binary", "v2_binary_legacy_dims"):
        message = caffe_pb2.NetParameter.FromString((folder / f"{case}.in.caffemodel").read_bytes())
        want = caffe_pb2.NetParameter.FromString((folder / f"{case}.out.caffemodel").read_bytes())
        upgrade_net(message)
        assert message == want


def test_type_tables_have_the_numbers_of_the_proto() -> None:
    enum = caffe_pb2.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"]
    assert V1_TYPES.keys() >= {value.number for value in enum.values if value.number < 40}
    for number, name in V1_TYPES.items():
        plain = enum.values_by_number[number].name.replace("_", "").lower()
        assert name.lower() in (plain, {"softmaxloss": "softmaxwithloss", "none": ""}.get(plain))
    assert set(V0_TYPES.values()) <= V1_TYPES.keys()


def test_v1_params_names_share_modes_and_rates_go_to_param_specs() -> None:
    message = net(
        'layers { name: "a" type: INNER_PRODUCT param: "w" param: "b" blob_share_mode: PERMISSIVE '
        "blobs_lr: 1 blobs_lr: 2 blobs_lr: 3 weight_decay: 0 }"
    )
    assert upgrade_net(message) == ["upgraded 1 V1 layers to V2"]
    assert message == net(
        'layer { name: "a" type: "InnerProduct" '
        'param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 0 } '
        'param { name: "b" lr_mult: 2 } param { lr_mult: 3 } }'
    )


def test_new_layers_beside_old_ones_are_named() -> None:
    message = net('layers { name: "old" type: RELU } layer { name: "new" type: "ReLU" }')
    assert upgrade_net(message) == [
        "1 `layer` beside the V1 `layers` are left out, as in Caffe",
        "upgraded 1 V1 layers to V2",
    ]
    assert [layer.name for layer in message.layer] == ["old"]


def test_v0_field_of_another_type_is_named() -> None:
    message = net(
        'layers { layer { name: "r" type: "relu" num_output: 3 } bottom: "x" } input: "x"'
    )
    notes = upgrade_net(message)
    assert "layer \"r\": num_output is no field of 'relu'; left out" in notes


def test_input_shape_becomes_the_first_layer() -> None:
    message = net(
        'input: "x" input_shape { dim: 2 dim: 3 } layer { name: "r" type: "ReLU" bottom: "x" }'
    )
    assert upgrade_net(message) == ["made input x an Input layer"]
    assert message == net(
        'layer { name: "input" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } } '
        'layer { name: "r" type: "ReLU" bottom: "x" }'
    )


def test_input_without_a_shape_is_named() -> None:
    message = net('input: "x" layer { name: "r" type: "ReLU" bottom: "x" }')
    assert upgrade_net(message) == ['left out "x": an input needs its name and its shape']
    assert not message.input


@pytest.mark.parametrize(
    ("text", "error", "wanted"),
    [
        pytest.param(
            'input: "x" input: "y" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4',
            FieldError,
            "input_dim is '4 numbers', allowed: 4 for each of the 2 inputs\n"
            "  fix: give num, channels, height and width of every input",
            id="too few input_dim",
        ),
        pytest.param(
            'input: "x" input: "y" input_shape { dim: 1 }',
            FieldError,
            "input_shape is '1 shapes', allowed: one for each of the 2 inputs\n"
            "  fix: give the shape of every input",
            id="too few input_shape",
        ),
        pytest.param(
            'input: "x" layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" } '
            'layers { layer { name: "r" type: "relu" } bottom: "p" top: "p" }',
            LayerError,
            'layer "r" (relu): padding layer "p" has to feed one conv or pool layer '
            "with one bottom",
            id="padding before relu",
        ),
        pytest.param(
            'layers { layer { name: "r" type: "relu" } bottom: "z" }',
            LayerError,
            'layer "r" (relu): bottom "z" is no top of an earlier layer',
            id="unknown bottom",
        ),
    ],
)
def test_errors(text: str, error: type[AdaptionError], wanted: str) -> None:
    with pytest.raises(error) as caught:
        upgrade_net(net(text))
    assert str(caught.value) == wanted


def test_unknown_v0_types_are_kept() -> None:
    text = (
        'input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4\n'
        'layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }\n'
        'layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: 3 }'
        ' bottom: "pad" top: "c" }\n'
        'layers { layer { name: "w" type: "wavelet" } bottom: "c" top: "w" }\n'
        'layers { layer { name: "r" type: "relu" } bottom: "w" top: "r" }\n'
    )
    file = from_document(prototxt.parse(text, "v0.prototxt"))
    assert [m.type for m in file.message.layer] == ["Input", "Convolution", "wavelet", "ReLU"]
    assert 'layer "w": kept the type wavelet, which nobody knows' in file.upgrades


V1 = """layers { name: "clips" type: VIDEO_DATA top: "data" }
layers { name: "n" type: 99 bottom: "data" top: "n" }
layers { name: "ip" type: INNER_PRODUCT bottom: "n" top: "ip"
  inner_product_param { num_output: 4 } }
layers { name: "five" type: 18 bottom: "ip" top: "ip" }
layers { name: "un" type: UNPOOLING bottom: "ip" top: "un" unpool_param { size: 2 } }
"""


@pytest.mark.parametrize("head", ["", 'input: "x" input_shape { dim: 1 }\n'])
def test_v1_types_of_forks_are_kept(
    head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name and by number; the type was dropped, and nothing could read the net."""
    path = tmp_path / "v1.prototxt"
    path.write_text(head + V1)
    file = read_net(path)
    wanted = ["VIDEO_DATA", "V1LayerType(99)", "InnerProduct", "ReLU", "UNPOOLING"]
    assert [m.type for m in file.message.layer][bool(head) :] == wanted
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr()
    assert "unknown layer types: VIDEO_DATA, V1LayerType(99), UNPOOLING" in shown.out
    assert main(["upgrade", str(path), str(tmp_path / "new.prototxt")]) == 0
    again = read_net(tmp_path / "new.prototxt")
    assert [m.type for m in again.message.layer] == [m.type for m in file.message.layer]
    formats = ["--weight", "Q2.6", "--activation", "Q4.4", "--quiet"]
    assert main(["rewrite", str(path), "-o", str(tmp_path / "low.prototxt"), *formats]) == 0
    assert 'type: "UNPOOLING"' in (tmp_path / "low.prototxt").read_text()
    with pytest.raises(UnknownLayerError, match="VIDEO_DATA"):
        Net(path)


def test_weights_with_a_v1_type_of_a_fork(tmp_path: Path) -> None:
    message = caffe_pb2.NetParameter()
    blob = message.layers.add(name="a", type=14).blobs.add(num=1, channels=1, height=1, width=2)
    blob.data.extend([1, 2])
    content = blob.SerializeToString()
    # field 4 name, 5 type (a number of no enum of ours), 6 blobs
    layer = b"\x22\x01b\x28\x63" + b"\x32" + bytes([len(content)]) + content
    path = tmp_path / "v1.caffemodel"
    path.write_bytes(message.SerializeToString() + b"\x12" + bytes([len(layer)]) + layer)
    assert [(x.name, x.type) for x in read_weights(path)] == [
        ("a", "InnerProduct"),
        ("b", "V1LayerType(99)"),
    ]
    upgrade(path, tmp_path / "new.caffemodel")
    assert [(x.name, x.type) for x in read_weights(tmp_path / "new.caffemodel")] == [
        ("a", "InnerProduct"),
        ("b", "V1LayerType(99)"),
    ]


def test_solver_type_beside_type() -> None:
    solver = text_format.Parse('solver_type: ADAM type: "SGD"', caffe_pb2.SolverParameter())
    with pytest.raises(FieldError) as caught:
        upgrade_solver(solver)
    assert str(caught.value) == (
        "solver_type is 'ADAM', allowed: nothing, because type is given ('SGD')\n"
        "  fix: remove solver_type"
    )
