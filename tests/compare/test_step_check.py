"""One training step in integers: codes and exponents, sums of 32 bits, against the simulation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import adaption
from adaption.cli.main import main
from adaption.compare.step_check import StepReport, check_step
from adaption.compare.step_products import LayerStep
from adaption.errors import FieldError, UsageError
from adaption.net import Net, Point
from adaption.numerics import DynamicFixed, FixedPoint, Wrpn
from tests.recipes.test_sdfp import NETS, net_file
from tests.solver.runs import write_rows

PRODUCTS = ["forward", "backward data", "backward weights"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def low(name: str = "batch norm and in place", **choices: Any) -> Net:
    choices = {"bits": 8, "first_last": "quantized", "bias_gradient": 0, **choices}
    return Net(
        adaption.rewrite(net_file(NETS[name]), recipe="sdfp", **choices), phase="TRAIN", seed=2
    )


def step(net: Net, **options: Any) -> StepReport:
    return check_step(net, **options)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"bits": 4, "bias_gradient": -1},
        {"bits": 6, "rounding_gradient": "stochastic"},
        {"bits": 8, "mask_saturated": True, "bias_activation": -2},
        {"bits": 5, "full_range": True, "delayed": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NETS)
def test_integers_equal_the_simulation(name: str, choices: dict[str, Any]) -> None:
    report = step(low(name, **choices))
    assert report.ok, report.problems
    done = {(c.layer, c.product) for c in report.checks}
    assert {product for _, product in done} == set(PRODUCTS)
    assert all(c.exact == 1.0 and c.sums for c in report.checks)
    assert all(c.peak_bits <= c.bits <= 32 for c in report.checks)


def test_codes_and_exponents_by_hand() -> None:
    """Layer "mid" of two inner products, its three products written out in Python integers."""
    net = low()
    node = net.nodes[net.index("mid")]
    seen: dict[str, Tensor] = {}
    report = step(net)
    rows = {c.product: c for c in report.checks if c.layer == "mid"}
    tape = node.tape
    assert tape is not None
    # Seen in the same pass again: all of it is deterministic but dropout, which is in the tape.
    x = tape.bottoms[0].detach().flatten(1)
    bottom, weight, delta = DynamicFixed(8, -1), DynamicFixed(8, -1), DynamicFixed(8)
    g = net.blobs["mid"].grad
    for kind, fmt, values in (
        ("bottom", bottom, x), ("weight", weight, node.masters[0].tensor.detach()),
        ("delta", delta, g),
    ):  # fmt: skip
        grid = fmt.at(values)
        assert isinstance(grid, FixedPoint)
        seen[kind] = grid.codes(values).long()
        seen[f"{kind} e"] = torch.tensor(-grid.frac_length)
    sums = {
        "forward": seen["bottom"] @ seen["weight"].T,
        "backward data": seen["delta"] @ seen["weight"],
        "backward weights": seen["delta"].T @ seen["bottom"],
    }
    for product, kinds in zip(PRODUCTS, (("bottom", "weight"), ("delta", "weight"),
                                         ("bottom", "delta")), strict=True):  # fmt: skip
        row = rows[product]
        assert row.exponents == tuple(int(seen[f"{k} e"]) for k in kinds)
        peak = int(sums[product].abs().max())
        assert row.peak_bits in (peak.bit_length() + 1, peak.bit_length())
        assert row.sums == sums[product].numel()
    e = int(seen["delta e"] + seen["bottom e"])
    want = (sums["backward weights"].double() * 2.0**e).float()
    assert torch.equal(node.masters[0].grad, want)
    assert rows["forward"].terms == x.shape[1] and rows["backward weights"].terms == x.shape[0]
    assert rows["forward"].bits == (x.shape[1] * 127 * 127).bit_length() + 1


def test_sums_that_float32_rounds_are_compared_within_what_it_loses() -> None:
    report = step(low(bits=16), register_bits=48)
    assert report.ok and any(c.exact < 1 for c in report.checks)


def test_overflow_of_16_bit_words_is_found_and_named() -> None:
    report = step(low(bits=16))
    assert not report.ok
    over = {(c.layer, c.product): c for c in report.checks if c.overflows}
    assert over and all(c.bits > 32 and c.peak_bits > 32 for c in over.values())
    assert not any(c.differing for c in report.checks)
    (layer, product), row = next(iter(over.items()))
    assert report.problems[0] == (
        f'layer "{layer}": {product}: {row.overflows} of {row.sums} sums overflow 32 bits, they'
        f" need {row.peak_bits}: {row.terms} products of {' and '.join(row.operands)} add up; take"
        " shorter words"
    )
    may = [c for c in report.checks if c.bits > 32 and not c.overflows]
    assert len([note for note in report.notes if "others may overflow" in note]) == len(may)
    assert step(low(bits=8), register_bits=17).problems


def test_two_products_of_16_bit_words_fit_and_three_may_not() -> None:
    """K (2^15 - 1)^2 < 2^31 up to K = 2; P = 8: up to 133,144."""
    assert 2 * (2**15 - 1) ** 2 < 2**31 <= 3 * (2**15 - 1) ** 2
    assert 133_144 * 127**2 < 2**31 <= 133_145 * 127**2
    checks = step(low(bits=16)).checks
    for check in checks:
        assert (check.bits > 32) is (check.terms * (2**15 - 1) ** 2 >= 2**31)


def test_a_simulation_that_computes_something_else_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = low()
    plain = net.nodes[net.index("mid")].backward

    def off(top_grads: Any) -> Any:
        bottoms, masters = plain(top_grads)
        masters[0] = masters[0] * (1 + 2**-20)
        return bottoms, masters

    monkeypatch.setattr(net.nodes[net.index("mid")], "backward", off)
    report = step(net)
    assert not report.ok and report.problems[0].startswith('layer "mid": backward weights: ')
    assert report.problems[0].endswith("sums differ from the simulation")


def test_what_has_no_integers_is_said() -> None:
    net = low(first_last="float", bias_gradient=-1)
    net.set_plan({Point("c1", "weight"): DynamicFixed(8)})
    net.set_plan({Point("c2", "weight"): DynamicFixed(8)}, backward_weights="MASTER")
    net.set_plan({Point("mid", "weight"): Wrpn(4)})
    notes = step(net).notes
    assert 'layer "c1": forward reads floats, as bottom has no format' in notes
    assert (
        'layer "c2": backward data reads the unrounded weights (backward_weights: MASTER)' in notes
    )
    assert 'layer "mid": forward is on a grid whose step is no power of two' in notes
    net = Net(net_file(NETS["shared weights"]), phase="TRAIN")
    with pytest.raises(UsageError, match="no product of this net has two operands with a format"):
        step(net)
    with pytest.raises(FieldError, match=r"register_bits is 65, allowed: 2\.\.64"):
        step(net, register_bits=65)


def test_a_net_without_a_loss_has_forward_products() -> None:
    text = (
        "input: 'data' input_shape { dim: 2 dim: 1 dim: 6 dim: 6 }\n"
        + NETS["own formats"].split("test.txt")[-1]
    )
    text = text[: text.index("layer {")] + text[text.index('layer { name: "c1"') :]
    text = text[: text.index('layer { name: "loss"')]
    net = Net(adaption.rewrite(net_file(text), recipe="sdfp"), phase="TEST")
    report = check_step(net, {"data": np.ones((2, 1, 6, 6), np.float32)})
    assert report.ok and {c.product for c in report.checks} == {"forward"}
    assert report.notes[-1] == "the net has no loss: forward products alone are compared"


def test_points_and_plan_are_as_before() -> None:
    net = low()
    points, plan = [n.points for n in net.nodes], net.plan
    step(net)
    assert all(a is b for a, b in zip(points, [n.points for n in net.nodes], strict=True))
    assert net.plan == plan
    assert not any(isinstance(n.points, type(LayerStep(n).recorder)) for n in net.nodes)


def test_verb(capsys: pytest.CaptureFixture[str]) -> None:
    net = low()
    net.save("w.caffemodel")
    main(["rewrite", "net.prototxt", "-o", "low.prototxt", "--recipe", "sdfp", "--first-last",
          "quantized", "--bias-gradient", "0", "--quiet"])  # fmt: skip
    capsys.readouterr()
    assert main(["verify", "low.prototxt", "w.caffemodel", "int32"]) == 0
    said = capsys.readouterr().out
    assert "products in integers, sums of 32 bits: equal to the simulation\n" in said
    assert main(["verify", "low.prototxt", "w.caffemodel", "int16", "--json"]) == 1
    values = json.loads(capsys.readouterr().out)
    assert values["ok"] is False and values["register_bits"] == 16 and values["problems"]
    row = values["products"][0]
    assert row["operands"] == ["DFP8-1", "DFP8-1"] and math.isfinite(sum(row["exponents"]))
    assert main(["verify", "low.prototxt", "w.caffemodel", "int32", "exact"]) == 2
    assert "b cannot be given with int32" in capsys.readouterr().err
    assert main(["verify", "low.prototxt", "w.caffemodel", "int32", "--tolerance", "0"]) == 2
    assert "tolerance cannot be given with int32" in capsys.readouterr().err


def test_wide_words_are_told_when_a_net_is_rewritten(capsys: pytest.CaptureFixture[str]) -> None:
    net = net_file(NETS["shared weights"])
    for bits, most in ((16, 2), (11, 2052), (10, None)):
        assert main(["rewrite", str(net), "-o", "low.prototxt", "--recipe", "sdfp", "--bits",
                     str(bits)]) == 0  # fmt: skip
        said = capsys.readouterr().err
        if most is None:
            assert not said
        else:
            assert said == (
                f"warning: 32 bits hold any sum of {most} products of {bits}-bit words, and no more"
                " for certain; adaption verify NET WEIGHTS int32 finds sums that overflow\n"
            )
