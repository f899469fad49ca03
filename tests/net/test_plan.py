"""Formats from lpfp_param and precision_param, and the whole message where they are wrong."""

from __future__ import annotations

import pytest

from adaption.errors import FieldError
from adaption.net import Net, Point
from adaption.net.plan import KINDS, LayerFormats
from adaption.numerics import FixedPoint
from tests.net.nets import data, layer, net_of

IP = "inner_product_param { num_output: 2 }"
Q = FixedPoint.q


def net_with(kind: str, more: str, **options: object) -> Net:
    param = "" if kind == "LPAct" else IP
    return net_of(data(1, 2) + layer(kind, "l", "data", more=f"{param} {more}"), **options)


def formats(kind: str, more: str, **options: object) -> LayerFormats:
    return net_with(kind, more, **options).nodes[1].formats


@pytest.mark.parametrize(
    ("kind", "more", "want"),
    [
        ("InnerProduct", "", LayerFormats()),
        ("InnerProduct", "lpfp_param { bd: 2 ad: 2 }", LayerFormats()),
        ("LPInnerProduct", "lpfp_param { bd: 2 ad: 14 }", LayerFormats(Q("2.14"))),
        (
            "LPInnerProduct",
            "lpfp_param { bd: 2 ad: 14 round_bias: true }",
            LayerFormats(Q("2.14"), Q("2.14")),
        ),
        ("LPInnerProduct", "lpfp_param { bd: 3 }", LayerFormats(Q("3.0"))),
        (
            "LPInnerProduct",
            "lpfp_param { bd: 2 ad: 2 rounding_scheme: STOCHASTIC }",
            LayerFormats(Q("2.2", "stochastic")),
        ),
        ("LPAct", "lpfp_param { bd: 6 ad: 10 }", LayerFormats(activation=Q("6.10"))),
        ("LPAct", "lpfp_param { bd: 6 ad: 10 round_bias: true }",
         LayerFormats(activation=Q("6.10"))),
        (
            "LPAct",
            "lp_act_param { bd: 1 ad: 1 } lpfp_param { bd: 6 ad: 10 }",
            LayerFormats(activation=Q("6.10")),
        ),
        (
            "InnerProduct",
            "precision_param { weight { kind: FIXED word_length: 8 frac_length: -2"
            " rounding: HALF_EVEN range: FULL } activation { kind: FIXED word_length: 8"
            " frac_length: 4 is_signed: false } bias { kind: FLOAT } }",
            LayerFormats(
                FixedPoint(8, -2, "half_even", range="full"),
                None,
                FixedPoint(8, 4, is_signed=False),
            ),
        ),
        (
            "LPInnerProduct",
            "lpfp_param { bd: 2 ad: 2 round_bias: true } precision_param { bias { kind: FIXED"
            " word_length: 8 frac_length: 4 } }",
            LayerFormats(Q("2.2"), Q("4.4")),
        ),
        (
            "LPInnerProduct",
            "lpfp_param { bd: 2 ad: 2 round_bias: true } precision_param { bias { kind: FLOAT } }",
            LayerFormats(Q("2.2")),
        ),
        (
            "LPInnerProduct",
            "precision_param { weight { kind: FIXED word_length: 8 frac_length: -2 } }",
            LayerFormats(FixedPoint(8, -2)),
        ),
    ],
)  # fmt: skip
def test_formats(kind: str, more: str, want: LayerFormats) -> None:
    assert formats(kind, more) == want


def test_original_semantics_floors_where_stochastic_was_meant() -> None:
    text = "lpfp_param { bd: 2 ad: 2 rounding_scheme: STOCHASTIC }"
    assert formats("LPAct", text, original_semantics=True).activation == Q("2.2", "floor")


BITS = '\n  fix: for 16 bits write "bd: 2 ad: 14" (Q2.14)'
SIGN = "1..31 (integer bits, the sign bit counts)"


