"""Typed messages: what fits a field, the whole message where it does not, and unknown names."""

from __future__ import annotations

import math
import struct

import pytest
from google.protobuf import text_format

from adaption.errors import ParseError
from adaption.io.prototxt import Notice, parse
from adaption.proto import caffe_pb2


def read_layer(text: str) -> caffe_pb2.LayerParameter:
    message, notices = parse(text).message(caffe_pb2.LayerParameter)
    assert not notices
    return message


@pytest.mark.parametrize(
    ("text", "field", "want"),
    [
        pytest.param("axis: 2", "axis", 2, id="int"),
        pytest.param("axis: -2", "axis", -2, id="negative"),
        pytest.param("axis: - 2", "axis", -2, id="space after minus"),
        pytest.param("axis: 0x1F", "axis", 31, id="hexadecimal"),
        pytest.param("axis: -017", "axis", -15, id="octal"),
        pytest.param("axis: -2147483648", "axis", -(2**31), id="lowest"),
        pytest.param("num_output: 4294967295", "num_output", 2**32 - 1, id="highest uint32"),
        pytest.param("bias_term: true", "bias_term", True, id="true"),
        pytest.param("bias_term: f", "bias_term", False, id="f"),
        pytest.param("bias_term: False", "bias_term", False, id="False"),
        pytest.param("bias_term: 1", "bias_term", True, id="1"),
        pytest.param("bias_term: 0x0", "bias_term", False, id="0x0"),
        pytest.param("transpose: t", "transpose", True, id="t"),
    ],
)
def test_values_of_inner_product(text: str, field: str, want: object) -> None:
    layer = read_layer(f"inner_product_param {{ {text} }}")
    assert getattr(layer.inner_product_param, field) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("0.1", 0.1, id="decimal"),
        pytest.param("3", 3.0, id="integer"),
        pytest.param("1.", 1.0, id="point at end"),
        pytest.param(".5F", 0.5, id="suffix"),
        pytest.param("2f", 2.0, id="integer with suffix"),
        pytest.param("-1e-3", -1e-3, id="exponent"),
        pytest.param("1e40", math.inf, id="too large for float32"),
        pytest.param("3.4028235e38", 3.4028234663852886e38, id="largest float32"),
        pytest.param("-inf", -math.inf, id="-inf"),
        pytest.param("Infinity", math.inf, id="Infinity"),
        pytest.param("- nan", math.nan, id="nan"),
        pytest.param("0", 0.0, id="zero"),
    ],
)
def test_floats_are_rounded_to_float32(text: str, want: float) -> None:
    (got,) = read_layer(f"loss_weight: {text}").loss_weight
    (single,) = struct.unpack("f", struct.pack("f", want))
    assert got == single or (math.isnan(got) and math.isnan(want))


@pytest.mark.parametrize("text", ["phase: TEST", "phase: 1", "phase: 0x1"])
def test_enums_by_name_and_number(text: str) -> None:
    assert read_layer(text).phase == caffe_pb2.TEST


def test_lists_and_blocks_fill_repeated_fields() -> None:
    text = "bottom: ['a', \"b\"] bottom: 'c' param [{lr_mult: 1}, <lr_mult: 2>] param { } "
    layer = read_layer(text)
    assert list(layer.bottom) == ["a", "b", "c"]
    assert [param.lr_mult for param in layer.param] == [1.0, 2.0, 1.0]


def test_an_empty_block_counts_as_set() -> None:
    assert read_layer("pooling_param { }").HasField("pooling_param")


def test_bytes_may_hold_anything() -> None:
    datum, _ = parse(r'data: "\377\x00a"').message(caffe_pb2.Datum)
    assert datum.data == b"\xff\x00a"


HEAD = 'layer {\n  name: "c1"\n  type: "Convolution"\n  '
C1 = 'n:4:{}: layer "c1" (Convolution): '


