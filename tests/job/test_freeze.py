"""freeze: formats that move become static; which exponent, which accuracy, which files."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import adaption
from adaption.cli.main import main
from adaption.compare.between import check_between
from adaption.errors import AdaptionError, FieldError, FileFormatError, UsageError
from adaption.export.onnx import export_onnx
from adaption.io.caffemodel import read_weights
from adaption.io.netfile import read_net
from adaption.job import freeze
from adaption.job.score import score
from adaption.net import Net, Point
from adaption.numerics import BinaryWeight, DynamicFixed, FixedPoint, Wrpn, number_format
from adaption.precision.freeze import Exponents, static_plan
from adaption.solver import Solver
from adaption.solver.precision_state import read_state_formats
from tests.net.nets import data, inner_product, net_of
from tests.net.nets import layer as net_layer
from tests.recipes.test_sdfp import (
    END,
    LPFP,
    NETS,
    dense,
    net_file,
    policy_of,
    solver_of,
)
from tests.solver.runs import write_rows

PLAIN = NETS["batch norm and in place"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path, 45)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(text: str = PLAIN, steps: int = 12, policy: str = "", **choices: Any) -> Solver:
    """A run of a net in low.prototxt, by a recipe's rewriting or by a policy in text."""
    net = net_file(text, "low.prototxt")
    if not policy:
        low = adaption.rewrite(net, recipe="sdfp", **{"bits": 8, **choices})
        adaption.write_net(low, net)
    solver = solver_of(net, policy)
    solver.step(steps)
    solver.net.save("w.caffemodel")
    return solver


# -- which exponent ------------------------------------------------------------------------------


def counted(*rows: tuple[int, dict[int, int]]) -> Exponents:
    made = Exponents()
    made.counts[Point("ip", "bottom")] = {i: Counter(seen) for i, seen in rows}
    return made


@pytest.mark.parametrize(
    ("seen", "want"),
    [
        (counted((0, {-7: 5, -6: 3})), -7),
        (counted((0, {-7: 3, -6: 5, -3: 1})), -6),
        (counted((0, {-7: 4, -6: 4})), -6),
        (counted((0, {-7: 9, -6: 1}), (1, {-4: 1, -5: 9})), -5),
        (Exponents(), None),
    ],
    ids=["most", "most again", "the larger of a draw", "the largest of bottoms", "zeros"],
)
def test_the_exponent_that_most_tensors_had(seen: Exponents, want: int | None) -> None:
    assert seen.chosen(Point("ip", "bottom")) == want


def test_each_batch_counts_and_zeros_do_not() -> None:
    net = net_of(data(2, 3) + inner_product("ip", "data"))
    net.set_plan(
        {Point("ip", "bottom"): DynamicFixed(4), Point("ip", "weight"): DynamicFixed(8, -1)}
    )
    seen = Exponents()
    net.watch_grids(seen)
    with torch.no_grad():
        for peak in (1.0, 1.5, 0.3, 0.0, 100.0):
            net.forward(data=np.full((2, 3), peak, np.float32))
        net.watch_grids(None)
        net.forward(data=np.ones((2, 3), np.float32))
    assert seen.to_dict()["ip:bottom"] == {"-4": 1, "-2": 2, "4": 1}
    weight = seen.counts[Point("ip", "weight")][0]
    assert sum(weight.values()) == 1  # a weight that stays is rounded once
    plan, notes = static_plan(net, seen, {})
    assert plan[Point("ip", "bottom")] == FixedPoint(4, 2, "half_even") and not notes
    (exponent,) = weight
    assert plan[Point("ip", "weight")] == FixedPoint(8, -exponent, "half_even")
    # The bias lies on the grid of the products, as integer hardware holds it.
    assert plan[Point("ip", "bias")] == FixedPoint(32, 2 - exponent, "half_even")


