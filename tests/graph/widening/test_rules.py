"""What each layer type does to channels: small nets, widened twice unless a row says otherwise."""

from __future__ import annotations

from fractions import Fraction

import pytest

from adaption.errors import LayerError
from adaption.graph.widening import plan_widening
from adaption.graph.widening.table import RULES
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.layers.base import _registered


def read(text: str) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def layer(name: str, kind: str, bottoms: str, tops: str = "", more: str = "") -> str:
    """One layer: `bottoms` and `tops` are names with spaces between; no tops: its own name."""
    blobs = [f'bottom: "{b}"' for b in bottoms.split()]
    blobs += [f'top: "{t}"' for t in (tops or name).split() if t != "-"]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(blobs)} {more} }}\n'


def conv(name: str, bottom: str, outputs: int, more: str = "", kind: str = "Convolution") -> str:
    return layer(
        name,
        kind,
        bottom,
        more=f"convolution_param {{ num_output: {outputs} kernel_size: 1 {more} }}",
    )


def fc(name: str, bottom: str, outputs: int, more: str = "") -> str:
    return layer(
        name, "InnerProduct", bottom, more=f"inner_product_param {{ num_output: {outputs} {more} }}"
    )


DATA = layer("data", "Input", "", more="input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } }")
LAST = fc("last", "x", 10)


def widths(text: str, factor: str = "2", **options: object) -> dict[str, int]:
    made = plan_widening([read(text)], Fraction(factor), **options)  # type: ignore[arg-type]
    return {name: after for name, (_, after) in made.layers.items()}


