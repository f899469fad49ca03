"""Net descriptors: grammar, extract, create, round trip; the original's files byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adaption.errors import FieldError, LayerError, UsageError
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.precision.original.create import create
from adaption.precision.original.descriptor import Conv, Dropout, Fc, Pool, Word, parse_token
from adaption.precision.original.extract import extract
from adaption.precision.original.style import original_style
from adaption.precision.rewrite import uniform_plan

GOLDEN = Path(__file__).resolve().parents[4] / "shared/golden/quantization"
CREATED = sorted(path.stem for path in GOLDEN.glob("create_*.json")) or ["none"]
EXTRACTED = sorted(path.name for path in GOLDEN.glob("*_descriptor.json")) or ["none"]
Q = FixedPoint.q("2.14")


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("64C3S1p1", Conv(64, (3, 3), (1, 1), (1, 1))),
        ("24C5S2", Conv(24, (5, 5), (2, 2))),
        ("96C11S14p0", Conv(96, (11, 11), (14, 14))),
        ("256C5S1p2g2", Conv(256, (5, 5), (1, 1), (2, 2), 2)),
        ("8C1x7S1p0x3d2n", Conv(8, (1, 7), (1, 1), (0, 3), 1, (2, 2), False)),
        ("4096F", Fc(4096)),
        ("10Fn", Fc(10, False)),
        ("2P2", Pool((2, 2), (2, 2))),
        ("3P2p1a", Pool((3, 3), (2, 2), (1, 1), "AVE")),
        ("3x2P2s", Pool((3, 2), (2, 2), (0, 0), "STOCHASTIC")),
        ("GPa", Pool(None, method="AVE")),
        ("D5", Dropout("5")),
        ("D25", Dropout("25")),
        ("A", Word("A")),
        ("norm(local_size=3,alpha=5e-05)", Word("norm", {"local_size": "3", "alpha": "5e-05"})),
        ("ReLU(negative_slope=0.1)", Word("ReLU", {"negative_slope": "0.1"})),
    ],
)
def test_grammar(text: str, token: object) -> None:
    found = parse_token(text)
    assert found == token
    assert parse_token(str(found)) == token


@pytest.mark.parametrize(
    "text", ["", "64C3", "C3S1", "2P", "F", "Dx", "relu", "norm(size=3)", "norm(alpha)", "A(k=1)"]
)
def test_strings_that_the_grammar_lacks(text: str) -> None:
    with pytest.raises(FieldError, match=r"^net descriptor is "):
        parse_token(text)


VGG16 = [
    *("64C3S1p1 A ReLU " * 2 + "2P2 " + "128C3S1p1 A ReLU " * 2 + "2P2 ").split(),
    *("256C3S1p1 A ReLU " * 3 + "2P2 " + ("512C3S1p1 A ReLU " * 3 + "2P2 ") * 2).split(),
    *("4096F A ReLU D5 " * 2 + "1000F Accuracy loss").split(),
]
ALEXNET = (
    "96C11S4p0 A ReLU norm 3P2 256C5S1p2g2 A ReLU norm 3P2 384C3S1p1 A ReLU 384C3S1p1g2 A ReLU"
    " 256C3S1p1g2 A ReLU 3P2 4096F A ReLU D5 4096F A ReLU D5 1000F Accuracy loss"
).split()
ODD = (
    "8C3x1S2p1x0d2n bnorm scale A ReLU(negative_slope=0.1) 3P2p1a 4C1S1p0 A TanH GPa D25 7Fn A"
    " Sigmoid norm(local_size=3,alpha=5e-05) 5F Accuracy loss"
).split()


@pytest.mark.parametrize("descriptor", [VGG16, ALEXNET, ODD], ids=["VGG16", "AlexNet", "odd"])
@pytest.mark.parametrize("lp", [True, False])
def test_extract_of_created_is_the_descriptor(descriptor: list[str], lp: bool) -> None:
    made = create("net", descriptor, [Q], [Q], lp=lp)
    found = extract(net_file(made.text), "train")
    assert found == descriptor
    if not lp:
        assert "LP" not in made.text


def net_file(text: str) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def names(text: str) -> list[str]:
    return [message.name for message in net_file(text).message.layer if message.bottom]


def test_names_of_vgg16_are_the_originals() -> None:
    made = create("VGG16", VGG16, [Q], [FixedPoint.q("3.13")], mode="deploy")
    assert made.file_name == "LP_VGG16_16_bit_deploy.prototxt"
    assert made.text.count("lpfp_param") == 31  # 16 of weights, 15 of results
    found = names(made.text)
    assert found[:6] == ["conv_lp_1", "act_lp_2", "relu_3", "conv_lp_3", "act_lp_4", "relu_5"]
    pools = [name for name in found if name.startswith("pool")]
    assert pools == ["pool_5", "pool_10", "pool_17", "pool_24", "pool_31"]
    weights = [name for name in found if "_lp_" in name and not name.startswith("act")]
    assert len(weights) == 16 and weights[-1] == "fc_lp_36"


def test_names_of_alexnet_are_the_originals() -> None:
    found = names(create("AlexNet", ALEXNET, [Q], [Q]).text)
    places = [name for name in found if name.startswith(("norm", "pool", "conv", "fc"))]
    assert places == [
        "conv_lp_1", "norm_3", "pool_4", "conv_lp_5", "norm_7", "pool_8", "conv_lp_9",
        "conv_lp_11", "conv_lp_13", "pool_15", "fc_lp_16", "fc_lp_18", "fc_lp_20",
    ]  # fmt: skip


def test_formats_layer_by_layer() -> None:
    weights = [FixedPoint.q(f"{m}.{16 - m}") for m in (1, 2)]
    activations = [FixedPoint.q("5.11", "stochastic")]
    made = create("n", ["4C3S1", "A", "ReLU", "2F"], weights, activations)
    found = [
        (m.name, m.lpfp_param.bd, m.lpfp_param.rounding_scheme)
        for m in net_file(made.text).message.layer
        if m.HasField("lpfp_param")
    ]
    assert found == [("conv_lp_1", 1, 0), ("act_lp_2", 5, 1), ("fc_lp_3", 2, 0)]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        pytest.param([Q, Q], "weights is '2 formats', allowed: one for all, or one each of 3"),
        pytest.param([], "weights is '0 formats', allowed: one for all, or one each of 3"),
        pytest.param(
            [FixedPoint(8, -2)],
            "weights is 'Q10.-2', allowed: m 1..31 and f 0..30, what lpfp_param can say\n"
            "  fix: create a float net, and rewrite it: that writes precision_param",
        ),
    ],
    ids=["too few", "none", "not sayable"],
)
def test_formats_that_do_not_do(weights: list[FixedPoint], message: str) -> None:
    with pytest.raises(FieldError) as caught:
        create("n", ["4C3S1", "4C3S1", "2F"], weights)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"mode": "deplyo"},
            "mode is 'deplyo', allowed: train, deploy, vis\n  fix: did you mean deploy?",
        ),
        ({"filler": "msra"}, "filler is 'msra', allowed: xavier, gaussian"),
    ],
    ids=["mode", "filler"],
)
def test_an_unknown_mode_or_filler(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create("n", ["4C3S1"], lp=False, **choice)
    assert str(caught.value) == message


DEFECTS = [
    pytest.param(["4C3S1p1"], {"filler": "gaussian"}, "    pad: 1\n", id="gaussian loses pad"),
    pytest.param(["4C3S12"], {}, "    stride: 12\n", id="stride keeps one digit"),
    pytest.param(["4F", "D3", "2F"], {}, '"fc_lp_2"\n  type: "LPInner', id="dropout advances"),
    pytest.param(["ReLU", "4F"], {}, '"relu_1"', id="first layers are lost"),
    pytest.param(["4F", "RoI"], {}, "    spatial_scale: 0.0625\n", id="RoI scale"),
    pytest.param(["4F", "A"], {}, "    bd: 5\n", id="global Q of activations"),
]


@pytest.mark.parametrize(("descriptor", "settings", "meant"), DEFECTS)
def test_defects_of_the_original(
    descriptor: list[str], settings: dict[str, Any], meant: str
) -> None:
    """Each is mended, and comes back with original_semantics."""
    for original in (False, True):
        made = create(
            "n", descriptor, [Q], [FixedPoint.q("5.11")], original_semantics=original, **settings
        )
        assert (meant in made.text) is not original


def test_original_takes_a_out_of_the_callers_list() -> None:
    kept, taken = ["4F", "A", "2F"], ["4F", "A", "2F"]
    create("n", kept, lp=False)
    create("n", taken, lp=False, original_semantics=True)
    assert (kept, taken) == (["4F", "A", "2F"], ["4F", "2F"])


@pytest.mark.parametrize("case", CREATED)
@pytest.mark.parametrize("original", [True, False], ids=["original", "as meant"])
def test_golden_prototxts(case: str, original: bool, shared: Path) -> None:
    golden = shared / "golden/quantization"
    recorded = json.loads((golden / f"{case}.json").read_text())
    arguments, descriptor = recorded["args"], list(recorded["descriptor"])
    made = create(
        case,
        descriptor,
        _formats(arguments, "bit_distribution_weights"),
        _formats(arguments, "bit_distribution_act"),
        mode=("vis" if arguments.get("visualize") else "deploy")
        if arguments.get("deploy")
        else "train",
        lp=arguments.get("lp", True),
        scale=arguments.get("scale", True),
        filler=arguments.get("init_method", "xavier"),
        round_bias=arguments.get("round_bias") == "true",
        header_folder=golden / "layers",
        original_semantics=original,
    )
    assert [made.file_name] == recorded["output_file"]
    assert made.text == (golden / made.file_name).read_text()
    if original:
        assert descriptor == recorded["descriptor_after_call"]


def _formats(arguments: dict[str, Any], name: str) -> list[FixedPoint]:
    scheme = "stochastic" if arguments.get("rounding_scheme") == "STOCHASTIC" else "half_away"
    rows = arguments.get(name) or [[], []]
    return [FixedPoint(bd + ad, ad, scheme) for bd, ad in zip(*rows, strict=True)]


@pytest.mark.parametrize("file", EXTRACTED)
def test_golden_descriptors(file: str, shared: Path) -> None:
    golden = shared / "golden/quantization"
    net = golden / file.replace("_descriptor.json", "_deploy.prototxt")
    for mode, want in json.loads((golden / file).read_text()).items():
        assert extract(net, mode, original_semantics=True) == want


def test_original_extract_loses_the_places_of_lpact() -> None:
    """It emits A behind inner products of more than 1001 outputs, whatever the net has."""
    text = create("n", ["12F", "A", "ReLU", "4F"], [Q], [Q]).text
    assert extract(net_file(text)) == ["12F", "A", "ReLU", "4F"]
    assert extract(net_file(text), original_semantics=True) == ["12F", "ReLU", "4F"]


CHAIN = """name: "small"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" inner_product_param { num_output: 2 } }
layer { name: "p" type: "Softmax" bottom: "f" top: "p" }
"""


def test_original_style_keeps_the_nets_data_layer() -> None:
    net = net_file(CHAIN)
    plan = uniform_plan(net, weight=Q, activation=FixedPoint.q("4.12"))
    made = original_style(net, plan)
    assert made.file_name == "LP_small_16_bit_deploy.prototxt"
    assert CHAIN.splitlines()[1] in made.text
    assert names(made.text) == ["conv_lp_1", "act_lp_2", "relu_3", "fc_lp_3", "prob"]
    low = Net(net_file(made.text))
    assert low.outputs == ("prob",)
    formats = {n.spec.name: str(n.formats.weight or n.formats.activation) for n in low.nodes}
    assert formats["fc_lp_3"] == "Q2.14" and formats["act_lp_2"] == "Q4.12"
    del plan.choices[Point("f", "weight")]
    with pytest.raises(Exception, match='the plan has no weight format for layer "f"'):
        original_style(net, plan)


def test_branches_are_no_descriptor() -> None:
    text = CHAIN.replace('bottom: "c" top: "f"', 'bottom: "x" top: "f"')
    with pytest.raises(LayerError) as caught:
        extract(net_file(text))
    assert str(caught.value) == (
        'net.prototxt:6: layer "f" (InnerProduct): reads "x", allowed: a chain, where it reads "c"'
        "\n  fix: a descriptor says no branches; rewrite the prototxt itself"
    )


@pytest.mark.parametrize(
    ("zoo", "descriptor"), [("vgg16_train_val", VGG16), ("alexnet_train_val", ALEXNET)]
)
def test_published_nets(zoo: str, descriptor: list[str], shared: Path) -> None:
    path = shared / f"zoo/{zoo}.prototxt"
    if not path.exists():
        pytest.skip(f"no published nets at {path.parent}")
    assert extract(path, "train") == descriptor