def test_what_each_format_becomes() -> None:
    net = net_of(data(2, 3) + inner_product("ip", "data") + net_layer("ReLU", "r", "ip"))
    ip, r = (lambda kind: Point("ip", kind)), Point("r", "activation")
    wrpn = number_format(kind="WRPN", word_length=1)
    assert isinstance(wrpn, BinaryWeight)
    for fmt, want in (
        (DynamicFixed(6, 1, "stochastic", range="full", mask_saturated=True),
         FixedPoint(6, 3, "half_even", range="full")),
        (DynamicFixed(5, is_signed=False, rounding="half_away"),
         FixedPoint(5, 4, "half_away", is_signed=False)),
        (FixedPoint(8, 4, "stochastic"), FixedPoint(8, 4, "half_even")),
        (FixedPoint(8, 4, "floor"), FixedPoint(8, 4, "floor")),
        (Wrpn(3, is_signed=False), Wrpn(3, is_signed=False)),
    ):  # fmt: skip
        net.set_plan({r: fmt, ip("weight"): wrpn})
        seen = Exponents()
        net.watch_grids(seen)
        net.blobs["ip"].data[...] = 0
        with torch.no_grad():
            net.forward(data=np.ones((2, 3), np.float32), end="ip")
            net.blobs["ip"].data[0, 0] = 1.2
            net.forward(start="r")
        plan, _ = static_plan(net, seen, {})
        assert plan == {r: want, ip("weight"): wrpn}


def test_only_zeros_are_said() -> None:
    net = net_of(data(2, 3) + inner_product("ip", "data"))
    net.set_plan({Point("ip", "bottom"): DynamicFixed(4)})
    plan, notes = static_plan(net, Exponents(), {})
    assert plan == {Point("ip", "bottom"): FixedPoint(4, 0, "half_even")}
    assert notes == ['layer "ip": bottom: only zeros were seen, so its exponent is 0']


# -- a net with formats of its own ---------------------------------------------------------------


def kinds_of(path: Path) -> dict[str, dict[str, str]]:
    """By layer and point, the kind of the format in a prototxt."""
    made: dict[str, dict[str, str]] = {}
    for message in read_net(path).message.layer:
        for field, value in message.precision_param.ListFields():
            enum = value.DESCRIPTOR.fields_by_name["kind"].enum_type if field.message_type else None
            name = enum.values_by_number[value.kind].name if enum else str(value)
            made.setdefault(message.name, {})[field.name] = name
    return made


