"""rewrite --recipe wrpn: which layers get which format, what is written, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption
from adaption.errors import AdaptionError, FieldError, KeywordError, UsageError
from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net, Point
from adaption.numerics import BinaryWeight, Wrpn
from adaption.options.recipes import make_recipe_options
from adaption.precision.recipe_rewrite import RecipeNets, rewrite_by_recipe
from adaption.precision.rewrite_files import rewrite_files
from tests.export.nets import input_layer, layer, net_of

MODELS = Path(__file__).resolve().parents[2] / "models"
DATA = input_layer("data", 2, 3, 8, 8)
FILLER = 'weight_filler { type: "xavier" }'
CONV = f'type: "Convolution" convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {FILLER} }}'
IP = f'type: "InnerProduct" inner_product_param {{ num_output: 5 {FILLER} }}'
RELU = 'type: "ReLU"'


def norm(blob: str) -> str:
    return layer(f"{blob}_bn", blob, blob, 'type: "BatchNorm"')


def chain(*middle: str) -> str:
    """Four convolutions with batch norm, each but the last with what `middle` says behind it."""
    text, bottom = DATA, "data"
    for i in range(1, 5):
        text += layer(f"c{i}", bottom, f"c{i}", CONV) + norm(f"c{i}")
        bottom = f"c{i}"
        if i < 4:
            text += layer(f"r{i}", bottom, bottom, middle[i - 1] if middle else RELU)
    return text


def file_of(text: str) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def write_recipe(nets: list[NetFile], choices: dict[str, Any]) -> RecipeNets:
    return rewrite_by_recipe(nets, make_recipe_options("wrpn", choices))


def rewritten(text: str, **choices: Any) -> tuple[str, dict[str, Any], list[str]]:
    """The new text, the rows by layer, and the warnings."""
    choices = {"weight_bits": 2, "activation_bits": 4, **choices}
    made = write_recipe([file_of(text)], choices)
    return made.nets[0].text(), made.layers, made.warnings


def formats(text: str) -> dict[Point, Any]:
    return dict(net_of(text).plan)


# -- which layers ----------------------------------------------------------------------------------


def test_first_and_last_stay_float_and_the_last_activation_is_clipped() -> None:
    text, rows, warnings = rewritten(chain())
    assert not warnings
    assert {name: (r["weight"], r["activation"], r["input"]) for name, r in rows.items()} == {
        "c1": ("float", "A4", "float"),
        "c2": ("W2", "A4", "A4"),
        "c3": ("W2", "float", "A4"),
        "c4": ("float", "float", "float"),
    }
    net = net_of(text)
    assert dict(net.plan) == {
        Point("c2", "weight"): Wrpn(2),
        Point("c3", "weight"): Wrpn(2),
        Point("r1", "activation"): Wrpn(4, is_signed=False),
        Point("r2", "activation"): Wrpn(4, is_signed=False),
    }
    types = {n.spec.name: n.spec.type for n in net.nodes if n.spec.name[0] == "r"}
    assert types == {"r1": "LPAct", "r2": "LPAct", "r3": "Clip"}
    sums = {n.spec.name: n.formats.backward_weights for n in net.nodes if n.spec.name in rows}
    assert sums == {"c1": "MASTER", "c2": "QUANTIZED", "c3": "QUANTIZED", "c4": "MASTER"}
    rng = np.random.default_rng(0)
    for name in ("c2", "c3"):
        blob = net.params[name][0].data
        blob[:] = rng.uniform(-1, 1, blob.shape)
    net.forward({"data": rng.normal(size=(2, 3, 8, 8)).astype(np.float32)})
    last = net.blobs["c3"].data
    assert last.min() == 0 and last.max() == 1 and len(np.unique(last)) > 20  # not rounded


@pytest.mark.parametrize(
    ("choices", "weights", "activations"),
    [
        ({"first_last": "quantized"}, "W2 W2 W2 W2", ("A4", "A4", "A4")),
        ({"first_activation": "float"}, "float W2 W2 float", ("clip", "A4", "clip")),
        ({"weight_bits": 32}, "float float float float", ("A4", "A4", "clip")),
        ({"activation_bits": 32}, "float W2 W2 float", ("ReLU", "ReLU", "ReLU")),
        ({"activation_bits": "32", "weight_bits": "32"}, "float float float float", ("ReLU",) * 3),
        ({"weight_bits": 1, "activation_bits": 1}, "float W1 W1 float", ("A1", "A1", "clip")),
    ],
)
def test_choices(choices: dict[str, Any], weights: str, activations: tuple[str, ...]) -> None:
    text, rows, _ = rewritten(chain(), **choices)
    assert " ".join(row["weight"] for row in rows.values()) == weights
    nodes = {n.spec.name: n for n in net_of(text).nodes}
    for name, want in zip(("r1", "r2", "r3"), activations, strict=True):
        fmt, kind = nodes[name].formats.activation, nodes[name].spec.type
        assert want == (str(fmt) if fmt else {"Clip": "clip", "ReLU": "ReLU"}[kind])
    if choices.get("weight_bits") == choices.get("activation_bits") == "32":
        assert text == chain()


def test_one_bit_per_layer_or_per_filter() -> None:
    for per_filter in (False, True):
        text, _, warnings = rewritten(chain(), weight_bits=1, per_filter=per_filter)
        assert formats(text)[Point("c2", "weight")] == BinaryWeight(per_filter)
        assert not warnings
    third = layer("c3", "c2", "c3", CONV)
    up = chain().replace(third, third.replace("Convolution", "Deconvolution"))
    text, _, warnings = rewritten(up, weight_bits=1, per_filter=True)
    assert formats(text)[Point("c3", "weight")] == BinaryWeight(False)
    assert warnings == [
        'layer "c3" (Deconvolution) has one scale for all its filters: they are not the first axis'
        " of its weight"
    ]


def test_in_place_or_not_comments_and_order_stay() -> None:
    text = DATA + layer("c1", "data", "c1", CONV) + norm("c1")
    text += '# the clip\nlayer { name: "r1" type: "ReLU"  bottom: "c1" top: "r1"  # 1\n'
    text += "  relu_param { engine: CAFFE }\n}\n"
    text += layer("c2", "r1", "c2", CONV) + norm("c2") + layer("r2", "c2", "c2", RELU)
    text += layer("ip", "c2", "ip", IP)
    new, rows, warnings = rewritten(text)
    assert not warnings and rows["c1"]["activation"] == "A4"
    before, after = text.splitlines(), new.splitlines()
    assert [x for x in before if x not in after] == [
        '# the clip\nlayer { name: "r1" type: "ReLU"  bottom: "c1" top: "r1"  # 1'.splitlines()[1],
        "  relu_param { engine: CAFFE }",
        *(x for x in before if '"c2"' in x and ("ReLU" in x or "Convolution" in x)),
    ]
    assert '# the clip\nlayer { name: "r1" type: "LPAct"  bottom: "c1" top: "r1"  # 1\n' in new
    net = net_of(new)
    net.forward({"data": np.full((2, 3, 8, 8), 0.7, np.float32)})
    assert not np.array_equal(net.blobs["c1"].data, net.blobs["r1"].data)


@pytest.mark.parametrize(
    ("name", "floats", "clipped", "said"),
    [
        ("cifar10_resnet20", ["conv1", "ip"], ["res4c_relu"], []),
        ("mobilenet", ["conv1", "fc7"], ["relu6/sep"], []),
        ("squeezenet", ["conv1", "conv10"], ["fire9/relu_expand1x1", "fire9/relu_expand3x3"],
         ["relu_conv10", "no batch norm stands"]),
        ("googlenet", ["conv1/7x7_s2", "loss1/classifier", "loss2/classifier", "loss3/classifier"],
         None, ["pool1/norm1", "conv2/norm2", "no batch norm"]),
        ("lenet", ["conv1", "ip2"], ["relu1"], ["conv1", "conv2", "no batch norm"]),
    ],
)  # fmt: skip
def test_models(
    name: str, floats: list[str], clipped: list[str] | None, said: list[str], tmp_path: Path
) -> None:
    """ResNet, depthwise, concatenating nets; several last layers; training and deploy in step."""
    train, deploy = tmp_path / "train.prototxt", tmp_path / "deploy.prototxt"
    made = rewrite_files(
        MODELS / name / "train_val.prototxt",
        train,
        recipe="wrpn",
        weight_bits=2,
        activation_bits=4,
        also=[(MODELS / name / "deploy.prototxt", deploy)],
    )
    assert made.files == [train, deploy]
    assert [name for name, row in made.layers.items() if row["weight"] == "float"] == floats
    assert all(row["weight"] in ("float", "W2") for row in made.layers.values())
    texts = [file.read_text(encoding="utf-8") for file in made.files]
    messages = [adaption.read_net(file).message for file in made.files]
    clips = [[x.name for x in message.layer if x.type == "Clip"] for message in messages]
    if clipped is not None:
        assert clips == [clipped, clipped]
    assert all(any(want in warning for want in said) for warning in made.warnings)
    assert all(any(want in warning for warning in made.warnings) for want in said)
    shared = {x.name: x for x in messages[0].layer if x.HasField("precision_param")}
    for other in messages[1].layer:
        if other.name in shared and other.HasField("precision_param"):
            assert other.precision_param == shared[other.name].precision_param
            assert other.type == shared[other.name].type
    assert ("LPAct" in texts[0]) == (name != "lenet")  # whose one ReLU is the last
    assert Net(deploy).plan  # it can be built


def test_pre_activation_nets() -> None:
    """The first activation is the one that sees the first layer alone."""
    text = DATA + layer("c0", "data", "c0", CONV)
    bottom = "c0"
    for i in (1, 2):
        text += layer(f"b{i}", bottom, f"b{i}", 'type: "BatchNorm"')
        text += layer(f"r{i}", f"b{i}", f"b{i}", RELU) + layer(f"c{i}", f"b{i}", f"c{i}", CONV)
        text += layer(f"s{i}", f"{bottom} c{i}", f"s{i}", 'type: "Eltwise"')
        bottom = f"s{i}"
    text += layer("b3", bottom, "b3", 'type: "BatchNorm"') + layer("r3", "b3", "b3", RELU)
    text += layer("ip", "b3", "ip", IP)
    new, rows, warnings = rewritten(text, first_activation="float")
    assert not warnings
    found = {n.spec.name: (n.spec.type, str(n.formats.activation)) for n in net_of(new).nodes}
    assert [found[f"r{i}"] for i in (1, 2, 3)] == [
        ("Clip", "None"), ("LPAct", "A4"), ("Clip", "None"),
    ]  # fmt: skip
    assert [rows[n]["weight"] for n in ("c0", "c1", "c2", "ip")] == ["float", "W2", "W2", "float"]


def test_what_companions_share_is_decided_in_the_first_net() -> None:
    deploy = DATA + layer("c1", "data", "c1", CONV) + norm("c1") + layer("r1", "c1", "c1", RELU)
    longer = deploy + layer("c2", "c1", "c2", CONV) + norm("c2") + layer("r2", "c2", "c2", RELU)
    longer += layer("c3", "c2", "c3", CONV)
    shorter = longer.replace(layer("c3", "c2", "c3", CONV), "")
    choices = {"weight_bits": 4, "activation_bits": 4}
    made = write_recipe([file_of(longer), file_of(shorter)], choices)
    plans = [formats(file.text()) for file in made.nets]
    assert plans[0][Point("c2", "weight")] == plans[1][Point("c2", "weight")] == Wrpn(4)
    types = [{n.spec.name: n.spec.type for n in net_of(f.text()).nodes} for f in made.nets]
    assert types[0]["r2"] == types[1]["r2"] == "Clip"


# -- what is said ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "neuron",
    [
        'type: "ReLU" relu_param { negative_slope: 0.1 }',
        'type: "PReLU"',
        'type: "ELU"',
        'type: "Sigmoid"',
    ],
)
def test_other_neurons_stay_and_are_named(neuron: str) -> None:
    text, rows, warnings = rewritten(chain(RELU, neuron, RELU))
    kind = neuron.split('"')[1]
    assert neuron in text and rows["c2"]["activation"] == rows["c3"]["input"] == "float"
    assert warnings == [
        'layer "c3" reads values that are not rounded: no ReLU stands between it and "r2"'
        f" ({kind})",
        f'layer "r2" ({kind}) stays as it is, and is not rounded: the clip to [0, 1] replaces ReLU,'
        " ReLU6 and Clip from 0 on",
    ]


@pytest.mark.parametrize(
    "neuron",
    [
        'type: "ReLU6"',
        'type: "ReLU" relu_param { relu6: true }',
        'type: "Clip" clip_param { min: 0 max: 2 }',
        'type: "Clip" clip_param { min: 0 max: 1 }',
    ],
)
def test_rectifiers_with_a_bound_become_the_clip(neuron: str) -> None:
    text, rows, warnings = rewritten(chain(neuron, RELU, neuron))
    assert not warnings and rows["c1"]["activation"] == "A4"
    assert [n.spec.type for n in net_of(text).nodes if n.spec.name in ("r1", "r3")] == [
        "LPAct", "Clip",
    ]  # fmt: skip
    assert neuron not in text or "max: 1 }" in neuron
    assert "relu6" not in text.lower()


def test_layers_without_a_relu_before_them_are_named() -> None:
    text = chain().replace(layer("r2", "c2", "c2", RELU), "")
    _, rows, warnings = rewritten(text)
    assert rows["c3"]["input"] == "float"
    assert warnings == [
        'layer "c3" reads values that are not rounded: no ReLU stands between it and "c2_bn"'
        " (BatchNorm)"
    ]


def test_a_result_of_the_net_is_not_clipped() -> None:
    text, _, warnings = rewritten(chain() + layer("r4", "c4", "c4", RELU))
    assert layer("r4", "c4", "c4", RELU) in text
    assert warnings == [
        'layer "r4" (ReLU) stays as it is: no weight layer reads what it gives',
    ]


def test_formats_that_stand_there_stay() -> None:
    once, _, _ = rewritten(chain(), weight_bits=4)
    again, rows, warnings = rewritten(once, weight_bits=2, activation_bits=2)
    assert again == once and rows["c2"]["weight"] == "W4"
    assert warnings[:2] == [
        'layer "c2" states a format of its weight already (W4), which stays',
        'layer "c3" states a format of its weight already (W4), which stays',
    ]


def test_layers_without_batch_norm_are_named() -> None:
    text = chain().replace(norm("c2"), "")
    assert rewritten(text)[2] == [
        'no batch norm stands behind layers whose weights start uniform in -1..1: "c2"; their sums'
        " may start far beyond [0, 1] (--keep-fillers leaves the fillers)"
    ]
    kept = rewritten(text, keep_fillers=True)
    assert not any("no batch norm" in w for w in kept[2])


# -- fillers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "share"), [(1, 0.0), (2, 0.5), (3, 1 / 6), (4, 1 / 14)])
def test_fillers_become_uniform(bits: int, share: float) -> None:
    loss = layer("loss", "c4", "loss", 'type: "EuclideanLoss"').replace(
        'bottom: "c4"', 'bottom: "c4" bottom: "c4"'
    )
    text, rows, warnings = rewritten(chain() + loss, weight_bits=bits)
    assert text.count('weight_filler { type: "uniform" min: -1 max: 1 }') == 2
    assert text.count('"xavier"') == 2 and not warnings
    assert [row["zero_share_at_start"] for row in rows.values()] == [
        None, pytest.approx(share), pytest.approx(share), None,
    ]  # fmt: skip
    net = Net(build_spec(file_of(text).message, NetState("TEST")), seed=1)
    weights = net.params["c2"][0].data
    assert weights.min() < -0.9 and weights.max() > 0.9


def test_kept_fillers_that_round_to_zero_are_a_warning() -> None:
    text, rows, warnings = rewritten(chain(), keep_fillers=True)
    assert text.count('"xavier"') == 4
    assert rows["c2"]["zero_share_at_start"] == 1.0  # uniform in +- sqrt(3 / 36)
    assert warnings == [
        'most weights start in the zero level of their WRPN format: "c2" 100%, "c3" 100%; initial'
        ' values uniform in -1..1 train better (weight_filler { type: "uniform" min: -1 max: 1 })'
    ]


def test_shapes_come_from_a_companion_where_data_is_missing() -> None:
    train, deploy = (
        adaption.read_net(MODELS / f"cifar10_resnet20/{name}.prototxt")
        for name in ("train_val", "deploy")
    )
    choices = {"weight_bits": 2, "activation_bits": 4, "keep_fillers": True}
    alone = write_recipe([train], choices)
    (warning,) = alone.warnings
    assert warning.startswith(
        'how many weights start in the zero level is not known of "res2a_conv1", "res2a_conv2"'
    )
    assert {row["zero_share_at_start"] for row in alone.layers.values()} == {None}
    both = write_recipe([train, deploy], choices)
    assert list(both.layers.values())[1]["zero_share_at_start"] > 0.99 and len(both.warnings) == 1
    assert both.warnings[0].startswith("most weights start in the zero level")


def test_a_deploy_net_gets_a_filler_and_has_no_share_with_its_own() -> None:
    text = chain().replace(FILLER, "")
    new, rows, _ = rewritten(text)
    assert new.count("weight_filler") == 2 and rows["c2"]["zero_share_at_start"] == 0.5
    new, rows, warnings = rewritten(text, keep_fillers=True)
    assert "weight_filler" not in new and rows["c2"]["zero_share_at_start"] is None
    assert not warnings


def test_shares_of_given_weights(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(chain(), encoding="utf-8")
    net = Net(tmp_path / "net.prototxt")
    net.params["c2"][0].data[:] = np.linspace(-1, 1, net.params["c2"][0].count).reshape(4, 4, 3, 3)
    net.save(tmp_path / "net.caffemodel")
    made = rewrite_files(
        tmp_path / "net.prototxt", tmp_path / "low.prototxt", recipe="wrpn", weight_bits=2,
        activation_bits=4, weights=tmp_path / "net.caffemodel",
    )  # fmt: skip
    shares = {name: row["zero_share_at_start"] for name, row in made.layers.items()}
    assert shares["c2"] == 0.5 and shares["c3"] == 1.0
    assert [w for w in made.warnings if '"c3" 100%' in w and '"c2"' not in w]


# -- and back --------------------------------------------------------------------------------------


def test_to_float_keeps_the_clip() -> None:
    low, _, _ = rewritten(chain())
    made = adaption.rewrite(file_of(low))
    kinds = {x.name: x.type for x in made.message.layer}
    assert [kinds[f"r{i}"] for i in (1, 2, 3)] == ["Clip"] * 3
    assert not any(x.HasField("precision_param") for x in made.message.layer)
    assert rewritten(made.text())[1] == rewritten(chain())[1]


def test_to_float_keeps_the_clip_of_any_layer() -> None:
    point = "precision_param { activation { kind: WRPN word_length: 3 is_signed: false } }"
    text = DATA + layer("c1", "data", "c1", f"{CONV} {point}") + layer("c2", "c1", "c2", CONV)
    made = adaption.rewrite(file_of(text))
    assert [(x.name, x.type) for x in made.message.layer][2] == ("c1_clip", "Clip")
    net = net_of(made.text())
    net.forward({"data": np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)})
    assert 0 <= net.blobs["c1"].data.min() and net.blobs["c1"].data.max() <= 1
    with pytest.raises(AdaptionError, match="bottom format A3 clips what it reads"):
        adaption.rewrite(file_of(text.replace("activation {", "bottom {")))


# -- calls -----------------------------------------------------------------------------------------


def test_python_call() -> None:
    made = adaption.rewrite(file_of(chain()), recipe="wrpn", weight_bits=2, activation_bits=4)
    assert made.text() == rewritten(chain())[0]


@pytest.mark.parametrize(
    ("choices", "error", "text"),
    [
        ({"recipe": "wrpn"}, UsageError, "recipe wrpn needs weight_bits and activation_bits"),
        ({"recipe": "wrpn", "weight_bits": 2}, UsageError, "recipe wrpn needs activation_bits"),
        ({"recipe": "xyz"}, FieldError, "recipe is 'xyz', allowed: sdfp, wrpn"),
        ({"recipe": "wrpn", "weight_bits": 17, "activation_bits": 4}, FieldError,
         "weight_bits is 17, allowed: 1..16, or 32 for float"),
        ({"recipe": "wrpn", "first_last": "none"}, FieldError, "allowed: float, quantized"),
        ({"recipe": "wrpn", "bits_of_weights": 2}, KeywordError, "takes no bits_of_weights"),
        ({"weight_bits": 2}, UsageError, "without a recipe there is no weight_bits"),
    ],
)  # fmt: skip
def test_wrong_calls(choices: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text.replace("(", r"\(")):
        adaption.rewrite(file_of(chain()), **choices)


def test_a_recipe_goes_alone(tmp_path: Path) -> None:
    net = MODELS / "lenet/deploy.prototxt"
    with pytest.raises(
        UsageError, match="a recipe says what to rewrite to; exclude cannot be given"
    ):
        rewrite_files(net, tmp_path / "o", recipe="wrpn", weight_bits=2, activation_bits=2,
                      exclude=["conv1"])  # fmt: skip
    with pytest.raises(UsageError, match="without a recipe there is no weight_bits"):
        rewrite_files(net, tmp_path / "o", to_float=True, weight_bits=2)
    assert not (tmp_path / "o").exists()
