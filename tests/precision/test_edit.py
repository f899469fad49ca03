"""Editing precisions in place: only touched lines change; plans, old names, and bad requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adaption.errors import FieldError, LayerError
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.options import Formats
from adaption.precision.edit import edit, edit_file
from adaption.precision.rewrite import rewrite, uniform_plan

NET = """name: "n"  # name
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }
layer {
  name: "conv1"
  type: "LPConvolution"
  bottom: "x"
  top: "conv1"
  lpfp_param {
    bd: 2   # with the sign
    ad: 14
    round_bias: false
  }
  convolution_param { num_output: 2 kernel_size: 3 }
}
layer {
  name: "act1"
  type: "LPAct"
  bottom: "conv1"
  top: "act1"
  lpfp_param { bd: 6 ad: 10 }
}
layer { name: "relu1" type: "ReLU" bottom: "act1" top: "act1" }
layer {
  name: "conv2"
  type: "Convolution"
  bottom: "act1"
  top: "conv2"
  convolution_param { num_output: 2 kernel_size: 3 }
}
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer {
  name: "fc"
  type: "LPInnerProduct"
  bottom: "conv2"
  top: "fc"
  lpfp_param { bd: 1 ad: 7 round_bias: true }
  inner_product_param { num_output: 3 }
}
"""


def net_file(text: str = NET) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def changed(text: str) -> list[str]:
    """The lines that a diff takes out and puts in, in order."""
    lines = [line for line in text.splitlines() if line[:1] in "+-"]
    return [line for line in lines if line[:3] not in ("+++", "---")]


@pytest.mark.parametrize(
    ("request_", "want"),
    [
        pytest.param(
            "conv1:weight=Q3.13",
            ["-    bd: 2   # with the sign", "-    ad: 14", "+    bd: 3   # with the sign",
             "+    ad: 13"],
            id="in place, the comment stays",
        ),
        pytest.param("conv1:weight=Q2.14", [], id="what it says already"),
        pytest.param(
            "conv1:activation=Q5.11",
            ["-  lpfp_param { bd: 6 ad: 10 }", "+  lpfp_param { bd: 5 ad: 11 }"],
            id="the LPAct behind a weight layer",
        ),
        pytest.param(
            "act*:activation=Q5.11",
            ["-  lpfp_param { bd: 6 ad: 10 }", "+  lpfp_param { bd: 5 ad: 11 }"],
            id="an LPAct by its own name",
        ),
        pytest.param(
            "conv1:round_bias=true", ["-    round_bias: false", "+    round_bias: true"],
            id="round_bias",
        ),
        pytest.param(
            "fc:weight=Q2.6",
            ["-  lpfp_param { bd: 1 ad: 7 round_bias: true }",
             "+  lpfp_param { bd: 2 ad: 6 round_bias: true }"],
            id="the bias goes with the weights",
        ),
        pytest.param(
            "fc:bias=Q4.12",
            ["-  lpfp_param { bd: 1 ad: 7 round_bias: true }",
             "+  lpfp_param { bd: 1 ad: 7 round_bias: false }",
             "+  precision_param {", "+    bias {", "+      kind: FIXED",
             "+      word_length: 16", "+      frac_length: 12", "+      rounding: HALF_AWAY",
             "+    }", "+  }"],
            id="a bias of its own format",
        ),
        pytest.param(
            "fc:weight=float",
            ['-  type: "LPInnerProduct"', '+  type: "InnerProduct"',
             "-  lpfp_param { bd: 1 ad: 7 round_bias: true }"],
            id="weights float, and the bias that shares their format",
        ),
        pytest.param(
            "conv2:weight=Q1.7",
            ['-  type: "Convolution"', '+  type: "LPConvolution"', "+  lpfp_param {", "+    bd: 1",
             "+    ad: 7", "+    round_bias: false", "+    rounding_scheme: DETERMINISTIC",
             "+  }"],
            id="a plain layer becomes low precision",
        ),
        pytest.param(
            "conv2:activation=Q1.7",
            ["+layer {", '+  name: "conv2_lpact"', '+  type: "LPAct"', '+  bottom: "conv2"',
             '+  top: "conv2"', "+  lpfp_param {", "+    bd: 1", "+    ad: 7",
             "+    rounding_scheme: DETERMINISTIC", "+  }", "+}"],
            id="an LPAct is put in",
        ),
        pytest.param(
            "act1:activation=float",
            ["-layer {", '-  name: "act1"', '-  type: "LPAct"', '-  bottom: "conv1"',
             '-  top: "act1"', "-  lpfp_param { bd: 6 ad: 10 }", "-}",
             '-layer { name: "relu1" type: "ReLU" bottom: "act1" top: "act1" }',
             '+layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }',
             '-  bottom: "act1"', '+  bottom: "conv1"'],
            id="an LPAct goes",
        ),
        pytest.param(
            "act1:activation=Q9.-1",
            ["-  lpfp_param { bd: 6 ad: 10 }", "+  precision_param {", "+    activation {",
             "+      kind: FIXED", "+      word_length: 8", "+      frac_length: -1",
             "+      rounding: HALF_AWAY", "+    }", "+  }"],
            id="what lpfp_param cannot say",
        ),
    ],
)  # fmt: skip
def test_one_request(request_: str, want: list[str]) -> None:
    made = edit(net_file(), [request_])
    assert changed(made.diff) == want
    assert bool(made.changes) == bool(want)


def test_all_is_what_is_low_precision_and_patterns_are_layers() -> None:
    made = edit(net_file(), ["all:rounding=stochastic", "conv*:weight=Q4.4"])
    types = {m.name: m.type for m in made.net.message.layer}
    assert types["conv2"] == "LPConvolution"
    found = {m.name: (m.lpfp_param.bd, m.lpfp_param.rounding_scheme)
             for m in made.net.message.layer if m.HasField("lpfp_param")}  # fmt: skip
    # The way of rounding stays when a format changes; a layer that gets its first rounds to nearest
    assert found == {"conv1": (4, 1), "act1": (6, 1), "conv2": (4, 0), "fc": (1, 1)}
    assert str(made.changes[0]) == "conv1: weight Q2.14 -> Q2.14 stochastic"


def test_precision_param_is_edited_in_place_too() -> None:
    text = NET.replace(
        "lpfp_param { bd: 6 ad: 10 }",
        "precision_param { activation { word_length: 8 # narrow\n kind: FIXED frac_length: -1 } }",
    )
    made = edit(net_file(text), ["act1:activation=Q10.-2", "act1:activation=Q11.-3"])
    assert "frac_length: -3" in made.net.text() and "# narrow" in made.net.text()
    assert len(changed(made.diff)) == 2


def test_plan_as_source_equals_rewriting() -> None:
    plain = rewrite(net_file())
    plan = uniform_plan(plain, weight=FixedPoint(8, 6), activation=FixedPoint(8, 4))
    made = edit(plain, plan=plan)
    assert made.net.message == rewrite(plain, plan).message


def test_what_a_plan_says_of_training_is_set_and_stays() -> None:
    plain = rewrite(net_file())
    plan = uniform_plan(plain, weight=FixedPoint(8, 6), activation=FixedPoint(8, 4))
    plan.formats = Formats(bits=8, backward_weights=True, mask_saturated=True)
    masked = edit(plain, plan=plan).net
    assert masked.message == rewrite(plain, plan).message
    later = edit(masked, ["fc:weight=Q2.7"]).net
    for made, weight in ((masked, FixedPoint(8, 6)), (later, FixedPoint(9, 7))):
        formats = {node.spec.name: node.formats for node in Net(made).nodes}["fc"]
        assert formats.weight == replace(weight, mask_saturated=True)
        assert formats.backward_weights == "QUANTIZED"


def test_files_from_before_the_sign_counted() -> None:
    """LP_VGG16_5_10: bd without the sign, so that 5_10 is Q6.10 today."""
    made = edit(net_file(), ["fc:weight=5_10"], import_names="sign-excluded")
    found = {m.name: m.lpfp_param.bd for m in made.net.message.layer if m.lpfp_param.bd}
    assert found == {"conv1": 3, "act1": 7, "fc": 6}
    again = edit(net_file(), ["fc:weight=5_10"])
    found = {m.name: m.lpfp_param.bd for m in again.net.message.layer if m.lpfp_param.bd}
    assert found == {"conv1": 2, "act1": 6, "fc": 5}


def test_files_and_dry_run(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    made = edit_file(path, ["conv1:weight=Q3.13"], dry_run=True)
    assert path.read_text() == NET
    assert made.diff.startswith(f"--- {path}\n+++ {path}\n@@ -6,8 +6,8 @@\n")
    edit_file(path, ["conv1:weight=Q3.13"], out=tmp_path / "out.prototxt")
    assert path.read_text() == NET
    edit_file(path, ["conv1:weight=Q3.13"])
    assert path.read_text() == (tmp_path / "out.prototxt").read_text() != NET


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        pytest.param(
            "conv1=Q2.14",
            "change is 'conv1=Q2.14', allowed: LAYER:POINT=VALUE, POINT one of weight, bias,"
            " activation, bottom, weight_grad, bias_grad, activation_grad, weight_accumulator,"
            " rounding, round_bias, backward_weights\n  fix: write conv*:weight=Q2.14,"
            " fc6:activation=Q5.11 or all:rounding=stochastic",
            id="no point",
        ),
        pytest.param(
            "conv1:weight=fine",
            "Qm.f is 'fine', allowed: two integers such as \"Q2.14\" (the sign bit counts in m)\n"
            "  fix: write m and f with a point between: 16 bits may be Q2.14, Q9.7, ...",
            id="no format",
        ),
        pytest.param(
            "fc:rounding=up",
            "rounding is 'up', allowed: deterministic, stochastic, half-even, floor",
            id="no rounding",
        ),
        pytest.param("fc:round_bias=1", "round_bias is '1', allowed: true, false", id="no bool"),
        pytest.param(
            "conv9:weight=Q2.14",
            'net.prototxt: no layer for "conv9:weight", did you mean "conv2" or "conv1"?\n'
            "  fix: name a weight layer, or for activation and rounding an LPAct: conv1, conv2, fc",
            id="no such layer",
        ),
        pytest.param(
            "relu9:activation=Q4.4",
            'net.prototxt: no layer for "relu9:activation"\n  fix: name a weight layer, or for'
            " activation and rounding an LPAct: conv1, act1, conv2, fc; `adaption rewrite` adds"
            " LPAct layers",
            id="nothing near",
        ),
        pytest.param(
            "conv9:rounding=floor",
            'net.prototxt: no layer for "conv9:rounding", did you mean "conv1"?\n  fix: name a'
            " weight layer, or for activation and rounding an LPAct: conv1, act1, fc",
            id="a layer that rounds",
        ),
        pytest.param(
            "conv2:round_bias=true",
            "net.prototxt: layer \"conv2\" (Convolution): round_bias is 'true', allowed: a layer"
            " whose weights have a format\n  fix: write conv*:weight=Q2.14, fc6:activation=Q5.11"
            " or all:rounding=stochastic",
            id="nothing to round with",
        ),
    ],
)
def test_requests_that_do_not_do(request_: str, message: str) -> None:
    with pytest.raises((FieldError, LayerError)) as caught:
        edit(net_file(), [request_])
    assert str(caught.value) == message


def test_where_nothing_rounds_yet() -> None:
    net = edit(net_file(), ["all:weight=float", "all:activation=float"]).net
    with pytest.raises(LayerError) as caught:
        edit(net, ["conv1:rounding=floor"])
    assert str(caught.value).endswith(
        'no layer for "conv1:rounding"\n  fix: no layer is low precision yet: first set a format,'
        " as in conv1:weight=Q2.14"
    )