ROWS = [
    pytest.param(
        conv("a", "data", 4) + layer("x", "ReLU", "a") + LAST, {"a": 8, "last": 10}, id="a chain"
    ),
    pytest.param(
        conv("a", "data", 4) + conv("x", "a", 4, "group: 4") + LAST,
        {"a": 8, "x": 8, "last": 10},
        id="a depthwise layer follows",
    ),
    pytest.param(
        conv("a", "data", 4) + conv("x", "a", 8, "group: 4") + LAST,
        {"a": 8, "x": 16, "last": 10},
        id="a depthwise layer with two filters per channel",
    ),
    pytest.param(
        conv("a", "data", 4) + conv("x", "a", 4, kind="ConvolutionDepthwise") + LAST,
        {"a": 8, "x": 8, "last": 10},
        id="ConvolutionDepthwise follows",
    ),
    pytest.param(
        conv("x", "data", 6, "group: 3") + LAST,
        {"x": 6, "last": 10},
        id="a depthwise layer on the image stays",
    ),
    pytest.param(
        conv("a", "data", 4) + conv("b", "data", 6) + layer("x", "Concat", "a b") + LAST,
        {"a": 8, "b": 12, "last": 10},
        id="concat",
    ),
    pytest.param(
        conv("a", "data", 4)
        + layer("both", "Concat", "a data")
        + conv("x", "both", 7, "group: 7")
        + LAST,
        {"a": 8, "x": 11, "last": 10},
        id="a depthwise layer on channels of which some stay",
    ),
    pytest.param(
        conv("a", "data", 4)
        + layer("cut", "Slice", "a", "x b", "slice_param { slice_point: 1 }")
        + conv("c", "b", 3)
        + layer("s", "Eltwise", "b c")
        + fc("last", "s", 10)
        + LAST.replace("last", "last2"),
        {"a": 8, "c": 6, "last": 10, "last2": 10},
        id="slice_point moves, a sum with the second part follows",
    ),
    pytest.param(
        conv("a", "data", 4)
        + layer("cut", "Slice", "a", "p q")
        + layer("x", "Eltwise", "p q", more="eltwise_param { operation: MAX }")
        + LAST,
        {"a": 8, "last": 10},
        id="maximum of two halves",
    ),
    pytest.param(
        conv("a", "data", 4) + layer("x", "Flatten", "a") + LAST, {"a": 8, "last": 10}, id="flatten"
    ),
    pytest.param(
        conv("a", "data", 4)
        + layer("x", "Reshape", "a", more="reshape_param { shape { dim: 0 dim: 256 } }")
        + LAST,
        {"a": 8, "last": 10},
        id="reshape to channels times positions",
    ),
    pytest.param(
        fc("a", "data", 4)
        + layer("x", "Reshape", "a", more="reshape_param { shape { dim: 1 dim: 1 dim: 4 } }")
        + fc("last", "x", 10, "axis: 2"),
        {"a": 8, "last": 10},
        id="reshape of rows",
    ),
    pytest.param(
        conv("a", "data", 4)
        + layer("p", "Permute", "a", more="permute_param { order: 0 order: 2 order: 3 order: 1 }")
        + layer("x", "Flatten", "p")
        + LAST,
        {"a": 8, "last": 10},
        id="channels moved to the last axis",
    ),
    pytest.param(
        conv("a", "data", 4)
        + layer("x", "Tile", "a", more="tile_param { tiles: 3 }")
        + conv("last", "x", 12, "group: 12")
        + conv("end", "last", 10),
        {"a": 8, "last": 24, "end": 10},
        id="tiles repeat channels",
    ),
    pytest.param(
        conv("a", "data", 4) + layer("x", "Reorg", "a", more="reorg_param { stride: 2 }") + LAST,
        {"a": 8, "last": 10},
        id="reorg",
    ),
    pytest.param(
        conv("a", "data", 4) + conv("x", "a", 2, kind="Deconvolution") + LAST,
        {"a": 8, "x": 4, "last": 10},
        id="deconvolution",
    ),
    pytest.param(
        conv("a", "data", 4)
        + conv("score", "a", 5)
        + conv("up", "score", 5, "group: 5", kind="Deconvolution"),
        {"a": 8, "score": 5, "up": 5},
        id="scores that are only scaled up are last",
    ),
    pytest.param(
        conv("a", "data", 4)
        + conv("b", "a", 5)
        + layer("p", "Softmax", "b")
        + layer("boxes", "Proposal", "p p data")
        + layer("x", "ROIPooling", "a boxes")
        + LAST,
        {"a": 8, "b": 5, "last": 10},
        id="regions carry no channels: the layer before them is last",
    ),
    pytest.param(
        conv("a", "data", 4)
        + conv("side", "a", 1)
        + layer("out", "Sigmoid", "side")
        + layer("x", "Concat", "a side")
        + LAST,
        {"a": 8, "side": 1, "last": 10},
        id="a result that is read again stays",
    ),
    pytest.param(
        conv("a", "data", 4)
        + layer("x", "Split", "a", "x y")
        + layer("s", "Silence", "y", "-")
        + LAST,
        {"a": 8, "last": 10},
        id="silence asks for nothing",
    ),
    pytest.param(
        conv("a", "data", 4)
        + layer("g", "Pooling", "a", more="pooling_param { pool: AVE global_pooling: true }")
        + fc("down", "g", 2)
        + fc("up", "down", 4)
        + layer("x", "Scale", "a up", more="scale_param { axis: 0 }")
        + LAST,
        {"a": 8, "down": 4, "up": 8, "last": 10},
        id="squeeze and excite",
    ),
    pytest.param(
        conv("a", "data", 4) + layer("u", "Unheard", "a") + layer("t", "Silence", "u", "-"),
        {"a": 4},
        id="an unknown layer that no weight layer reads",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "want"), ROWS)
def test_widths(text: str, want: dict[str, int]) -> None:
    assert widths(DATA + text) == want


