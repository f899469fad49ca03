"""Exact arithmetic against rational numbers computed by an independent, slow reference."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from adaption.errors import AdaptionError
from adaption.exact import ExactNet, ExactOptions
from adaption.exact.reference import run_layers
from adaption.exact.selection import select
from adaption.numerics import FixedPoint
from adaption.numerics.accumulator import Accumulator
from tests.exact.exact_nets import CONV, DATA, ENTRY, NETS, Q8, act, lp
from tests.exact.exact_reference import ROUNDINGS
from tests.exact.exact_reference import run as reference
from tests.export.nets import layer, net_of

Array = npt.NDArray[Any]

# A bias off the grid is held at half a step: what carries one is compared at the next point, up to
# which nothing may change its rounding.
AT_POINTS = ("LPConvolution", "LPInnerProduct", "Deconvolution", "ReLU", "Pooling", "Scale")


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("text", NETS.values(), ids=NETS.keys())
def test_equals_rational_numbers(text: str, seed: int) -> None:
    net = net_of(DATA + text, seed=seed)
    for node in net.nodes:
        if node.spec.type == "Scale":
            node.masters[0].write(np.float32([0.5, -2.0, 0.25, 1.0]))
    data = np.float32(np.random.default_rng(seed).normal(size=(1, 3, 6, 6)))
    exact = ExactNet(net)
    found = exact.run({"data": data})
    wanted = reference(net, {"data": data})
    assert exact.program.is_lossless
    points = 0
    for top in exact.program.tops:
        if top.value is None:
            continue
        value = exact.program.values[top.value]
        codes = found.codes[top.value].numpy().astype(object)
        assert codes.min() >= value.low and codes.max() <= value.high, top
        if top.format is not None or top.type not in AT_POINTS:
            scale = Fraction(2) ** -value.frac_length / value.divisor
            assert (codes * scale == wanted[top.layer, top.blob]).all(), top
            points += 1
    assert points >= 1
    for blob, top in found.outputs.items():
        last = next(t.layer for t in reversed(exact.program.tops) if t.blob == blob)
        want = np.vectorize(float)(wanted[last, blob]).astype(np.float32)
        assert np.array_equal(top.numpy(), want), blob


def test_bias_off_the_grid_moves_no_rounding() -> None:
    """One weight of 1, one bias a hair below the tie: half away from zero must round down."""
    text = ENTRY + lp(
        "conv", "data", "conv", "num_output: 3 kernel_size: 1", "lpfp_param { bd: 2 ad: 6 }"
    )
    net = net_of(DATA + text + act("a", "conv", 4, 4))
    net.params["conv"][0].write(np.zeros((3, 3, 1, 1), np.float32))
    tie = np.float32(0.5 / 16)
    biases = np.float32([np.nextafter(tie, np.float32(0)), tie, np.nextafter(tie, np.float32(1))])
    net.params["conv"][2].write(biases)
    run = ExactNet(net).run({"data": np.zeros((1, 3, 6, 6), np.float32)})
    assert run.value(run.program.tops[-1].value)[0, :, 0, 0].tolist() == [0.0, 1 / 16, 1 / 16]
    assert run.ties == {"in": 0, "a": 36} or run.ties == {"a": 36}
    by_product = ExactNet(net, ExactOptions(biases="product"))
    assert not by_product.program.is_lossless


def test_equals_the_simulation_in_float64() -> None:
    """What the net simulates, with sums that do not round, is what exact arithmetic gives."""
    net = net_of(DATA + NETS["residual sum of two scales"])
    data = torch.from_numpy(np.float32(np.random.default_rng(0).normal(size=(1, 3, 6, 6))))
    run = ExactNet(net).run({"data": data})
    simulated = {}
    for made in run_layers(select(net), {"data": data}):
        simulated.update(zip(made.member.spec.tops, made.tops, strict=True))
    # 8 bit codes and 27 products: float32 sums are exact, too.
    assert torch.equal(run.outputs["d"], simulated["d"])


ACCUMULATORS = [
    Accumulator(9),
    Accumulator(9, overflow="wrap"),
    Accumulator(8, frac_length=7),
    Accumulator(8, frac_length=7, overflow="wrap", rounding="half_away"),
    Accumulator(10, frac_length=8, per_product=True),
    Accumulator(10, frac_length=8, per_product=True, rounding="half_even"),
]


@pytest.mark.parametrize("unit", ACCUMULATORS, ids=str)
@pytest.mark.parametrize("kind", ["LPConvolution", "LPInnerProduct"])
def test_accumulator(kind: str, unit: Accumulator) -> None:
    """Against one Python integer per accumulator, product by product."""
    param = "convolution_param { num_output: 2 kernel_size: 6 }"
    if kind == "LPInnerProduct":
        param = "inner_product_param { num_output: 2 }"
    net = net_of(DATA + ENTRY + layer("w", "data", "w", f'type: "{kind}" {param} {Q8}'))
    data = np.float32(np.random.default_rng(2).normal(size=(1, 3, 6, 6)))
    run = ExactNet(net, ExactOptions(accumulator=unit))
    found = run.run({"data": data})
    x = FixedPoint(8, 5).codes(torch.from_numpy(data)).numpy().astype(int).ravel()
    frac = 11 if unit.frac_length is None else unit.frac_length
    overflows = 0
    for o in range(2):
        weight, bias = (net.params["w"][i].data[o] for i in (0, 2))
        w = FixedPoint(8, 6).codes(torch.from_numpy(weight)).numpy().astype(int).ravel()
        products = [Fraction(int(a) * int(b), 2**11) for a, b in zip(x, w, strict=True)]
        grid = Fraction(2) ** frac
        if unit.per_product:
            total = sum(ROUNDINGS[unit.rounding](p * grid) for p in products)
        else:
            total = ROUNDINGS[unit.rounding](sum(products) * grid)
        total += ROUNDINGS["half_away"](Fraction(float(bias)) * grid)
        half = 2 ** (unit.word_length - 1)
        want = max(-half, min(half - 1, total))
        overflows += want != total
        if unit.overflow == "wrap":
            want = (total + half) % (2 * half) - half
        assert found.outputs["w"].flatten()[o] == want / 2**frac
    assert run.report().accumulators[0].overflows == overflows


def test_accumulator_is_read_from_the_prototxt() -> None:
    point = "precision_param { accumulator { kind: FIXED word_length: 9 overflow: WRAP } }"
    text = lp("conv", "data", "conv", "num_output: 4 kernel_size: 3", f"{Q8} {point}")
    net = net_of(DATA + ENTRY + text)
    data = {"data": np.float32(np.random.default_rng(2).normal(size=(1, 3, 6, 6)))}
    stated = ExactNet(net).run(data).outputs["conv"]
    given = ExactNet(
        net_of(DATA + ENTRY + lp("conv", "data", "conv", "num_output: 4 kernel_size: 3")),
        ExactOptions(accumulator=Accumulator(9, overflow="wrap", rounding="half_away")),
    )
    assert torch.equal(stated, given.run(data).outputs["conv"])
    assert net.notices == [
        'layer "conv": precision_param.accumulator counts in exact arithmetic; this net sums in'
        " float32"
    ]


def test_overflow_of_32_bits_is_detected_and_named() -> None:
    wide = "lpfp_param { bd: 2 ad: 14 }"
    text = (
        layer("in", "data", "data", 'type: "LPAct" lpfp_param { bd: 3 ad: 13 }')
        + lp("narrow", "data", "narrow", "num_output: 1 kernel_size: 1", Q8)
        + lp("wide", "data", "wide", "num_output: 4 kernel_size: 6", wide)
    )
    exact = ExactNet(net_of(DATA + text))
    report = exact.report()
    assert report.wider_than(32) == ("wide",)
    assert report.accumulators[1].measured_bits is None
    exact.run({"data": np.zeros((1, 3, 6, 6), np.float32)})
    assert exact.report().wider_than(32, measured=True) == ()
    assert "may overflow 32 bits: wide" in str(report)


def test_wide_bottom_of_weights_is_rounded_and_said() -> None:
    text = (
        ENTRY + CONV + act("a", "conv", 5, 3) + layer("prelu", "conv", "conv", 'type: "PReLU"')
        + lp("c", "conv", "c", "num_output: 2 kernel_size: 3")
    )  # fmt: skip
    program = ExactNet(net_of(DATA + text), ExactOptions(word_length=16)).program
    assert not program.is_lossless
    (note,) = program.notes
    assert note.startswith('layer "c": codes of ') and "are rounded to 16" in note


def test_softmax_runs_in_float_behind_the_last_codes() -> None:
    text = ENTRY + CONV + layer("prob", "conv", "prob", 'type: "Softmax"')
    run = ExactNet(net_of(DATA + text)).run({"data": np.ones((1, 3, 6, 6), np.float32)})
    assert [(t.layer, t.is_float) for t in run.program.tops][-1] == ("prob", True)
    assert torch.allclose(run.outputs["prob"].sum(1), torch.ones(1, 6, 6))


BAD = {
    "input without a format": (
        CONV,
        'layer "conv" (LPConvolution): its bottom is float32: no number format is stated between'
        ' the net\'s input and this layer ("data")\n'
        "  fix: put an LPAct behind the input, or give an input format:"
        ' input_formats={"NAME": FixedPoint.q("Q9.7")}, --input-format NAME=Q9.7',
    ),
    "float layer between codes": (
        ENTRY
        + layer("mvn", "data", "t", 'type: "MVN"')
        + lp("c", "t", "c", "num_output: 1 kernel_size: 1"),
        'layer "c" (LPConvolution): multiplies floats: layer "mvn" (MVN): layer type MVN has no'
        " integer form\n  fix: end the net before that layer (--end LAYER, end=), or use style"
        " float or qdq",
    ),
    "random rounding": (
        ENTRY + CONV + layer("a", "conv", "conv", 'type: "LPAct" lpfp_param { bd: 4 ad: 4'
                             " rounding_scheme: STOCHASTIC }"),
        'layer "a" (LPAct): Q4.4 is rounded stochastic, which has no exact form\n'
        "  fix: use rounding_scheme: DETERMINISTIC (rounding: HALF_AWAY) at this point",
    ),
    "float weights": (
        ENTRY + layer("c", "data", "c", 'type: "Convolution" convolution_param { num_output: 1'
                      " kernel_size: 1 }"),
        'layer "c" (Convolution): weight format is \'float\', allowed: fixed point, or values on a'
        " grid that 24 bits hold\n  fix: quantize the net first (adaption quantize), or give the"
        " layer an lpfp_param",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_what_has_no_exact_form_is_named(text: str, message: str) -> None:
    with pytest.raises(AdaptionError) as caught:
        ExactNet(net_of(DATA + text))
    assert message in str(caught.value)


def test_input_format_replaces_an_lp_act() -> None:
    data = np.float32(np.random.default_rng(0).normal(size=(1, 3, 6, 6)))
    given = ExactNet(net_of(DATA + CONV), ExactOptions({"data": FixedPoint.q("Q3.5")}))
    stated = ExactNet(net_of(DATA + ENTRY + CONV))
    assert torch.equal(
        given.run({"data": data}).outputs["conv"], stated.run({"data": data}).outputs["conv"]
    )
    with pytest.raises(AdaptionError, match="an input format is given for 'dat'") as e:
        ExactNet(net_of(DATA + CONV), ExactOptions({"dat": FixedPoint.q("Q3.5")}))
    assert str(e.value).endswith(", allowed: 'data'\n  fix: did you mean data?")
