"""Layers that are left in float, names that fit no layer, and nets that have formats already."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.errors import UsageError
from adaption.net import Net, Point
from adaption.options import INT8
from adaption.precision.rewrite_files import rewrite_files
from tests.net.nets import data, inner_product, layer, net_of

TEXT = (
    data(1, 8)
    + inner_product("first", "data", 6)
    + layer("ReLU", "r1", "first", "first")
    + inner_product("middle", "first", 6)
    + layer("ReLU", "r2", "middle", "middle")
    + inner_product("last", "middle", 4)
    + layer("Softmax", "prob", "last")
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("n.prototxt").write_text(TEXT)
    net_of(TEXT).save("n.caffemodel")
    x = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    np.savez("x.npz", data=x, label=np.arange(16) % 4)


def types(path: str) -> dict[str, str]:
    return {m.name: m.type for m in adaption.read_net(path).message.layer}


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (["--exclude", "middle"], ["middle"]),
        (["--exclude", "*i*st*"], ["first"]),
        (["--exclude-first"], ["first"]),
        (["--bits", "first=float"], ["first"]),
        (["--bits", "8", "--bits", "*i*=float", "--bits", "middle=6"], ["first"]),
        (["--exclude-last"], ["last"]),
        (["--exclude-first", "--exclude-last", "--exclude", "mid*"], ["first", "middle", "last"]),
    ],
)
@pytest.mark.parametrize("int8", [[], ["--int8"]])
def test_quantize(flags: list[str], left: list[str], int8: list[str]) -> None:
    arguments = ["quantize", "n.prototxt", "n.caffemodel", "--data", "x.npz", "-o", "o", "--quiet"]
    everything = len(left) == 3
    code = main([*arguments, *flags, *int8])
    if everything:
        assert code == 2  # nothing is left to quantize
        return
    assert code == 0
    made = types("o/net_lp.prototxt")
    for name in ("first", "middle", "last"):
        assert made[name] == ("InnerProduct" if name in left else "LPInnerProduct")
    net = Net("o/net_lp.prototxt", "o/net_lp.caffemodel")
    plan = json.loads(Path("o/plan.json").read_text())
    assert not any(p["layer"] in left and p["kind"] != "activation" for p in plan["points"])
    for name in left:
        assert plan["left_float"][name] == "left in float, weights and result, as was asked"
        assert len(net.params[name]) == 2
    if int8 and left == ["first"]:
        assert "data_lpact" not in made  # what only reads floats asks for no rounding
        assert "first_lpact" in made  # the next layer reads codes
    summary = json.loads(Path("o/summary.json").read_text())
    assert all(check["ok"] for check in summary["verification"]) == (code == 0)
    assert any(f'Layer "{left[0]}": left in float' in note for note in summary["notes"])


def test_propose_and_rewrite_take_the_same() -> None:
    assert main(["measure", "n.prototxt", "n.caffemodel", "--data", "x.npz", "-o", "m.json",
                 "--quiet"]) == 0  # fmt: skip
    made = adaption.propose("n.prototxt", "m.json", exclude=["m*"], exclude_first=True)
    assert {p.layer for p in made.choices} == {"last"}
    made = adaption.propose("n.prototxt", "m.json", exclude_last=True, **INT8)  # type: ignore[arg-type]
    assert Point("last", "weight") not in made.choices
    assert Point("middle", "activation") in made.choices


@pytest.mark.parametrize(
    ("name", "near"), [("midle", ", did you mean 'middle'?"), ("conv*", ""), ("r1", "")]
)
def test_names_that_fit_nothing(name: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = f"no weight layer is called {name!r}, which is to be left as it is{near}\n"
    plain = ["--weight", "Q2.6", "--activation", "Q4.4"]
    for verb in (
        ["rewrite", "n.prototxt", "-o", "low.prototxt", *plain],
        ["quantize", "n.prototxt", "n.caffemodel", "--data", "x.npz", "-o", "o"],
    ):
        assert main([*verb, "--exclude", name, "--quiet"]) == 2
        shown = capsys.readouterr().err
        assert said in shown and "its weight layers: first, middle, last" in shown


def test_names_of_companions_count() -> None:
    """An auxiliary classifier stands in the train_val file alone."""
    more = layer("InnerProduct", "aux", "first", more="inner_product_param { num_output: 2 }")
    Path("t.prototxt").write_text(TEXT.replace(layer("ReLU", "r1", "first", "first"), layer(
        "ReLU", "r1", "first", "first") + more))  # fmt: skip
    flags = ["--weight", "Q2.6", "--activation", "Q4.4", "--exclude", "aux", "--quiet"]
    assert main(["rewrite", "n.prototxt", "-o", "l.prototxt", "--also", "t.prototxt",
                 "lt.prototxt", *flags]) == 0  # fmt: skip
    assert types("lt.prototxt")["aux"] == "InnerProduct"
    with pytest.raises(UsageError, match="first are to stay as they are, but float takes all"):
        rewrite_files("l.prototxt", "f.prototxt", to_float=True, exclude_first=True)


@pytest.mark.parametrize("best", [[], ["--int8", "--best", "--onnx", "float"]])
def test_one_kind_of_one_layer_in_float(best: list[str]) -> None:
    flags = ["--bits", "8", "--bits", "first:weight=float", "--bits", "middle:activation=float"]
    summary = quantized("n.prototxt", "n.caffemodel", "o", *flags, *best)
    layers = {entry["name"]: entry for entry in summary["layers"]}  # type: ignore[attr-defined]
    assert layers["first"]["weight"]["q"] is None and layers["first"]["activation"]["q"]
    assert layers["middle"]["weight"]["q"] and layers["middle"]["activation"] is None
    left = json.loads(Path("o/plan.json").read_text())["left_float"]
    assert left["first"] == "weights left in float, as was asked"
    assert left["middle"] == "result left in float, as was asked"
    made = types("o/net_lp.prototxt")
    assert made["first"] == "InnerProduct" and "first_lpact" in made
    assert made["middle"] == "LPInnerProduct" and "middle_lpact" not in made


def test_a_plan_by_hand() -> None:
    """It could be rewritten and converted, but neither scored nor proved by one verb."""
    quantized("n.prototxt", "n.caffemodel", "a", "--bits", "8", "--rule", "sqnr")
    plan = Path("a/plan.json").read_text().splitlines(keepends=True)
    number, row = next((i, r) for i, r in enumerate(plan) if '"middle"' in r and '"weight"' in r)
    fields = json.loads(row.rstrip().rstrip(","))
    plan[number] = row.replace(f'"q": "{fields["q"]}"', '"q": "Q2.1"')
    plan.pop(next(i for i, r in enumerate(plan) if '"first"' in r and '"weight"' in r))
    Path("hand.json").write_text("".join(plan))
    summary = quantized("n.prototxt", "n.caffemodel", "b", "--plan", "hand.json", "--onnx", "qdq")
    layers = {entry["name"]: entry for entry in summary["layers"]}  # type: ignore[attr-defined]
    assert layers["middle"]["weight"]["q"] == "Q2.1"
    assert layers["middle"]["weight"]["sqnr_db"] is not None
    assert layers["first"]["weight"]["q"] is None
    assert all(check["ok"] for check in summary["verification"])  # type: ignore[attr-defined]
    assert types("b/net_lp.prototxt")["first"] == "InnerProduct"
    again = Path("b/plan.json").read_text()
    assert '"Q2.1"' in again


def test_plans_that_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    quantized("n.prototxt", "n.caffemodel", "a", "--bits", "8")
    arguments = ["quantize", "n.prototxt", "n.caffemodel", "--data", "x.npz", "-o", "b", "--quiet"]
    assert main([*arguments, "--plan", "a/plan.json", "--bits", "4", "--equalize"]) == 2
    assert "bits, equalize beside --plan, which says the formats" in capsys.readouterr().err
    other = Path("a/plan.json").read_text().replace('"middle"', '"centre"')
    Path("other.json").write_text(other)
    assert main([*arguments, "--plan", "other.json"]) == 2
    assert 'the plan names layer "centre", which the net lacks' in capsys.readouterr().err
    assert not Path("b").exists()


def quantized(net: str, weights: str, out: str, *flags: str) -> dict[str, object]:
    arguments = ["quantize", net, weights, "--data", "x.npz", "-o", out, "--quiet", *flags]
    assert main(arguments) == 0
    return dict(json.loads(Path(out, "summary.json").read_text()))


def test_a_net_that_has_formats(capsys: pytest.CaptureFixture[str]) -> None:
    """They were thrown away without a word, and the rounded net was called float."""
    first = quantized("n.prototxt", "n.caffemodel", "a", "--bits", "3", "--rule", "sqnr")
    capsys.readouterr()
    again = quantized("a/net_lp.prototxt", "a/net_lp.caffemodel", "b", "--bits", "12")
    shown = capsys.readouterr().err
    said = (
        "The net has formats already, of 5 layers (first, first_lpact, middle, middle_lpact, last)"
    )
    assert said in shown and "adaption verify a/net_lp.prototxt" in shown
    assert any(said in note for note in again["notes"])  # type: ignore[union-attr]
    direct = quantized("n.prototxt", "n.caffemodel", "c", "--bits", "12")
    assert again["accuracy"] == direct["accuracy"] and again["layers"] == direct["layers"]
    assert first["accuracy"]["float"] == again["accuracy"]["float"]  # type: ignore[index]
    assert types("b/net_lp.prototxt") == types("c/net_lp.prototxt")


def test_formats_of_precision_param_and_batch_norm_behind() -> None:
    text = TEXT.replace(
        'bottom: "first" top: "middle"', 'bottom: "first" top: "middle" precision_param { weight {'
        " kind: FIXED word_length: 4 frac_length: 2 } }",
    )  # fmt: skip
    Path("n.prototxt").write_text(text)
    made = quantized("n.prototxt", "n.caffemodel", "d", "--bits", "8")
    assert any("of 1 layers (middle)" in note for note in made["notes"])  # type: ignore[union-attr]
    again = quantized("d/net_lp.prototxt", "d/net_lp.caffemodel", "e", "--fold-batch-norm")
    assert again["accuracy"]["float"] == made["accuracy"]["float"]  # type: ignore[index]