@pytest.mark.parametrize(
    ("text", "column", "want"),
    [
        pytest.param(
            'convolution_param { num_output: "64" }',
            35,
            'convolution_param.num_output is "64", allowed: an integer from 0 to 4294967295\n'
            "  fix: write num_output: 64",
            id="string for int",
        ),
        pytest.param(
            "convolution_param { num_output: 1.5 }",
            35,
            "convolution_param.num_output is 1.5, allowed: an integer from 0 to 4294967295",
            id="fraction for int",
        ),
        pytest.param(
            "convolution_param { num_output: -0 }",
            35,
            "convolution_param.num_output is -0, allowed: an integer from 0 to 4294967295",
            id="minus for unsigned",
        ),
        pytest.param(
            "convolution_param { axis: 2147483648 }",
            29,
            "convolution_param.axis is 2147483648, "
            "allowed: an integer from -2147483648 to 2147483647",
            id="out of range",
        ),
        pytest.param(
            "convolution_param { axis: 089 }",
            29,
            "convolution_param.axis is 089, allowed: an integer from -2147483648 to 2147483647",
            id="no octal",
        ),
        pytest.param(
            "loss_weight: 0x10",
            16,
            "loss_weight is 0x10, allowed: a decimal number",
            id="hexadecimal float",
        ),
        pytest.param(
            'loss_weight: "1e-3"',
            16,
            'loss_weight is "1e-3", allowed: a number\n  fix: write loss_weight: 1e-3',
            id="string for float",
        ),
        pytest.param(
            "lrn_param { norm_region: WITHIN_CHANNELS }",
            28,
            "lrn_param.norm_region is WITHIN_CHANNELS, allowed: ACROSS_CHANNELS, WITHIN_CHANNEL\n"
            "  fix: did you mean WITHIN_CHANNEL?",
            id="unknown enum name",
        ),
        pytest.param(
            'lrn_param { norm_region: "WITHIN_CHANNEL" }',
            28,
            'lrn_param.norm_region is "WITHIN_CHANNEL", allowed: ACROSS_CHANNELS, WITHIN_CHANNEL\n'
            "  fix: write norm_region: WITHIN_CHANNEL",
            id="string for enum",
        ),
        pytest.param(
            "lrn_param { norm_region: 7 }",
            28,
            "lrn_param.norm_region is 7, allowed: ACROSS_CHANNELS, WITHIN_CHANNEL",
            id="unknown enum number",
        ),
        pytest.param(
            "convolution_param { bias_term: TRUE }",
            34,
            "convolution_param.bias_term is TRUE, allowed: true or false\n"
            "  fix: write bias_term: true",
            id="bool in capitals",
        ),
        pytest.param(
            "convolution_param { bias_term: 2 }",
            34,
            "convolution_param.bias_term is 2, allowed: true or false",
            id="2 for bool",
        ),
        pytest.param(
            "bottom: data",
            11,
            'bottom is data, allowed: a string in quotes\n  fix: write bottom: "data"',
            id="word for string",
        ),
        pytest.param(
            "convolution_param: 3",
            22,
            "convolution_param is 3, allowed: a block\n  fix: write convolution_param { ... }",
            id="scalar for block",
        ),
        pytest.param(
            "bottom { }",
            10,
            "bottom is a block, allowed: a single value\n  fix: write bottom: VALUE",
            id="block for scalar",
        ),
        pytest.param(
            'name: "c2"',
            3,
            "name is specified multiple times, first at line 2\n  fix: keep one of them",
            id="scalar twice",
        ),
        pytest.param(
            "pooling_param { } pooling_param { }",
            21,
            "pooling_param is specified multiple times, first at line 4\n  fix: keep one of them",
            id="block twice",
        ),
        pytest.param(
            "convolution_param { num_output: ${N} }",
            35,
            "convolution_param.num_output is ${N}, allowed: an integer from 0 to 4294967295\n"
            "  fix: put a value in place of the placeholder",
            id="placeholder of a template",
        ),
    ],
)
def test_misfits_tell_layer_field_found_allowed(text: str, column: int, want: str) -> None:
    document = parse(f"{HEAD}{text}\n}}\n", file="n")
    with pytest.raises(ParseError) as caught:
        document.message(caffe_pb2.NetParameter)
    assert str(caught.value) == C1.format(column) + want


@pytest.mark.parametrize(
    "text",
    [
        'name: "a" name: "b"',
        "state { } state { }",
        "force_backward: 2",
        "input_dim: 1.5",
        "input_dim: 0x1FFFFFFFF",
        "name: a",
        "state { phase: NONE }",
        "input: 3",
    ],
)
def test_protobuf_refuses_the_same(text: str) -> None:
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text, caffe_pb2.NetParameter())
    with pytest.raises(ParseError):
        parse(text).message(caffe_pb2.NetParameter)


def test_outside_of_a_layer_the_path_starts_at_the_file() -> None:
    with pytest.raises(ParseError) as caught:
        parse("net_param { state { phase: 7 } }", file="s").message(caffe_pb2.SolverParameter)
    assert str(caught.value) == "s:1:28: net_param.state.phase is 7, allowed: TRAIN, TEST"


UNKNOWN = """\
name: "net"
colour: "red"
layer { name: "conv1" convolution_param { kernel_sise: 3 kernel_sise: 4 foo { pad: 1 } } }
layer { kernel_size: 3 }
"""


def test_unknown_fields_are_notices_and_stay_in_the_tree() -> None:
    document = parse(UNKNOWN, file="n")
    net, notices = document.message(caffe_pb2.NetParameter)
    assert [str(notice) for notice in notices] == [
        "n:2:1: unknown field colour",
        'n:3:43: unknown field layer "conv1".convolution_param.kernel_sise, '
        "did you mean kernel_size?",
        'n:3:73: unknown field layer "conv1".convolution_param.foo',
        "n:4:9: unknown field layer[1].kernel_size",
    ]
    assert notices[1] == Notice(
        3, 43, 'layer "conv1".convolution_param.kernel_sise', "kernel_sise", "kernel_size"
    )
    assert len(net.layer) == 2
    assert document.text() == UNKNOWN


def test_strict_makes_an_unknown_field_an_error() -> None:
    with pytest.raises(ParseError) as caught:
        parse('layer { name: "c1" botom: "x" }', file="n").message(
            caffe_pb2.NetParameter, strict=True
        )
    assert str(caught.value) == (
        'n:1:20: layer "c1": unknown field botom\n  fix: did you mean bottom?'
    )


def test_layer_types_of_forks_in_v1_nets_are_notices() -> None:
    document = parse('layers { name: "a" type: CONVOLUTON }\nlayers { type: MY_OWN }', file="n")
    net, notices = document.message(caffe_pb2.NetParameter)
    assert [str(notice) for notice in notices] == [
        'n:1:20: unknown value CONVOLUTON of layers "a".type, did you mean CONVOLUTION?',
        "n:2:10: unknown value MY_OWN of layers[1].type",
    ]
    assert not net.layers[0].HasField("type")
    with pytest.raises(ParseError, match="CONVOLUTON, allowed: NONE, "):
        document.message(caffe_pb2.NetParameter, open_enums=())
