"""Wiring: what connects, and the whole message where it does not."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from adaption.errors import LayerError
from adaption.graph import NetSpec, NetState, build_spec, insert_splits
from adaption.proto import caffe_pb2

DATA = 'layer { name: "data" type: "Input" top: "data" }\n'


def spec_of(text: str, phase: str = "TEST") -> NetSpec:
    """The net in `text`, one layer per line."""
    message = text_format.Parse(text, caffe_pb2.NetParameter())
    lines = [i for i, line in enumerate(text.splitlines(), 1) if line.strip().startswith("layer")]
    return build_spec(message, NetState(phase), file="net.prototxt", lines=lines)


def relu(name: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top}" {more} }}\n'


ONE_PRODUCER = (
    "\n  fix: rename it, or make the layer in-place: same name at the same index of bottom and top"
)
BEFORE = "\n  fix: give the layer a top of its own, or let it stand before the other readers"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(
            DATA + relu("r", "dat", "r"),
            'net.prototxt:2: layer "r" (ReLU): unknown bottom blob "dat" (bottom index 0)\n'
            '  fix: did you mean "data"?',
            id="misspelt bottom",
        ),
        pytest.param(
            relu("r", "x", "r") + DATA,
            'net.prototxt:1: layer "r" (ReLU): unknown bottom blob "x" (bottom index 0)\n'
            "  fix: name the top of an earlier layer",
            id="bottom without any layer before",
        ),
        pytest.param(
            relu("r", "data", "r") + DATA,
            'net.prototxt:1: layer "r" (ReLU): unknown bottom blob "data" (bottom index 0)\n'
            "  fix: name the top of an earlier layer",
            id="bottom of a later layer",
        ),
        pytest.param(
            DATA + relu("a", "data", "a") + relu("b", "data", "a"),
            'net.prototxt:3: layer "b" (ReLU): top blob "a" is produced by several layers'
            + ONE_PRODUCER,
            id="top written twice",
        ),
        pytest.param(
            DATA + relu("a", "data", "a")
            + 'layer { name: "b" type: "Eltwise" bottom: "a" bottom: "data" top: "data" }',
            'net.prototxt:3: layer "b" (Eltwise): top blob "data" is produced by several layers'
            + ONE_PRODUCER,
            id="in-place at another index",
        ),
        pytest.param(
            DATA + 'layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "a" }',
            'net.prototxt:2: layer "s" (Slice): names top "a" twice',
            id="two tops of one name",
        ),
        pytest.param(
            DATA + 'layer { name: "r" bottom: "data" top: "r" }',
            'net.prototxt:2: layer "r": has no type\n'
            '  fix: write type: "Convolution" or another layer type',
            id="no type",
        ),
        pytest.param(
            DATA + relu("r", "data", "r", "include { phase: TEST } exclude { phase: TRAIN }"),
            'net.prototxt:2: layer "r" (ReLU): has include and exclude rules,'
            " allowed: one kind or the other",
            id="include and exclude",
        ),
        pytest.param(
            DATA + relu("a", "data", "a") + relu("b", "data", "data"),
            'net.prototxt:3: layer "b" (ReLU): is in-place on blob "data", which another layer'
            " reads before it" + BEFORE,
            id="in-place behind another reader",
        ),
        pytest.param(
            DATA + relu("a", "data", "a", "loss_weight: 1") + relu("b", "a", "a"),
            'net.prototxt:3: layer "b" (ReLU): is in-place on blob "a", which another layer'
            " reads before it" + BEFORE,
            id="in-place on a loss",
        ),
    ],
)  # fmt: skip
def test_wiring_error(text: str, want: str) -> None:
    with pytest.raises(LayerError) as caught:
        spec_of(text)
    assert str(caught.value) == want


def test_left_out_layers_are_not_checked() -> None:
    text = DATA + relu("r", "nowhere", "r", "include { phase: TRAIN }")
    assert [item.name for item in spec_of(text)] == ["data"]


def test_a_top_may_be_written_by_one_layer_in_each_phase() -> None:
    text = relu("a", "data", "a", "include { phase: TRAIN }") + relu(
        "b", "data", "a", "include { phase: TEST }"
    )
    assert [item.name for item in spec_of(DATA + text, "TRAIN")] == ["data", "a"]
    assert [item.name for item in spec_of(DATA + text, "TEST")] == ["data", "b"]


def test_in_place_before_other_readers() -> None:
    spec = spec_of(DATA + relu("a", "data", "data") + relu("b", "data", "b"))
    assert [item.is_in_place for item in spec] == [False, True, False]
    assert spec.inputs == ("data",)
    assert spec.outputs == ("b",)


def test_layers_know_their_phase() -> None:
    """Caffe hands a layer the phase of the net, unless it has one of its own."""
    spec = spec_of(DATA + relu("a", "data", "a") + relu("b", "a", "b", "phase: TRAIN"))
    assert [item.message.phase for item in spec] == [1, 1, 0]


def test_the_message_is_not_changed() -> None:
    message = text_format.Parse(DATA + relu("a", "data", "a"), caffe_pb2.NetParameter())
    before = message.SerializeToString()
    insert_splits(build_spec(message, NetState("TRAIN")))
    assert message.SerializeToString() == before


def test_inputs_keep_their_order_and_outputs_are_sorted() -> None:
    text = (
        'layer { name: "z" type: "Input" top: "z" top: "y" }\n'
        'layer { name: "a" type: "Input" top: "a" }\n'
        + relu("r2", "z", "q") + relu("r1", "a", "b")
    )  # fmt: skip
    assert spec_of(text).inputs == ("z", "y", "a")
    assert spec_of(text).outputs == ("b", "q", "y")


def test_layer_by_name() -> None:
    spec = spec_of(DATA + relu("a", "data", "b"))
    assert spec.layer("a").tops == ("b",)
    with pytest.raises(KeyError):
        spec.layer("b")


def test_two_layers_may_have_one_name() -> None:
    """As in Caffe, where many published nets have it."""
    spec = spec_of(DATA + relu("relu", "data", "a") + relu("relu", "a", "b"))
    assert [item.name for item in spec] == ["data", "relu", "relu"]


def test_no_layers_give_an_empty_net() -> None:
    spec = spec_of("")
    assert (spec.layers, spec.inputs, spec.outputs) == ((), (), ())