@pytest.mark.parametrize(("text", "want"), ROWS)
def test_factor_one_changes_nothing(text: str, want: dict[str, int]) -> None:
    made = plan_widening([read(DATA + text)], Fraction(1))
    assert all(before == after for before, after in made.layers.values())
    assert set(made.layers) == set(want) and not made.nets[0].edits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            conv("a", "data", 4)
            + layer("x", "Reshape", "a", more="reshape_param { shape { dim: 1 dim: 2 dim: 128 } }")
            + LAST,
            'layer "x" (Reshape): reshapes channels that get wider to [1, 2, 128], whose sizes are'
            " fixed",
            id="reshape",
        ),
        pytest.param(
            conv("a", "data", 10)
            + layer("cut", "Slice", "a", "x y", "slice_param { slice_point: 3 }")
            + fc("last", "y", 10)
            + LAST.replace("last", "last2"),
            'layer "cut" (Slice): slice_point 3 of 10 channels falls between two channels of the'
            " wider net",
            id="slice_point",
        ),
        pytest.param(
            conv("a", "data", 3) + layer("x", "Eltwise", "a data") + LAST,
            'layer "x" (Eltwise): adds channels of "a", made wider, and 3 fixed channels',
            id="a sum with the image",
        ),
        pytest.param(
            conv("a", "data", 4) + layer("x", "Softmax", "a") + LAST,
            'layer "x" (Softmax): makes probabilities of channels that get wider',
            id="softmax",
        ),
        pytest.param(
            fc("a", "data", 4)
            + layer("b", "Reshape", "a", more="reshape_param { shape { dim: 1 dim: 1 dim: 4 } }")
            + layer("c", "Input", "", more="input_param { shape { dim: 1 dim: 1 } }")
            + layer("x", "LSTM", "b c", more="recurrent_param { num_output: 4 }")
            + LAST,
            'layer "x" (LSTM): is recurrent and no last layer: its state would get wider with its'
            " result",
            id="recurrent",
        ),
        pytest.param(
            conv("a", "data", 4) + layer("x", "Unheard", "a") + LAST,
            'layer "x" (Unheard): reads channels that get wider, and what this layer type does to'
            " them is unknown",
            id="unknown",
        ),
        pytest.param(
            conv("a", "data", 8)
            + layer("p", "Permute", "a", more="permute_param { order: [0, 2, 1] }")
            + conv("x", "p", 2)
            + LAST,
            'layer "x" (Convolution): reads channels that get wider along a spatial axis',
            id="channels on a spatial axis",
        ),
        pytest.param(
            conv("a", "data", 4)
            + layer("x", "Convolution", "a", more="""quantization_param { scale_params: 1
              scale_params: 2 } convolution_param { num_output: 2 kernel_size: 1 }""")
            + LAST,
            'layer "x" (Convolution): has 2 values of quantization_param.scale_params, one per'
            " channel of weights that a wider net does not have",
            id="one number per channel",
        ),
    ],
)  # fmt: skip
def test_refusals_name_layer_and_reason(text: str, message: str) -> None:
    with pytest.raises(LayerError) as caught:
        widths(DATA + text, "1.3")
    head, _, fix = str(caught.value).partition("\n  fix: ")
    assert head.startswith("net.prototxt:")
    assert head.split(": ", 1)[1] == message
    assert fix


def test_groups_of_a_layer_and_of_its_readers() -> None:
    text = DATA + conv("a", "data", 10) + conv("b", "a", 9, "group: 3") + conv("c", "b", 8)
    assert widths(text + conv("last", "c", 10, "group: 2"), "1.3") == {
        "a": 12,  # 13, read in 3 groups
        "b": 12,  # 11.7
        "c": 10,  # 10.4
        "last": 10,
    }


def test_groups_reach_through_concat_and_shuffle() -> None:
    text = (
        DATA
        + conv("a", "data", 24)
        + conv("b", "data", 216)
        + layer("both", "Concat", "a b")
        + layer("mixed", "ShuffleChannel", "both", more="shuffle_channel_param { group: 4 }")
        + conv("c", "mixed", 60, "group: 3")
        + conv("last", "c", 10)
    )
    assert widths(text, "1.3") == {"a": 36, "b": 276, "c": 78, "last": 10}


def test_shared_parameters_are_widened_alike() -> None:
    shared = 'param { name: "w" }'
    text = (
        DATA
        + conv("a", "data", 4)
        + conv("b", "data", 4)
        + layer(
            "p", "Convolution", "a",
            more=shared + " convolution_param { num_output: 6 kernel_size: 1 group: 2 }",
        )
        + layer(
            "q", "Convolution", "b",
            more=shared + " convolution_param { num_output: 6 kernel_size: 1 group: 2 }",
        )
        + layer("x", "Concat", "p q")
        + conv("y", "p", 3, "group: 3")
        + LAST
        + fc("last2", "y", 10)
    )  # fmt: skip
    made = widths(text, "1.3")
    assert made["p"] == made["q"] == 6  # 7.8 is 8, a multiple of 2 and of 3 by "y": 6
    assert made["a"] == made["b"] == 4  # 5.2 is 5, halfway between 4 and 6


def test_weights_shared_with_a_last_layer_are_refused() -> None:
    shared = 'param { name: "w" } inner_product_param { num_output: 10 }'
    text = (
        DATA
        + layer("a", "InnerProduct", "data", more=shared)
        + fc("x", "a", 192)
        + layer("last", "InnerProduct", "x", more=shared)
    )
    with pytest.raises(LayerError, match=r'shares param "w" with "a": channels of'):
        widths(text)


