"""What `quantize` says where its files compute alike and are no good, and whom it scores."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.errors import DataError
from adaption.job.score import score
from adaption.net import Net
from adaption.report.summary import result_rows
from tests.net.nets import data, inner_product, layer, net_of

SOFTMAX = layer("Softmax", "prob", "ip")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def quantized(*flags: str, code: int = 0) -> dict[str, object]:
    arguments = ["quantize", "n.prototxt", "n.caffemodel", "-o", "o", "--quiet", *flags]
    assert main(arguments) == code
    return dict(json.loads(Path("o/summary.json").read_text())) if code == 0 else {}


def write(text: str, **arrays: np.ndarray) -> Net:
    Path("n.prototxt").write_text(text)
    np.savez("x.npz", **arrays)
    net = net_of(text)
    net.save("n.caffemodel")
    return net


def rows(count: int = 16, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


NO_BIAS = "bias_term: false"


def test_weights_that_become_zero(capsys: pytest.CaptureFixture[str]) -> None:
    net = write(data(1, 8) + inner_product("ip", "data", 4, own=NO_BIAS) + SOFTMAX, data=rows())
    net.params["ip"][0].data[...] = rows(4, 8, 1) * 1e-3
    net.save("n.caffemodel")
    made = quantized("--data", "x.npz", "--bits", "8")
    said = 'rounding leaves little of layer "ip", weight (Q1.7): 100 % of its values become 0;'
    assert any(w.startswith(said) for w in made["warnings"])  # type: ignore[union-attr]
    assert f"warning: {said}" in capsys.readouterr().err
    report = Path("o/report.html").read_text()
    assert "Look at this first" in report and "rounding leaves little of layer" in report
    assert quantized("--data", "x.npz", "--bits", "8", "--rule", "sqnr")["warnings"] == []
    assert "Look at this first" not in Path("o/report.html").read_text()


def test_a_result_that_is_flushed_by_a_wide_neighbour() -> None:
    """One format for a Concat whose branches differ by a factor of 1e4."""
    text = (
        data(1, 8)
        + inner_product("small", "data", 4, own=NO_BIAS)
        + inner_product("large", "data", 4, own=NO_BIAS)
        + layer("Concat", "both", "small large")
        + inner_product("ip", "both", 4, own=NO_BIAS)
    )
    net = write(text, data=rows())
    net.params["large"][0].data[...] *= 1e4
    net.params["ip"][0].data[:, 4:] = 0
    net.save("n.caffemodel")
    made = quantized("--data", "x.npz", "--bits", "8", "--same-format", "concat", "--rule", "sqnr")
    warnings = "\n".join(made["warnings"])  # type: ignore[arg-type]
    assert 'rounding leaves little of layer "small", activation (Q' in warnings
    assert 'output "ip" is far from the float net\'s: its SQNR is' in warnings
    assert 'the points that lose most are layer "small", activation (Q' in warnings


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.arange(16) % 4, None),
        (np.arange(16) % 4 + 1, (4, 1, 4, "; the labels count from 1, subtract 1")),
        (np.arange(16) + 100, (16, 100, 115, "")),
        (np.arange(16) % 4 - 1, (4, -1, 2, "")),
    ],
)
def test_labels_that_are_no_classes(
    labels: np.ndarray, said: tuple[int, int, int, str] | None
) -> None:
    write(data(1, 8) + inner_product("ip", "data", 4) + SOFTMAX, data=rows(), label=labels)
    made = quantized("--data", "x.npz")
    want = []
    if said is not None:
        count, least, greatest, hint = said
        want = [
            f'{count} of 16 labels are no classes of "prob": they go from {least} to {greatest},'
            f" its classes from 0 to 3{hint}"
        ]
    assert made["warnings"] == want


def test_top_k_beyond_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    """As Caffe's CHECK_LE(top_k_, bottom[0]->count() / bottom[1]->count())."""
    text = data(1, 8) + data(1, name="label") + inner_product("ip", "data", 4)
    Path("n.prototxt").write_text(
        text + layer("Accuracy", "a", "ip label", more="accuracy_param { top_k: 5 }")
    )
    assert main(["time", "n.prototxt", "--iterations", "1"]) == 2
    assert "accuracy_param.top_k is 5, allowed: 1..4, the classes" in capsys.readouterr().err


