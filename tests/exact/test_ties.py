"""Ties between half_even and half_away: counted exactly, at every point and in the predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adaption.cli.main import main
from adaption.errors import AdaptionError, ShapeError, UsageError
from adaption.exact import ExactNet, ExactOptions
from adaption.exact.ties import TiePoint, count_ties
from adaption.export.onnx import export_onnx
from adaption.net import Net
from adaption.numerics import FixedPoint, saturated_share
from adaption.precision.evaluate import PointError
from tests.export.nets import input_layer, net_of, samples
from tests.export.test_qdq import chain, precision, product, relu, rounds

FOLDER = Path(__file__).parents[2] / "models" / "lenet_digits"
FILES = (str(FOLDER / "deploy.prototxt"), str(FOLDER / "lenet_digits.caffemodel"))
FINE = FixedPoint(8, 1)  # steps of 0.5


def identity() -> Net:
    """Inputs on halves, weight 1, rounded to integers."""
    net = net_of(
        input_layer("data", 1, 2) + product("data", "ip", 2, (4, 0)) + rounds("act", "ip", 7, 0)
    )
    node = net.nodes[-2]
    node.masters[0].write(np.eye(2, dtype=np.float32))
    node.masters[1].write(np.zeros(2, np.float32))
    return net


@pytest.mark.parametrize(
    ("values", "ties", "differing"),
    [
        pytest.param([0.5, 2.5, -0.5, -2.5], 4, 4, id="the code nearer to zero is even"),
        pytest.param([1.5, 3.5, -1.5, -3.5], 4, 0, id="it is odd: both round away"),
        pytest.param([0.0, 1.0, -7.0, 62.0], 0, 0, id="no tie"),
        pytest.param([63.5, -63.5, 62.5, 1.5], 4, 1, id="both saturate"),
    ],
)
def test_ties_at_a_point(values: list[float], ties: int, differing: int) -> None:
    found = count_ties(identity(), {"data": np.reshape(values, (2, 2))}, {"data": FINE})
    assert found.points[-1] == TiePoint("act", 4, ties, differing)


def test_ties_of_an_input_that_is_rounded_as_it_comes_in() -> None:
    x = np.array([[0.25, 0.75], [-0.25, 100.0]])  # in steps: 0.5, 1.5, -0.5, beyond the range
    first = count_ties(identity(), {"data": x}, {"data": FINE}).points[0]
    assert (first.count, first.ties, first.differing) == (4, 3, 2)


def test_top_1_predictions_that_differ() -> None:
    """0.5 rounds to 0, which loses against a 0 before it, or to 1, which wins."""
    x = np.array([[0.0, 0.5], [0.0, 1.5], [0.0, 1.0]])
    found = count_ties(identity(), {"data": x}, {"data": FINE})
    assert (found.samples, found.predictions) == (3, {"ip": 1})


def test_counts_equal_those_of_two_nets_that_round_differently() -> None:
    """Nothing before act1 lies on a tie: the codes of two nets differ as often as counted."""
    text = chain().replace(relu("c1"), "")
    even, away = net_of(text), net_of(text.replace("rounding: HALF_EVEN", "rounding: HALF_AWAY"))
    x = {name: torch.from_numpy(v) for name, v in samples(even, 20).items()}
    gap = [net.forward(x) and net.blobs["c1"].tensor.clone() for net in (even, away)]
    points = {p.layer: p for p in count_ties(away, x).points}
    assert points["act0"].ties == 0
    assert points["act1"].count == gap[0].numel()
    differing = int(torch.count_nonzero(gap[0] != gap[1]))
    assert 0 < differing == points["act1"].differing < points["act1"].ties


def test_pieces_of_data_add_up() -> None:
    net = net_of(chain().replace("rounding: HALF_EVEN", "rounding: HALF_AWAY"))
    x = samples(net, 5)["data"]
    whole = count_ties(net, {"data": x})  # the net's batch is 2
    parts = [count_ties(net, {"data": x[i : i + 1]}) for i in range(5)]
    for i, point in enumerate(whole.points):
        summed = replace(parts[0].points[i])
        for part in parts[1:]:
            summed = summed.plus(part.points[i])
        assert summed == point


def test_report_of_the_export(tmp_path: Path) -> None:
    net, inputs = identity(), {"data": np.array([[0.5, 1.5]])}
    formats = {"data": FINE}
    report = export_onnx(
        net, tmp_path / "n.onnx", style="qdq", input_formats=formats, inputs=inputs
    )
    assert report.notes[-1] == (
        "on 1 sample 2 of 4 values lie on ties, of which half_even and half_away give 1 different"
        ' codes; 0 of 1 top-1 predictions of "ip" differ'
    )
    said = report.to_dict()["ties"]
    assert said["points"][-1] == {"layer": "act", "count": 2, "ties": 2, "differing": 1}
    assert str(report.ties).splitlines()[-1].split() == ["all", "4", "2", "1"]


def test_the_verb_prints_and_says_the_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    low, data, out = (str(tmp_path / n) for n in ("low.prototxt", "data.npy", "net.onnx"))
    flags = ["--weight", "Q1.7", "--activation", "Q5.3", "-o", low, "--quiet"]
    assert main(["rewrite", FILES[0], *flags]) == 0
    rng = np.random.default_rng(0)
    shape = (6, *Net(FILES[0]).blobs["data"].shape[1:])
    np.save(data, rng.integers(0, 17, shape) / np.float32(16))
    flags = ["--to", "onnx", "--style", "qdq", "--input-format", "data=Q1.7", "-o", out]
    assert main(["export", low, FILES[1], *flags]) == 0
    assert "given data (--data, inputs=), the export counts them" in capsys.readouterr().out
    flags += ["--data", data, "--samples", "5"]
    assert main(["export", low, FILES[1], *flags, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["ties"]
    assert said["samples"] == 5
    points = {p["layer"]: p for p in said["points"]}
    assert list(points) == ["data", "conv1_lpact", "conv2_lpact", "ip1_lpact"]
    assert points["conv1_lpact"]["ties"] > points["conv1_lpact"]["differing"] > 0
    assert list(said["predictions_differing"]) == ["prob"]
    assert main(["export", low, FILES[1], *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line.split() for line in lines if line.startswith("conv1_lpact"))
    assert row[1:] == [str(points["conv1_lpact"][n]) for n in ("count", "ties", "differing")]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--style", "float", "--data", "x.npy"], "ties are counted of style qdq"),
        (["--style", "qdq", "--samples", "2"], "samples are those of the data, which is not given"),
        (["--style", "qdq", "--data", "none.npy"], "none.npy: is no npz or npy file"),
    ],
)
def test_bad_flags(
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((1, *Net(FILES[0]).blobs["data"].shape[1:]), np.float32))
    assert main(["export", *FILES, "--to", "onnx", "-o", "n.onnx", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not Path("n.onnx").exists()


def test_nets_whose_ties_have_no_count() -> None:
    floor = "activation { kind: FIXED word_length: 8 frac_length: 3 rounding: FLOOR }"
    text = input_layer("data", 1, 2) + 'layer { name: "a" type: "LPAct" bottom: "data" top: "a" '
    with pytest.raises(UsageError, match='layer "a" rounds floor, ties are counted of nets'):
        count_ties(net_of(f"{text} {precision(floor)} }}"), {"data": np.zeros((1, 2))})
    with pytest.raises(AdaptionError, match="its bottom is float32"):
        count_ties(identity(), {"data": np.zeros((1, 2))})
    two = input_layer("a", 1, 2) + input_layer("b", 1, 2) + rounds("p", "a", 8, 1)
    two += rounds("q", "b", 8, 1)
    with pytest.raises(ShapeError, match=r"inputs have \[1, 2\] samples"):
        count_ties(net_of(two), {"a": np.zeros((1, 2)), "b": np.zeros((2, 2))})


def test_saturated_values_are_those_outside_the_range() -> None:
    """As everywhere else: what rounds to the end of the range counts, too."""
    net = identity()  # 7 bits: -63..63
    values = torch.tensor([63.0, 63.25, 63.5, -64.0, -63.0, 1.0]).view(3, 2)
    run = ExactNet(net, ExactOptions({"data": FixedPoint(9, 2)})).run({"data": values.numpy()})
    assert run.saturated["act"] == 3 == round(saturated_share(values, FixedPoint(7, 0)) * 6)
    point = PointError()
    point.update(values, FixedPoint(7, 0).quantize(values), FixedPoint(7, 0))
    assert point.saturated == 3
