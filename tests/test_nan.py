"""NaN: never a right prediction, never exact, and the layer that holds or makes it is named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import adaption
from adaption.cli.main import main
from adaption.errors import AdaptionError, DataError, WeightsError
from adaption.exact import ExactNet
from adaption.net import Net
from adaption.net.finite import first_nan, refuse_not_finite
from adaption.numerics import FixedPoint
from adaption.numerics.measures import NO_SIGNAL_DB, stated_db
from adaption.precision.evaluate import PointError
from adaption.report.plot_log import plot_log
from adaption.report.training_log import read_log
from tests.layers.snippets import forward
from tests.net.nets import data, inner_product, layer, net_of

P = (
    "precision_param { weight { kind: FIXED word_length: 8 frac_length: 6 }"
    " activation { kind: FIXED word_length: 8 frac_length: 4 } }"
)
TEXT = (
    data(2, 3)
    + inner_product("a", "data", 4, more=P)
    + layer("ReLU", "r", "a", "a")
    + inner_product("b", "a", 3, more=P)
    + layer("Softmax", "prob", "b")
)
# A net whose weights are finite: the logarithm of negative values is NaN.
LOG = (
    data(2, 3)
    + inner_product("a", "data", 4)
    + layer("Log", "log", "a", "a")
    + inner_product("b", "a", 3)
)
HEAD = "holds 1 of {} values that are NaN or infinite"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 3)).astype(np.float32)
    np.savez("x.npz", data=x, label=np.zeros(8, np.int64))
    Path("n.prototxt").write_text(TEXT)
    return tmp_path


def save(value: float, name: str, blob: int) -> Net:
    net = net_of(TEXT, seed=1)
    net.params[name][blob].data.flat[1] = value
    net.save("n.caffemodel")
    return net


VERBS = {
    "quantize": ["--data", "x.npz", "-o", "o", "--quiet"],
    "measure": ["--data", "x.npz", "-o", "m.json", "--quiet"],
    "sparsity": ["--data", "x.npz", "--quiet"],
    "export": ["--to", "onnx", "-o", "n.onnx", "--quiet"],
    "verify": ["exact", "lp64", "--input-format", "data=Q4.4"],
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("value", "name", "blob", "count"),
    [(math.nan, "a", 0, 12), (math.inf, "b", 0, 12), (math.nan, "b", 1, 3), (-math.inf, "a", 1, 4)],
)
def test_weights_and_biases(
    verb: str,
    value: float,
    name: str,
    blob: int,
    count: int,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(value, name, blob)
    if verb == "quantize":
        Path("n.prototxt").write_text(TEXT.replace(P, ""))
    assert main([verb, "n.prototxt", "n.caffemodel", *VERBS[verb]]) == 2
    shown = capsys.readouterr().err
    assert f'layer "{name}" (InnerProduct): blob {blob} ' in shown
    assert HEAD.format(count) in shown


@pytest.mark.parametrize("to", ["onnx", "c", "npz", "caffemodel"])
@pytest.mark.parametrize("style", [[], ["--style", "integer"], ["--style", "qdq"]])
def test_every_export(
    to: str, style: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if style and to != "onnx":
        pytest.skip("a style is of ONNX")
    save(math.nan, "a", 1)
    formats = [] if to == "caffemodel" else ["--input-format", "data=Q4.4"]
    arguments = ["export", "n.prototxt", "n.caffemodel", "--to", to, *style, *formats, "-o", "out"]
    assert main(arguments) == 2
    assert 'layer "a" (InnerProduct): blob 1 holds 1 of 4' in capsys.readouterr().err
    assert not Path("out").exists()


def test_rewriting_and_converting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(math.nan, "b", 0)
    Path("n.prototxt").write_text(TEXT.replace(P, ""))
    formats = ["--weight", "Q2.6", "--activation", "Q4.4", "--quiet"]
    files = ["--weights", "n.caffemodel", "--weights-out", "low.caffemodel"]
    assert main(["rewrite", "n.prototxt", "-o", "low.prototxt", *formats, *files]) == 2
    assert 'layer "b"' in capsys.readouterr().err
    assert main(["rewrite", "n.prototxt", "-o", "low.prototxt", *formats]) == 0
    convert = ["convert", "n.caffemodel", "low.prototxt", "-o", "low.caffemodel", "--quiet"]
    assert main(convert) == 2
    assert 'layer "b" (LPInnerProduct): blob 0 holds 1 of 12' in capsys.readouterr().err
    assert not Path("low.caffemodel").exists()


def test_exact_arithmetic_and_python(folder: Path) -> None:
    net = save(math.inf, "a", 0)
    with pytest.raises(WeightsError, match='layer "a"'):
        ExactNet(net)
    with pytest.raises(WeightsError, match='layer "a"'):
        adaption.verify(net, "exact", "lp64", input_formats={"data": FixedPoint.q("Q4.4")})
    with pytest.raises(WeightsError, match='layer "a"'):
        refuse_not_finite(net)


def test_a_layer_that_makes_it_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights and data are finite; the layer in place is told from the one it stands on."""
    Path("n.prototxt").write_text(LOG)
    net = net_of(LOG, seed=1)
    net.save("n.caffemodel")
    for verb in ("quantize", "sparsity"):
        assert main([verb, "n.prototxt", "n.caffemodel", *VERBS[verb]]) == 2
        assert 'layer "log" (Log): is the first layer that gives NaN' in capsys.readouterr().err
    adaption.export_onnx(net, "n.onnx")
    with pytest.raises(DataError, match=r'layer "log" \(Log\): is the first layer'):
        adaption.verify(net, "n.onnx")
    with pytest.raises(DataError, match=r'layer "log" \(Log\): is the first layer'):
        adaption.verify(net, "float", "n.onnx")