def test_nothing_to_compare() -> None:
    text = (
        data(1, 8)
        + inner_product("ip", "data", 4)
        + layer("Reduction", "sum", "ip", more="reduction_param { axis: 0 }")
    )
    write(text, data=rows())
    (said,) = list(quantized("--data", "x.npz")["warnings"])
    assert str(said).startswith("nothing tells how good the quantized net is")


def test_labels_without_scores() -> None:
    text = data(1, 8) + inner_product("a", "data", 4) + inner_product("b", "data", 4)
    write(text, data=rows(), label=np.zeros(16))
    (said,) = list(quantized("--data", "x.npz")["warnings"])
    assert str(said).startswith('the outputs "a", "b" may all be class scores')
    made = quantized("--data", "x.npz", "--score", "b")
    assert made["warnings"] == [] and made["accuracy"]["samples"] == 16  # type: ignore[index]


SSD = (
    data(1, 2, 16, name="priors")
    + inner_product("loc", "data", 16)
    + inner_product("conf", "data", 12)
    + layer("Reshape", "re", "conf", more="reshape_param { shape { dim: 0 dim: -1 dim: 3 } }")
    + layer("Softmax", "soft", "re", more="softmax_param { axis: 2 }")
    + layer("Flatten", "flat", "soft")
    + layer(
        "DetectionOutput",
        "out",
        "loc flat priors",
        more="detection_output_param { num_classes: 3 confidence_threshold: 0.2"
        " code_type: CENTER_SIZE"
        " nms_param { nms_threshold: 0.45 top_k: 400 } }",
    )
)


def test_a_detector_is_judged_by_its_boxes() -> None:
    boxes = np.array([[0, 0, 0.4, 0.4], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    priors = np.stack([boxes.reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], 4)]).astype(np.float32)
    write(data(1, 8) + SSD, data=rows(), priors=np.tile(priors, (16, 1, 1)))
    good = quantized("--data", "x.npz", "--bits", "16", "--batch-size", "1")
    found = good["detections"]["out"]  # type: ignore[index]
    assert found["boxes"] > 16 and found["matched"] == found["boxes"]
    assert found["mean_score_error"] < 1e-3 and "out" not in good["output_sqnr_db"]  # type: ignore[operator]
    assert good["warnings"] == []
    bad = quantized("--data", "x.npz", "--bits", "2", "--rule", "max", "--batch-size", "1")
    warnings = list(bad["warnings"])  # type: ignore[call-overload]
    assert any('boxes that the float net gives in "out"' in w for w in warnings)
    assert 'boxes in "out"' in Path("o/report.html").read_text().replace("&#34;", '"')