def test_files_formats_and_accuracies(capsys: pytest.CaptureFixture[str]) -> None:
    trained()
    capsys.readouterr()
    assert main(["freeze", "low.prototxt", "w.caffemodel", "-o", "out", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["files"] == {"net": "frozen.prototxt", "weights": "frozen.caffemodel"}
    net, weights = (Path("out") / values["files"][name] for name in ("net", "weights"))
    three = {"weight": "FIXED", "bottom": "FIXED", "bias": "FIXED"}
    assert kinds_of(net) == {"c2": three, "mid": three}
    frozen = Net(net, weights)
    told = {
        Point(name, kind): number_format(**fmt)
        for name, formats in values["formats"].items()
        for kind, fmt in formats.items()
    }
    assert frozen.plan == told
    assert set(values["moved"]) == {f"{n}:{k}" for n in ("c2", "mid") for k in ("weight", "bottom")}
    assert values["moved"]["c2:bottom"] == "DFP8-1"
    assert sum(values["exponents"]["c2:bottom"].values()) == 5  # 45 samples, batches of ten
    assert values["samples"] == 45 and not values["also"]
    for name, files in (("dynamic", ("low.prototxt", "w.caffemodel")), ("frozen", (net, weights))):
        want = score(*files, quiet=True, batch_size=10).accuracy
        assert values["accuracy"][name] == want["top1"]
    low = Net("low.prototxt", "w.caffemodel")
    for name in ("c1", "c2", "mid", "last"):
        for label, one in (("dynamic", low), ("frozen", frozen)):
            weight = one.nodes[one.index(name)].quantized_blobs()[0]
            assert values["zeros"][name][label] == int((weight == 0).sum()) / weight.numel()
    assert values["zeros"]["c1"]["frozen"] == 0 < values["zeros"]["mid"]["frozen"]
    assert values["notes"] == [
        'weight layers "c1", "last" stay float; the C program needs codes from the input on: with'
        " --bits N they get formats of N bits, too"
    ]
    assert main(["freeze", "low.prototxt", "w.caffemodel", "-o", "out", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "before" in shown and "frozen (45 samples)" in shown and "DFP8-1" in shown


def test_where_every_batch_had_the_exponent_nothing_changes() -> None:
    """One batch of all samples: its exponents are the frozen ones. Biases alone are rounded now."""
    trained()
    made = freeze("low.prototxt", "w.caffemodel", out="out", batch_size=45, quiet=True)
    rows = np.asarray(h5py.File("rows.h5")["data"])
    tops = []
    for files in (("low.prototxt", "w.caffemodel"), (made.net, made.weights)):
        net = Net(*files, input_shapes={"data": (45, 1, 6, 6), "label": (45,)})
        net.set_plan({Point(name, "bias"): None for name in made.formats})
        with torch.no_grad():
            net.forward(data=rows, label=np.zeros(45, np.float32))
        tops.append(net.blobs["last"].tensor)
    assert torch.equal(*tops)
    assert made.accuracy["dynamic"] == made.accuracy["frozen"]


def test_limit_data_and_also(tmp_path: Path) -> None:
    trained()
    np.savez("some.npz", data=np.random.default_rng(0).normal(size=(12, 1, 6, 6)),
             label=np.zeros(12))  # fmt: skip
    head = "input: 'data' input_shape { dim: 1 dim: 1 dim: 6 dim: 6 }\n"
    text = Path("low.prototxt").read_text()
    start, end = text.index('layer { name: "c1"'), text.index('layer { name: "loss"')
    Path("deploy.prototxt").write_text(head + text[start:end])
    made = freeze("low.prototxt", "w.caffemodel", "some.npz", out="out", limit=8, batch_size=4,
                  also=[("deploy.prototxt", "d.prototxt")], quiet=True)  # fmt: skip
    assert made.samples == 8 and sum(made.exponents["mid:bottom"].values()) == 2
    assert kinds_of(Path("d.prototxt")) == kinds_of(made.net)
    assert Net("d.prototxt", made.weights).plan == Net(made.net, made.weights).plan
    from_deploy = freeze("deploy.prototxt", "w.caffemodel", "some.npz", out="out2", quiet=True)
    assert from_deploy.accuracy["frozen"] is not None
    unlabelled = Path("plain.npz")
    np.savez(unlabelled, data=np.ones((3, 1, 6, 6)))
    made = freeze("deploy.prototxt", "w.caffemodel", unlabelled, out="out3", quiet=True)
    assert made.accuracy == {"dynamic": None, "frozen": None}


def blobs_of(path: Any, layer_name: str) -> list[Any]:
    found = read_weights(path).get(layer_name)
    assert found is not None
    return [blob.array() for blob in found.blobs]


def test_layers_of_training_keep_their_weights() -> None:
    more = dense("more", "last", "include { phase: TRAIN }")
    trained(PLAIN.replace(END, "") + more + END)
    made = freeze("low.prototxt", "w.caffemodel", out="out", quiet=True)
    for name in ("more", "c1", "last"):
        ours, theirs = (blobs_of(f, name) for f in (made.weights, "w.caffemodel"))
        assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_a_layer_that_was_not_calibrated_may_not_move() -> None:
    more = dense("more", "mid", "include { phase: TRAIN } precision_param { weight { kind:"
                 " DYNAMIC_FIXED word_length: 8 } }")  # fmt: skip
    trained(PLAIN.replace(END, "") + more + END)
    with pytest.raises(AdaptionError) as caught:
        freeze("low.prototxt", "w.caffemodel", out="out", quiet=True)
    assert str(caught.value) == (
        'low.prototxt: layer "more": has a format that moves, and is not in the net that was'
        " calibrated\n  fix: freeze the net that has it, with data for it"
    )
    assert not Path("out").exists()


def test_bits_for_layers_that_are_float() -> None:
    trained()
    made = freeze("low.prototxt", "w.caffemodel", out="out", bits=6, quiet=True)
    assert not made.notes
    for name in ("c1", "last"):
        formats = made.formats[name]
        assert {k: f.word_length for k, f in formats.items()} == {
            "weight": 6,
            "bottom": 6,
            "bias": 32,
        }
        assert sum(made.exponents[f"{name}:bottom"].values()) == 5
    weight = blobs_of("w.caffemodel", "c1")[0]
    fmt = made.formats["c1"]["weight"]
    assert (
        isinstance(fmt, FixedPoint)
        and fmt.max_value / 2 < np.abs(weight).max() <= fmt.max_value * 1.1
    )
    plain = freeze("low.prototxt", "w.caffemodel", out="out2", quiet=True)
    assert plain.accuracy["dynamic"] == made.accuracy["dynamic"]  # as it was trained
    with pytest.raises(FieldError, match=r"bits is 17, allowed: 2\.\.16"):
        freeze("low.prototxt", "w.caffemodel", out="out", bits=17)


# -- low-precision layers ------------------------------------------------------------------------


def test_static_formats_stay_as_they_are_written() -> None:
    trained(NETS["LP layers"])
    before = Path("low.prototxt").read_text()
    freeze("low.prototxt", "w.caffemodel", out="out", quiet=True)
    after = Path("out/frozen.prototxt").read_text()
    assert after.count(LPFP) == before.count(LPFP) == 4
    assert after.count("LPConvolution") == 2


def test_stochastic_layers_round_half_to_even() -> None:
    random = LPFP.replace(" }", " round_bias: true rounding_scheme: STOCHASTIC }")
    text = NETS["LP layers"].replace(LPFP, random)
    solver = solver_of(net_file(text, "low.prototxt"))
    solver.step(3)
    solver.net.save("w.caffemodel")
    made = freeze("low.prototxt", "w.caffemodel", out="out", quiet=True)
    plan = Net(made.net, made.weights).plan
    assert plan[Point("c1", "weight")] == FixedPoint(8, 6, "half_even")
    assert plan[Point("c1", "bias")] == FixedPoint(8, 6, "half_even")
    assert plan[Point("a1", "activation")] == FixedPoint(8, 6, "half_even")
    assert not any(fmt.is_random for fmt in plan.values())
    assert "lpfp_param" not in made.net.read_text()
    assert made.moved["c1:weight"] == "Q2.6"


# -- a policy chose the formats ------------------------------------------------------------------

ADAPT = 'precision_policy { type: "adapt" adapt_param { lookback_min: 2 lookback_max: 3 } }\n'


def snapshot(text: str, policy: str, steps: int) -> tuple[Solver, Path, Path]:
    solver = trained(text, steps, policy)
    files = solver.snapshot()
    return solver, files.weights, files.state


@pytest.mark.parametrize("policy", [policy_of({"bits": 6}), ADAPT], ids=["sdfp", "adapt"])
def test_the_formats_of_a_state(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    solver, weights, state = snapshot(PLAIN, policy, 9)
    recipe = solver.driver.recipe.name  # type: ignore[union-attr]
    with pytest.raises(UsageError) as caught:
        freeze("low.prototxt", weights, out="out", quiet=True)
    assert str(caught.value) == (
        f"{weights}: was trained by recipe {recipe}, whose formats this net does not have\n"
        f"  fix: give the state of the same snapshot: --state {state.name}"
    )
    assert not Path("out").exists()
    flags = ["--state", str(state), "-o", "out", "--json"]
    capsys.readouterr()
    assert main(["freeze", "low.prototxt", str(weights), *flags]) == 0
    values = json.loads(capsys.readouterr().out)
    made = Net("out/frozen.prototxt", "out/frozen.caffemodel")
    assert not made.notices
    forward = {p for p in solver.net.plan if p.kind in ("weight", "bias", "bottom", "activation")}
    assert forward and forward <= set(made.plan)
    assert not any(fmt.is_random or fmt.follows_tensor for fmt in made.plan.values())
    assert {p.kind for p in made.plan} <= {"weight", "bias", "bottom", "activation"}
    # The net as it was: its formats, and the draw of stochastic weights at that update.
    shapes = {"data": (10, 1, 6, 6), "label": (10,)}
    drawn = Net("low.prototxt", weights, input_shapes=shapes, seed=0)  # the draws of freeze
    stated = read_state_formats(state)
    drawn.set_plan({p: f for p, f in stated.plan.items() if p in forward})
    drawn.draw_weights(stated.draw)
    for name, net in (("dynamic", drawn), ("frozen", None)):
        if net is None:
            want = score("out/frozen.prototxt", "out/frozen.caffemodel", quiet=True).accuracy
            assert values["accuracy"][name] == want["top1"]
            continue
        rows, labels = (np.asarray(h5py.File("rows.h5")[k]) for k in ("data", "label"))
        right = 0
        for i in range(0, 45, 10):
            with torch.no_grad():
                net.forward(data=rows[i : i + 10], label=labels[i : i + 10])
            scores = net.blobs["last"].tensor.numpy()[
                :, ::-1
            ]  # of equal ones the last class counts
            found = scores.shape[1] - 1 - scores.argmax(1)
            right += int((found == labels[i : i + 10]).sum())
        assert values["accuracy"][name] == right / 45


def test_a_net_that_adapt_trained_is_equal_in_every_form() -> None:
    """Frozen, its last formats are computed alike by exact arithmetic, ONNX and the C program."""
    _, weights, state = snapshot(PLAIN, ADAPT, 9)
    made = freeze("low.prototxt", weights, out="out", state=state, quiet=True)
    assert {"weight", "bottom", "activation", "bias"} >= set(made.formats["c1"]) >= {"weight"}
    assert set(made.zeros) == {"c1", "c2", "mid", "last"}
    shapes = {"data": (10, 1, 6, 6), "label": (10,)}
    net = Net(made.net, made.weights, input_shapes=shapes)
    x = {"data": np.asarray(h5py.File("rows.h5")["data"])[:40]}
    for style in ("integer", "qdq"):
        export_onnx(net, f"{style}.onnx", style=style)
    forms = ["exact-half-even", "integer.onnx", "qdq.onnx"]
    forms += ["c"] if shutil.which("cc") or shutil.which("gcc") else []
    for form in forms:
        report = check_between(net, "exact", form, x)
        assert report.ok and report.tops, (form, report.problems)
        assert all(top.max_error == 0 for top in report.tops), (form, str(report))


def test_the_draw_is_that_of_the_test_nets_at_the_snapshot() -> None:
    solver, weights, state = snapshot(PLAIN, ADAPT, 6)
    stated = read_state_formats(state)
    assert stated.recipe == "adapt" and stated.iteration == 6
    assert stated.plan == solver.net.plan
    (test,) = solver.test_nets
    test.share_with(solver.net)
    net = Net("low.prototxt", weights)
    net.set_plan({p: f for p, f in stated.plan.items() if p in test.plan})
    net.draw_weights(stated.draw)
    random = [n.spec.name for n in test.nodes if n.formats.weight is not None]
    assert random and any(fmt.is_random for fmt in stated.plan.values() if fmt is not None)
    for name in random:
        ours, theirs = (x.nodes[x.index(name)].quantized_blobs()[0] for x in (net, test))
        assert torch.equal(ours, theirs)


def test_a_state_of_another_snapshot_is_refused() -> None:
    solver, weights, state = snapshot(PLAIN, ADAPT, 3)
    solver.step(9)
    later = solver.snapshot()
    assert read_state_formats(later.state).rows != read_state_formats(state).rows
    with pytest.raises(UsageError) as caught:
        freeze("low.prototxt", weights, out="out", state=later.state, quiet=True)
    assert str(caught.value) == (
        f"{weights}: {later.state} holds other formats than those that the weights were left with\n"
        f"  fix: give the state of the same snapshot: {state.name}"
    )


def test_states_that_do_not_say_it() -> None:
    _, weights, state = snapshot(PLAIN, ADAPT, 2)
    with pytest.raises(FileFormatError, match=r"gone\.solverstate: no such file"):
        freeze("low.prototxt", weights, out="out", state="gone.solverstate")
    near = state.with_name(state.name.replace("_iter", "-iter"))
    with pytest.raises(FileFormatError) as caught:
        freeze("low.prototxt", weights, out="out", state=near)
    assert str(caught.value) == f"{near}: no such file\n  fix: did you mean {state.name}?"
    side = state.with_name(state.name + ".json")
    text = side.read_text()
    side.write_text(text.replace('"precision"', '"other"'))
    with pytest.raises(FileFormatError, match="is damaged: KeyError"):
        freeze("low.prototxt", weights, out="out", state=state)
    side.unlink()
    with pytest.raises(FileFormatError, match="says nothing of formats: it is needed beside"):
        freeze("low.prototxt", weights, out="out", state=state)


def test_a_float_net_has_nothing_to_freeze() -> None:
    solver = solver_of(net_file(PLAIN, "low.prototxt"))
    solver.net.save("w.caffemodel")
    with pytest.raises(FieldError, match="formats is 'none at all', allowed: a net that rounds"):
        freeze("low.prototxt", "w.caffemodel", out="out", quiet=True)


# -- who tells of weights whose formats the net lacks --------------------------------------------


def test_verbs_tell_of_a_policy_whose_formats_are_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, weights, state = snapshot(PLAIN, policy_of({"bits": 8}), 3)
    told = (
        f"{weights} was trained by recipe sdfp, whose formats this net does not have: it runs in"
        f" other numbers. adaption freeze NET {weights} --state {state} -o DIR writes the net with"
        " them"
    )
    files = ["low.prototxt", str(weights)]
    capsys.readouterr()
    for arguments in (
        ["test", *files, "--iterations", "2"],
        ["quantize", *files, "-o", "q", "--quiet"],
        ["quantize", *files, "-o", "q2", "--fold-batch-norm", "--quiet"],
        ["time", *files, "--iterations", "1"],
        ["verify", *files, "lp", "float"],
        ["measure", *files, "-o", "m.json", "--quiet"],
    ):
        assert main(arguments) == 0, arguments
        assert f"warning: {told}\n" in capsys.readouterr().err, arguments
    for flags in (["onnx"], ["caffemodel", "-o", "b.caffemodel"]):
        assert main(["export", *files, "--to", *flags]) == 0
        assert f"note: {told}\n" in capsys.readouterr().out
    assert adaption.test(*files, iterations=2).notices == (told,)
    net = Net(*files)
    assert net.notices == [told]
    net.load(weights)
    assert net.notices == [told]  # said once


def test_a_net_with_the_formats_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    _, weights, _ = snapshot(PLAIN, policy_of({"bits": 8}), 3)
    adaption.write_net(adaption.rewrite("low.prototxt", recipe="sdfp", bits=8), "own.prototxt")
    capsys.readouterr()
    assert main(["test", "own.prototxt", str(weights), "--iterations", "2"]) == 0
    assert "recipe" not in capsys.readouterr().err
    freeze("own.prototxt", weights, out="out", quiet=True)  # its own formats suffice
