"""Bits and activations read from prototxts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from adaption.errors import FieldError, LayerError, UsageError
from adaption.graph import NetSpec, NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.numerics import FixedPoint
from adaption.precision import cost_records
from adaption.precision.cost_model import NetCost
from adaption.precision.cost_records import net_cost

DATA = """layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: BATCH dim: 2 dim: 8 dim: 8 } } }
"""


def spec_of(text: str, batch: int = 1) -> NetSpec:
    document = prototxt.parse(DATA.replace("BATCH", str(batch)) + text, "net.prototxt")
    net = from_document(document)
    return build_spec(net.message, NetState(), file=net.file, lines=net.lines)


def read(text: str, batch: int = 1) -> NetCost:
    return net_cost(spec_of(text, batch))


def fixed(point: str, bits: int) -> str:
    return f"precision_param {{ {point} {{ kind: FIXED word_length: {bits} frac_length: 1 }} }}"


def layer(name: str, kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top}" {more} }}\n'


def conv(name: str, bottom: str, more: str = "", outputs: int = 4) -> str:
    size = f"convolution_param {{ num_output: {outputs} kernel_size: 1 }}"
    return layer(name, "Convolution", bottom, name, f"{size} {more}")


def fc(name: str, bottom: str, more: str = "") -> str:
    return layer(
        name, "InnerProduct", bottom, name, f"inner_product_param {{ num_output: 3 }} {more}"
    )


LP = "lpfp_param { bd: 2 ad: 3 }"
AVE = "pooling_param { pool: AVE kernel_size: 2 stride: 2 }"
MAX = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"


@pytest.mark.parametrize(
    ("between", "reads", "bits"),
    [
        pytest.param("", "a", 32, id="nothing"),
        pytest.param(layer("r", "ReLU", "a", "a"), "r", 32, id="ReLU in float"),
        pytest.param(layer("q", "LPAct", "a", "a", LP), "q", 5, id="LPAct"),
        pytest.param(
            layer("q", "LPAct", "a", "a", LP) + layer("r", "ReLU", "a", "a"),
            "r", 5, id="ReLU keeps codes",
        ),
        pytest.param(
            layer("r", "ReLU", "a", "a", fixed("activation", 7)), "r", 7, id="rounded by the ReLU"
        ),
        pytest.param(
            layer("q", "LPAct", "a", "a", LP) + layer("s", "Scale", "a", "a"),
            "s", 32, id="a scale makes new values",
        ),
        pytest.param(
            layer("c", "Clip", "a", "a", "clip_param { min: 0 max: 1 }"),
            "c", 32, id="clipped and not rounded",
        ),
        pytest.param(
            layer("c", "Clip", "a", "a", "clip_param { min: 0 max: 2 } " + fixed("activation", 4))
            + layer("d", "Dropout", "a", "a")
            + layer("p", "Pooling", "a", "x", AVE),
            "c", 4, id="where it is rounded, before pooling",
        ),
        pytest.param(
            layer("p", "Pooling", "a", "x", MAX) + layer("q", "LPAct", "x", "x", LP),
            "q", 5, id="rounded behind pooling",
        ),
    ],
)  # fmt: skip
def test_activation_of_a_layer(between: str, reads: str, bits: int) -> None:
    bottom = "x" if '"x"' in between else "a"
    found = read(conv("a", "data") + between + fc("b", bottom))
    assert found.layers[1].reads == (reads,) and found.layers[1].activation_bits == bits
    assert found.activation(reads).bits == bits
    assert found.activation(reads).size == (64 if reads == "q" and bottom == "x" else 256)
    assert found.layers[0].feeds == reads
    assert found.layers[0].reads == ("data",) and found.activation("data").is_input


def test_counts_are_per_image() -> None:
    text = conv("a", "data") + fc("b", "a")
    for batch in (1, 5):
        a, b = read(text, batch).layers
        assert (a.macs, a.weights, a.inputs, a.outputs) == (2 * 4 * 64, 8, 128, 256)
        assert (b.macs, b.weights, b.inputs, b.outputs) == (768, 768, 256, 3)
    rows = layer(
        "r", "Reshape", "data", "x", "reshape_param { shape { dim: 5 dim: 2 dim: 8 dim: 8 } }"
    )
    found = read(rows + conv("a", "x") + fc("b", "a"), batch=5)  # fits no other batch size
    assert (found.layers[0].macs, found.layers[1].macs) == (512, 768)


def test_weight_formats() -> None:
    found = read(
        layer(
            "a", "LPConvolution", "data", "a",
            "convolution_param { num_output: 4 kernel_size: 1 } " + LP,
        )
        + conv("b", "a", fixed("weight", 9))
        + fc("c", "b", "precision_param { weight { kind: FLOAT } }")
    )  # fmt: skip
    assert [x.weight_bits for x in found.layers] == [5, 9, 32]


def test_joined_activations_count_each() -> None:
    found = read(
        conv("a", "data", fixed("activation", 6))
        + conv("b", "data", fixed("activation", 8), outputs=2)
        + layer("j", "Concat", "a b", "j")
        + fc("c", "j")
    )
    assert found.layers[2].reads == ("a", "b") and found.layers[2].activation_bits == 8
    assert [(x.name, x.size, x.bits) for x in found.activations] == [
        ("data", 128, 32), ("a", 256, 6), ("b", 128, 8), ("c", 3, 32),
    ]  # fmt: skip


def test_sum_of_branches_is_one_activation() -> None:
    """Both layers before a sum feed the activation behind it; what they read is one, too."""
    found = read(
        conv("a", "data")
        + conv("b", "a")
        + conv("c", "a")
        + layer("s", "Eltwise", "b c", "s")
        + layer("r", "ReLU", "s", "s", fixed("activation", 6))
        + fc("d", "s")
    )
    assert [x.feeds for x in found.layers] == ["a", "r", "r", "d"]
    assert [x.reads for x in found.layers] == [("data",), ("a",), ("a",), ("r",)]


def test_shared_weights_count_once() -> None:
    shared = 'param { name: "w" }'
    found = read(
        conv("a", "data", shared) + conv("b", "data", shared) + conv("c", "data") + fc("d", "a")
    )
    assert [x.weights for x in found.layers] == [8, 8, 8, 768]
    assert found.weights == 8 + 8 + 768


def test_an_input_that_is_rounded_is_the_activation() -> None:
    found = read(layer("q", "LPAct", "data", "data", LP) + conv("a", "data") + fc("b", "a"))
    assert found.layers[0].reads == ("q",) and found.layers[0].activation_bits == 5
    assert found.activation("q").is_input and not found.activation("a").is_input


def test_points_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formats of gradients, accumulators and a layer's own view of its bottom, once nets have
    them; here layer_formats is made to."""
    points: dict[str, dict[str, Any]] = {
        "a": {"weight_grad": 6, "weight_accumulator": 14},
        "clip": {"activation": 4, "activation_grad": 8},
        "b": {"bottom": 3, "activation_grad": 9},
    }

    def formats(item: Any) -> Any:
        made = dict.fromkeys(("weight", "activation", "bottom"))
        made |= {k: FixedPoint(bits, 0) for k, bits in points.get(item.name, {}).items()}
        return SimpleNamespace(**made)

    monkeypatch.setattr(cost_records, "layer_formats", formats)
    clip = layer("clip", "Clip", "a", "a", "clip_param { min: 0 max: 2 }")
    found = read(conv("a", "data") + clip + fc("b", "a"))
    a, b = found.layers
    assert (a.weight_grad_bits, a.accumulator_bits) == (6, 14)
    assert (b.weight_grad_bits, b.accumulator_bits) == (32, 32)
    assert b.activation_bits == 3  # as the layer itself rounds it
    assert (found.activation("clip").bits, found.activation("clip").grad_bits) == (3, 8)
    assert found.activation("b").grad_bits == 9


def test_errors() -> None:
    with pytest.raises(LayerError) as caught:
        read(layer("r", "ReLU", "data", "x"))
    assert str(caught.value) == (
        "net.prototxt: has no weight layers, so that nothing costs anything"
    )
    with pytest.raises(FieldError, match=r'net.prototxt:3: layer "a" \(Convolution\): precision'):
        read(conv("a", "data", "precision_param { weight { } }"))
    with pytest.raises(UsageError, match='"other" cannot be an input'):
        net_cost(spec_of(conv("a", "data")), {"other": (1, 2)})