def test_scoring_says_so_and_counts_nothing_as_right(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fed = layer(
        "DummyData",
        "d",
        "",
        "data label",
        "dummy_data_param { shape { dim: 2 dim: 3 }"
        ' shape { dim: 2 } data_filler { type: "gaussian" } data_filler { value: 1 } }',
    )
    text = fed + TEXT.partition("\n")[2].replace("Softmax", "SoftmaxWithLoss").replace(
        'bottom: "b"', 'bottom: "b" bottom: "label"'
    )
    text += layer("Accuracy", "acc", "b label")
    Path("t.prototxt").write_text(text)
    save(math.nan, "b", 1)
    assert main(["test", "t.prototxt", "n.caffemodel", "--iterations", "2", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert [s["mean"] for s in found["scores"]] == [0.0, None]
    assert found["loss"] is None
    said = 'layer "b" (InnerProduct): is the first layer that gives NaN for batch 0'
    assert said in shown.err and any(said in notice for notice in found["notices"])


def test_first_nan() -> None:
    net = net_of(TEXT, seed=1)
    net.forward(data=torch.randn(2, 3, generator=torch.Generator().manual_seed(0)))
    assert first_nan(net) is None
    net.forward(data=torch.full((2, 3), math.nan))
    found = first_nan(net)
    assert found is not None and found.spec.name == "data"


NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "want"),
    [
        ([[NAN, NAN, NAN]], 0),
        ([[NAN, 0, 1]], 0),
        ([[1, NAN, 0]], 0),
        ([[1, 0, 0], [NAN, 1, 1]], 0.5),
        ([[math.inf, 0, 1]], 1),
    ],
)
@pytest.mark.parametrize("top_k", [1, 3])
def test_accuracy(scores: list[list[float]], want: float, top_k: int) -> None:
    param = f"accuracy_param {{ top_k: {top_k} }}"
    assert forward(f'type: "Accuracy" {param}', scores, np.zeros(len(scores))) == want


def test_accuracy_per_class_without_ignored_labels() -> None:
    scores = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    labels = [0, -1, 1, -1, 0]
    param = "accuracy_param { ignore_label: -1 }"
    share, per_class = forward(f'type: "Accuracy" {param}', scores, labels, tops=2)
    assert share == np.float32(2 / 3) and per_class.tolist() == [0.5, 1, 0]
    inside = "accuracy_param { ignore_label: 1 }"
    _, per_class = forward(f'type: "Accuracy" {inside}', scores, [0, 1, 1, 1, 0], tops=2)
    assert per_class.tolist() == [0.5, 0, 0]


def test_sqnr_that_is_no_number_is_not_exact() -> None:
    assert stated_db(math.inf) is None
    assert stated_db(40.5) == 40.5
    assert stated_db(-math.inf) == stated_db(math.nan) == NO_SIGNAL_DB
    error = PointError()
    fmt = FixedPoint(8, 4)
    error.update(torch.tensor([math.nan, 1.0]), torch.tensor([math.nan, 1.0]), fmt)
    assert error.to_dict()["sqnr_db"] == NO_SIGNAL_DB


LINE = "I0401 10:00:0{}.000000  1 solver.cpp:228] Iteration {}, loss = {}\n"


@pytest.mark.parametrize(
    ("values", "last", "note"),
    [
        (["2.5", "nan", "-nan"], "NaN", "train loss is NaN at iteration 1 and stays so"),
        (["2.5", "inf", "nan"], "NaN", "train loss is inf at iteration 1 and stays so"),
        (["2.5", "1.#QNAN", "-1.#IND"], "NaN", "train loss is NaN at iteration 1 and stays so"),
        (["2.5", "1.#INF", "2.25"], "2.25", "train loss is inf at iteration 1, 1 times of 3"),
        (["nan", "nan"], "NaN", "train loss is NaN at iteration 0 and stays so"),
    ],
)
def test_logs(values: list[str], last: str, note: str, tmp_path: Path) -> None:
    text = "".join(LINE.format(i, i, value) for i, value in enumerate(values))
    (tmp_path / "run.log").write_text(text)
    table = plot_log(tmp_path / "run.log").table()
    row = next(line for line in table.splitlines() if "train loss" in line).split()
    assert row[3] == str(len(values)) and row[6] == last
    finite = [value for value in values if value[0] == "2"]
    assert row[7] == min(finite, default="-")
    assert note in table


def test_logs_of_our_own(tmp_path: Path) -> None:
    lines = [{"event": "train", "iter": i, "loss": v, "lr": 1} for i, v in enumerate((2, None))]
    lines += [{"event": "test", "iter": 1, "net": 0, "outputs": {"acc": None}}]
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    log = read_log(path)
    assert log.train[0].loss == 2 and math.isnan(log.train[1].loss or 0)
    assert log.tests[0][0].loss is None  # not asked for
    table = plot_log(path).table()
    assert "train loss is NaN at iteration 1 and stays so: the run diverged." in table
    assert "test acc is NaN at iteration 1 and stays so" in table


def test_no_nan_no_word(folder: Path) -> None:
    net = net_of(TEXT, seed=1)
    net.save("n.caffemodel")
    refuse_not_finite(net)
    assert not isinstance(adaption.verify(net, "lp", "lp64"), AdaptionError)