def hdf5(**arrays: np.ndarray) -> None:
    with h5py.File("d.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    Path("d.txt").write_text("d.h5\n")


def fed(tops: str, rest: str = "") -> str:
    head = layer("HDF5Data", "d", "", tops, 'hdf5_data_param { source: "d.txt" batch_size: 4 }')
    return (
        head
        + rest
        + inner_product("ip", "data", 2)
        + layer("SoftmaxWithLoss", "loss", "ip label")
        + layer("Accuracy", "acc", "ip label")
    )


@pytest.mark.parametrize("tops", ["data label w", "label data w", "w label data", "label w data"])
@pytest.mark.parametrize("shape", [(12,), (12, 1), (12, 3)])
@pytest.mark.parametrize("verb", ["quantize", "measure", "sparsity"])
def test_any_tops_in_any_order(tops: str, shape: tuple[int, ...], verb: str) -> None:
    """Sample weights, second labels, second inputs: data sets go by name."""
    x = rows(12)
    label = (x[:, 0] > 0).astype(np.float32)
    hdf5(data=x, label=label, w=np.ones(shape, np.float32))
    Path("n.prototxt").write_text(fed(tops, layer("Silence", "s", "w", "")))
    net = Net("n.prototxt", seed=1)
    net.params["ip"][0].data[...] = 0
    net.params["ip"][0].data[:, 0] = [-1, 1]
    net.params["ip"][1].data[...] = 0
    net.save("n.caffemodel")
    out = {"quantize": ["-o", "o"], "measure": ["-o", "m.json"], "sparsity": []}[verb]
    assert main([verb, "n.prototxt", "n.caffemodel", *out, "--quiet"]) == 0
    if verb == "quantize":
        made = json.loads(Path("o/summary.json").read_text())
        assert made["accuracy"]["float"]["top1"] == 1
    assert main([verb, "n.prototxt", "n.caffemodel", "--data", "d.h5", *out, "--quiet"]) == 0


def test_two_labels() -> None:
    x = rows(12)
    label, other = (x[:, 0] > 0).astype(np.float32), np.ones((12, 1), np.float32)
    hdf5(data=x, label=label, other=other)
    text = fed("other data label") + inner_product("ip2", "data", 2)
    text += layer("SoftmaxWithLoss", "loss2", "ip2 other") + layer("Accuracy", "acc2", "ip2 other")
    Path("n.prototxt").write_text(text)
    net = Net("n.prototxt", seed=1)
    for name, values in (("ip", [-1, 1]), ("ip2", [1, -1])):
        net.params[name][0].data[...] = 0
        net.params[name][0].data[:, 0] = values
        net.params[name][1].data[...] = 0
    net.save("n.caffemodel")
    made = quantized()
    shares = {e["blob"]: e["float"]["top1"] for e in made["scores"]}  # type: ignore[attr-defined]
    assert shares == {"ip": 1.0, "ip2": pytest.approx(float((x[:, 0] <= 0).mean()))}
    assert made["accuracy"]["float"]["top1"] == shares["ip2"]  # type: ignore[index]
    assert any('"ip2" is the main one, the last one of the net' in n for n in made["notes"])  # type: ignore[union-attr]
    assert set(made["output_sqnr_db"]) == {"ip", "ip2"}  # type: ignore[arg-type]
    other_one = quantized("--score", "ip")
    assert other_one["accuracy"]["float"]["top1"] == 1.0  # type: ignore[index]
    assert score("n.prototxt", "n.caffemodel", score="ip", quiet=True).accuracy == {
        "top1": 1.0,
        "top5": None,
    }
    names = [row.measure for row in result_rows(made)]
    assert names[:4] == [
        "top-1 accuracy",
        "flipped predictions",
        'top-1 of "ip"',
        'flipped in "ip"',
    ]


def test_files_of_one_source_that_differ() -> None:
    for name, width in (("a.h5", 8), ("b.h5", 7)):
        with h5py.File(name, "w") as file:
            file["data"], file["label"] = rows(4, width), np.zeros(4)
    Path("d.txt").write_text("a.h5\nb.h5\n")
    Path("n.prototxt").write_text(fed("data label"))
    net_of(data(1, 8) + inner_product("ip", "data", 2)).save("n.caffemodel")
    with pytest.raises(
        DataError, match=r"^b.h5: .*array 'data' has samples of shape \(7,\), those"
    ):
        adaption.quantize("n.prototxt", "n.caffemodel", out="o", quiet=True)
    with h5py.File("b.h5", "w") as file:
        file["data"] = rows(4)
    with pytest.raises(DataError, match=r"^b.h5: .*holds data, a.h5 holds data, label"):
        adaption.quantize("n.prototxt", "n.caffemodel", out="o", quiet=True)


def test_a_top_that_nothing_fills() -> None:
    hdf5(data=rows(4), label=np.zeros(4))
    Path("n.prototxt").write_text(fed("data label w", layer("Silence", "s", "w", "")))
    net_of(data(1, 8) + inner_product("ip", "data", 2)).save("n.caffemodel")
    with pytest.raises(DataError, match=r'layer "d" \(HDF5Data\): nothing in it fills the top "w"'):
        adaption.quantize("n.prototxt", "n.caffemodel", out="o", quiet=True)