def test_first_layers() -> None:
    plain = DATA + conv("a", "data", 4) + conv("b", "a", 4) + fc("last", "b", 10)
    assert widths(plain, widen_first=False) == {"a": 4, "b": 8, "last": 10}
    stem = DATA + conv("a", "data", 4) + conv("b", "a", 4) + layer("x", "Eltwise", "a b") + LAST
    assert widths(stem) == {"a": 8, "b": 8, "last": 10}
    with pytest.raises(LayerError) as caught:
        widths(stem, widen_first=False)
    assert str(caught.value) == (
        'net.prototxt:4: layer "x" (Eltwise): adds channels of "b", made wider, and channels of'
        ' "a", which keeps its width (first layer)\n'
        "  fix: leave out --no-widen-first, or let --project insert a 1 x 1 convolution"
    )
    made = plan_widening([read(stem)], Fraction(2), widen_first=False, project=True)
    (put,) = made.nets[0].inserted.values()
    assert (put.layer, put.bottom, put.num_output, put.branch) == (3, 0, 8, (2,))


def test_states_of_one_file_are_planned_together() -> None:
    """A layer that only training has reads in groups."""
    text = (
        DATA
        + conv("a", "data", 10)
        + layer("t", "Convolution", "a", more="""include { phase: TRAIN stage: "more" }
            convolution_param { num_output: 5 kernel_size: 1 group: 5 }""")
        + fc("last", "a", 10)
    )  # fmt: skip
    assert widths(text, "1.3") == {"a": 15, "last": 10, "t": 5}  # 13 without it


def test_a_layer_of_two_states_has_one_number() -> None:
    """A reshape whose bottom another layer makes in each phase."""
    more = "include {{ phase: {} }} convolution_param {{ num_output: 4 kernel_size: 1 group: {} }}"
    reads = conv("pre", "data", 4)
    text = (
        DATA
        + reads
        + layer("a", "Convolution", "pre", "y", more.format("TRAIN", 1))
        + layer("b", "Convolution", "pre", "y", more.format("TEST", 2))
        + layer("x", "Reshape", "y", more="reshape_param { shape { dim: 0 dim: 4 dim: 64 } }")
        + LAST
    )
    assert widths(text) == {"pre": 8, "a": 8, "b": 8, "last": 10}
    with pytest.raises(LayerError) as caught:
        widths(text, "1.3")
    assert str(caught.value) == (
        'net.prototxt:5: layer "x" (Reshape): dim would be 5 in the TRAIN net and 4 in another net'
        " state\n  fix: write a layer for each state, with include rules"
    )


def test_layers_of_one_name_agree() -> None:
    nets = [read(DATA + conv("a", "data", n) + fc("last", "a", 10)) for n in (4, 5)]
    with pytest.raises(LayerError) as caught:
        plan_widening(nets, Fraction(2))
    assert str(caught.value) == (
        'net.prototxt:2: layer "a" (Convolution): has num_output 5, another layer of this name 4\n'
        "  fix: give layers of one name the same num_output in all nets and net states"
    )


def test_nets_are_planned_together() -> None:
    """The features of a deploy net are its result, and no last layer of the training net."""
    deploy = read(DATA + conv("a", "data", 4) + conv("b", "a", 6))
    train = read(DATA + conv("a", "data", 4) + conv("b", "a", 6) + fc("last", "b", 10))
    assert plan_widening([train], Fraction(2)).layers["b"] == (6, 12)
    both = plan_widening([deploy, train], Fraction(2))
    assert both.layers == {"a": (4, 8), "b": (6, 6), "last": (10, 10)}
    assert both.kept["b"] == 'its channels are those of the net\'s output "b"'


def test_multiple_of() -> None:
    text = DATA + conv("a", "data", 20) + conv("b", "a", 20, "group: 5") + fc("last", "b", 10)
    assert widths(text, "1", multiple_of=8) == {"a": 40, "b": 40, "last": 10}


def test_every_layer_type_that_keeps_or_moves_channels_is_known() -> None:
    """Layer types that can run have a rule, or stop channels on purpose."""
    runs = {
        name
        for name, variants in _registered().items()
        if any(cls.bottoms != 0 and not cls.is_source for cls in variants.values())
    }
    on_purpose = {"Im2col", "LSTMUnit", "Python", "ContinuationIndicator"}
    on_purpose |= {"Convolution3D", "Pooling3D"}  # refused, by name
    by_trait = {"Swish"}  # `keeps_channels`, as a type that is added later
    assert runs - set(RULES) - on_purpose == by_trait