@pytest.mark.parametrize(
    ("more", "want"),
    [
        ("", f"lpfp_param.bd is 0, allowed: {SIGN}{BITS}"),
        ("lpfp_param { ad: 2 }", f"lpfp_param.bd is 0, allowed: {SIGN}{BITS}"),
        ("lpfp_param { bd: 32 }", f"lpfp_param.bd is 32, allowed: {SIGN}{BITS}"),
        (
            "lpfp_param { bd: 2 ad: 31 }",
            f"lpfp_param.ad is 31, allowed: 0..30 (fractional bits){BITS}",
        ),
        (
            "precision_param { weight { kind: FIXED word_length: 65 frac_length: 0 } }",
            "precision_param.weight.word_length is 65, allowed: 1..64",
        ),
        (
            "precision_param { bias { kind: FIXED word_length: 8 frac_length: 300 } }",
            "precision_param.bias.frac_length is 300, allowed: -127..126",
        ),
        (
            "precision_param { weight { word_length: 8 frac_length: 7 } }",
            "precision_param.weight.kind is 'not set', allowed: FLOAT, FIXED, DYNAMIC_FIXED,"
            " SHIFTED_DYNAMIC_FIXED, WRPN\n"
            "  fix: write kind: FIXED beside word_length and frac_length",
        ),
        (
            "precision_param { weight { kind: WRPN word_length: 4 frac_length: 2 } }",
            "precision_param.weight.frac_length is 2, allowed: nothing with kind WRPN"
            " (word_length, rounding, is_signed, mask_saturated)",
        ),
        (
            "precision_param { weight { kind: WRPN word_length: 17 } }",
            "precision_param.weight.word_length is 17, allowed: 2..16 with WRPN",
        ),
        (
            "precision_param { weight { kind: WRPN word_length: 4 is_signed: false } }",
            "precision_param.weight is 'A4', allowed: the weight rule of WRPN (is_signed: true)",
        ),
        (
            "precision_param { activation { kind: WRPN word_length: 1 } }",
            "precision_param.activation is 'W1', allowed: WRPN with one bit only at weight",
        ),
        (
            "precision_param { weight_grad { kind: WRPN word_length: 4 } }",
            "precision_param.weight_grad is 'W4', allowed: no WRPN format, whose range is that of"
            " weights and activations",
        ),
        (
            "precision_param { bias_grad { kind: DYNAMIC_FIXED word_length: 8 exponent_bias: 1 } }",
            "precision_param.bias_grad.exponent_bias is 1, allowed: 0 with kind DYNAMIC_FIXED\n"
            "  fix: write kind: SHIFTED_DYNAMIC_FIXED",
        ),
        (
            "precision_param { weight_accumulator { kind: FIXED word_length: 8 } }",
            "precision_param.weight_accumulator is 'Q8.0', allowed: only beside a weight of kind"
            " FIXED, whose grid the updates stay on",
        ),
        (
            "precision_param { weight { kind: FIXED word_length: 8 overflow: WRAP } }",
            "precision_param.weight.overflow is 'WRAP', allowed: only in"
            " precision_param.accumulator",
        ),
        (
            "precision_param { accumulator { word_length: 32 } }",
            "precision_param.accumulator.kind is 'FLOAT', allowed: FIXED\n"
            "  fix: write kind: FIXED word_length: 32",
        ),
        (
            "precision_param { accumulator { kind: FIXED word_length: 1 } }",
            "precision_param.accumulator.word_length is 1, allowed: 2..62",
        ),
        (
            "precision_param { accumulator { kind: FIXED word_length: 32 rounding: STOCHASTIC } }",
            "precision_param.accumulator.rounding is 'stochastic', allowed: half_away, half_even,"
            " floor",
        ),
        (
            "precision_param { accumulator { kind: FIXED word_length: 32 per_product: true } }",
            "precision_param.accumulator.per_product is True, allowed: false without a frac_length"
            " to shift to",
        ),
    ],
)
def test_bad_formats(more: str, want: str) -> None:
    with pytest.raises(FieldError) as caught:
        net_with("LPInnerProduct", more)
    assert str(caught.value) == f'net.prototxt:2: layer "l" (LPInnerProduct): {want}'


def test_points_are_values() -> None:
    assert str(Point("conv1", "weight")) == "conv1:weight"
    assert sorted([Point("b", "bias"), Point("a", "weight")])[0].layer == "a"
    assert len(KINDS) == len(set(KINDS)) == 8
