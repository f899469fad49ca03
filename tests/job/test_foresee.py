"""Nets that cannot be exact between layers: the reason and its layer, before the work and after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adaption.cli.main import main
from adaption.exact import ExactNet
from adaption.exact.float_ops import FloatProduct
from adaption.net import Net
from tests.net.nets import data, inner_product, layer, net_of

CONV = 'convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }'


def conv(name: str, bottom: str) -> str:
    return layer("Convolution", name, bottom, more=CONV)


LSTM = (
    data(3, 2, 5)
    + data(3, 2, name="cont")
    + inner_product("pre", "data", 8, own="axis: 2")
    + layer(
        "LSTM",
        "lstm",
        "pre cont",
        more="recurrent_param { num_output: 4 weight_filler { value: 0.3 } }",
    )
    + inner_product("ip", "lstm", 3, own="axis: 2")
)  # fmt: skip
MVN = data(1, 2, 8, 8) + conv("c1", "data") + layer("MVN", "mvn", "c1") + conv("c2", "mvn")
SOFTMAX = (
    data(1, 2, 8, 8) + conv("c1", "data") + layer("Softmax", "soft", "c1") + conv("c2", "soft")
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(text: str) -> list[str]:
    Path("n.prototxt").write_text(text)
    net = Net("n.prototxt", seed=1)
    net.save("n.caffemodel")
    rng = np.random.default_rng(0)
    arrays = {n: rng.normal(size=(6, *net.blobs[n].shape[1:])) for n in net.inputs}
    if "cont" in arrays:
        arrays["cont"] = np.ones((6, 2))
        arrays["cont"][0] = 0
    np.savez("x.npz", **arrays)
    return ["quantize", "n.prototxt", "n.caffemodel", "--data", "x.npz", "-o", "o"]


@pytest.mark.parametrize(
    ("text", "flags", "reason"),
    [
        (LSTM, [], 'layer "lstm" (LSTM): reads the float32 blob "cont" beside codes'),
        (MVN, [], 'layer "mvn" (MVN): layer type MVN has no integer form'),
        (SOFTMAX, [], 'layer "soft" (Softmax): layer type Softmax has no integer form'),
    ],
)
@pytest.mark.parametrize("onnx", ["qdq", "integer"])
def test_the_reason_is_told_before_and_behind(
    text: str,
    flags: list[str],
    reason: str,
    onnx: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [*prepared(text), "--int8", "--onnx", onnx, *flags]
    assert main(command) == 1
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    first = f"warning: no net_lp.onnx of style {onnx} will be written: "
    assert lines[0].startswith(first) and reason in lines[0]
    assert any(line.startswith("verification failed: net_lp.onnx: not written") for line in lines)
    assert reason in lines[-1] or reason in lines[-2]
    (next_line,) = (line for line in shown.out.splitlines() if line.startswith("next: "))
    assert "onnx" not in next_line
    summary = json.loads(Path("o/summary.json").read_text())
    assert [c["ok"] for c in summary["verification"]] == [True, False]
    assert reason in summary["verification"][1]["detail"]
    assert main(next_line.split()[2:]) == 0  # it can be typed as it stands

    assert main([*command, "--quiet"]) == 1
    shown = capsys.readouterr()
    assert reason in shown.err and "next:" not in shown.out
    assert main([*command[: -len(flags) or None], "--onnx", "float"]) == 0


@pytest.mark.parametrize(
    "flags", [["--exclude", "c2"], ["--bits", "c2:weight=float"], ["--bits", "c2=float"]]
)
def test_float_layers_in_the_way_are_refused_before_the_work(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = data(1, 2, 8, 8) + conv("c1", "data") + layer("Deconvolution", "c2", "c1", more=CONV)
    command = [*prepared(text + conv("c3", "c2")), "--int8", *flags]
    assert main(command) == 2
    said = (
        "adaption quantize: with these layers in float no net_lp.onnx of style qdq can be written:"
        ' layer "c2_lpact" (LPAct): rounds floats that were made from codes: layer "c2"'
        " (Deconvolution): its weights are float\n  fix: round this layer, too, or ask for --onnx"
        " float\n"
    )
    shown = capsys.readouterr()
    assert shown.err.replace("c3_lpact", "c2_lpact") == said and not shown.out
    assert not Path("o").exists()
    assert main([*command, "--onnx", "float", "--quiet"]) == 0


WAYS = ["c1:weight=float", "c2:weight=float", "c3:weight=float", "weight=float", "c1=float"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("onnx", ["qdq", "integer"])
def test_float_weights_run_in_float32_between_codes(
    way: str, onnx: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the first layer they were refused, when all the work was done."""
    text = data(1, 2, 8, 8) + conv("c1", "data") + conv("c2", "c1") + inner_product("c3", "c2", 3)
    command = [*prepared(text), "--int8", "--onnx", onnx, "--bits", way, "--quiet"]
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    checks = json.loads(Path("o/summary.json").read_text())["verification"]
    assert len(checks) == 3 and all(check["ok"] for check in checks)
    assert "0 of " in checks[1]["detail"] and "both are exact" in checks[1]["detail"]


def test_nothing_is_said_where_nothing_is_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    text = data(1, 2, 8, 8) + conv("c1", "data") + conv("c2", "c1") + layer("Softmax", "p", "c2")
    assert main([*prepared(text), "--int8", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_weights_in_float_behind_the_last_codes() -> None:
    """What has no codes runs in float32, and the codes before it are exact."""
    point = "precision_param { activation { kind: FIXED word_length: 8 frac_length: 4 } }"
    both = point.replace(
        "{ activation", "{ weight { kind: FIXED word_length: 8 frac_length: 6 } activation", 1
    )
    text = (
        data(1, 3)
        + layer("LPAct", "q", "data", "data", "lpfp_param { bd: 4 ad: 4 }")
        + inner_product("a", "data", 4, more=both)
        + inner_product("b", "a", 2)
    )
    net = net_of(text, seed=3)
    made = ExactNet(net)
    assert [op.layer for op in made.program.of_kind(FloatProduct)][-1:] == ["b"]
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_allclose(
        made.run({"data": x}).outputs["b"], net.forward(data=x)["b"], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("verb", ["quantize", "sensitivity", "search"])
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--bits", "c3:weight=4"], "bits is 'c3:weight=4', allowed: patterns of the layers"),
        (["--exclude", "c3"], "no weight layer is called 'c3', which is to be left as it is"),
    ],
)
def test_names_that_the_net_lacks_are_refused_before_it_runs(
    verb: str,
    flags: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = prepared(data(1, 2, 8, 8) + conv("c1", "data") + conv("c2", "c1"))
    command[0] = verb
    budget = ["--max-size", "100"] if verb == "search" else []
    if verb == "sensitivity":
        del command[-2:]

    def forward(*_: object, **__: object) -> None:
        raise AssertionError("the net runs")

    monkeypatch.setattr(Net, "forward", forward)
    assert main([*command, *flags, *budget]) == 2
    assert said in capsys.readouterr().err
    assert not Path("o").exists()
