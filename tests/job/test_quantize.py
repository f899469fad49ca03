"""The main job on the embedded example, in every form its data comes in."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import adaption
from adaption.cli.main import main
from adaption.data import Transform
from adaption.errors import DataError, FieldError
from adaption.io import prototxt
from adaption.io.caffemodel import read_weights
from adaption.io.netfile import from_document
from adaption.net import Net
from adaption.numerics import FixedPoint
from adaption.options import INT8

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"
WEIGHTS = EXAMPLE / "lenet_digits.caffemodel"
SCALED = Transform(scale=1 / 16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("job") / "out"
    return adaption.quantize(
        EXAMPLE / "deploy.prototxt",
        WEIGHTS,
        EXAMPLE / "digits_test_lmdb",
        out=out,
        bits=8,
        transform=SCALED,
        quiet=True,
    )


def test_held_out_accuracy_of_the_example(made: Any) -> None:
    assert made.summary["accuracy"]["float"]["top1"] >= 0.97
    assert made.summary["accuracy"]["samples"] == 360


def test_summary_file_holds_what_is_promised(made: Any) -> None:
    summary = json.loads((made.folder / "summary.json").read_text("utf-8"))
    assert summary == made.summary
    assert summary["format"] == "adaption.summary/1"
    assert [e["name"] for e in summary["layers"]] == ["conv1", "conv2", "ip1", "ip2"]
    for entry in summary["layers"]:
        weight = entry["weight"]
        assert FixedPoint.q(weight["q"]).word_length == 8
        for key in ("min", "max", "saturated_share", "zero_share_before", "zero_share_after"):
            assert isinstance(weight[key], float), key
        assert 20 < weight["sqnr_db"] < 60
        assert sum(weight["histogram"]["positive"] + weight["histogram"]["negative"]) + weight[
            "histogram"
        ]["zeros"] == pytest.approx(weight["count"])
    assert summary["layers"][-1]["activation"] is None  # the last classifier stays float
    accuracy = summary["accuracy"]
    assert set(accuracy["float"]) == set(accuracy["quantized"]) == {"top1", "top5"}
    assert abs(accuracy["float"]["top1"] - accuracy["quantized"]["top1"]) <= 0.02
    flips = summary["flipped_predictions"]
    assert flips["samples"] == 360 and flips["count"] == round(flips["share"] * 360)
    # conv1 9*16*64, conv2 144*32*16, ip1 128*64, ip2 64*10
    assert summary["macs"]["total"] == 9216 + 73728 + 8192 + 640
    assert 0 < summary["macs"]["zero_skippable_after"] < summary["macs"]["total"]
    before, after = summary["cost"]["float"], summary["cost"]["quantized"]
    assert before["macs"] == after["macs"] == summary["macs"]["total"]
    assert after["zero_skippable_macs"] == summary["macs"]["zero_skippable_after"]
    # Weights have 8 bits; biases, of which there are 16, 32, 64 and 10, stay float.
    weights = 144 + 4608 + 8192 + 640
    assert after["parameter_bits"] == 8 * weights + 32 * (16 + 32 + 64 + 10)
    assert before["parameter_bits"] == 32 * (weights + 16 + 32 + 64 + 10)
    assert 0 < after["energy"]["total_pj"] < before["energy"]["total_pj"] / 2
    assert "Horowitz" in summary["cost"]["energy_source"]
    assert any("Horowitz" in note for note in summary["notes"])
    assert summary["preprocessing"]["scale"] == 1 / 16
    assert summary["data"] | {"source": ""} == {
        "source": "",
        "kind": "lmdb",
        "samples": 360,
        "skipped": 0,
        "skipped_names": [],
        "has_labels": True,
    }
    for entry in summary["files"].values():
        assert Path(entry["path"]).stat().st_size == entry["size_bytes"]
    assert all(check["ok"] for check in summary["verification"])
    assert len(summary["verification"]) == 2


def test_what_was_written_loads_and_is_bit_equal(made: Any) -> None:
    low = Net(made.folder / "net_lp.prototxt", made.folder / "net_lp.caffemodel")
    weights = read_weights(made.folder / "net_lp.caffemodel")
    plan = made.proposal.plan
    for name in ("conv1", "ip2"):
        layer = weights.get(name)
        assert layer is not None and len(layer.blobs) == 4
        fmt = plan[adaption.net.Point(name, "weight")]
        codes = layer.blobs[1].array() / fmt.lsb
        assert np.array_equal(codes, np.round(codes)) and np.abs(codes).max() <= fmt.max_code
    x = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)
    plain = Net(made.folder / "net_lp.prototxt", WEIGHTS)
    np.testing.assert_array_equal(
        low.forward({"data": x})["prob"].numpy(), plain.forward({"data": x})["prob"].numpy()
    )
    onnx.checker.check_model(str(made.folder / "net_lp.onnx"), full_check=True)


@pytest.mark.parametrize("kind", ["hdf5", "npz"])
def test_arrays_count_as_preprocessed(kind: str, made: Any, tmp_path: Path) -> None:
    import h5py

    data = EXAMPLE / "digits_test.h5"
    if kind == "npz":
        with h5py.File(data) as file:
            np.savez(tmp_path / "d.npz", data=file["data"][:], label=file["label"][:])
        data = tmp_path / "d.npz"
    found = adaption.quantize(
        EXAMPLE / "deploy.prototxt", WEIGHTS, data, out=tmp_path / "o", bits=8, quiet=True
    )
    assert found.summary["data"]["kind"] == kind
    for key in ("accuracy", "flipped_predictions", "macs", "sparsity", "layers"):
        assert found.summary[key] == made.summary[key], key


def test_data_layers_of_the_prototxt(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # Caffe's paths are relative to the working directory
    found = adaption.quantize(
        EXAMPLE / "train_val.prototxt", WEIGHTS, out=tmp_path / "o", bits=8, quiet=True
    )
    assert found.summary["data"]["kind"] == "layers"
    assert found.summary["data"]["samples"] == 360  # one pass, not test_iter batches
    assert found.summary["accuracy"] == made.summary["accuracy"]
    assert [e["weight"]["q"] for e in found.summary["layers"]] == [
        e["weight"]["q"] for e in made.summary["layers"]
    ]
    text = (tmp_path / "o/net_lp.prototxt").read_text("utf-8")
    assert text.startswith("# LeNet-style net") and "# 1/16: pixels become 0..1" in text
    assert found.is_verified


def test_data_in_place_of_the_data_layers(made: Any, tmp_path: Path) -> None:
    found = adaption.quantize(
        EXAMPLE / "train_val.prototxt",
        WEIGHTS,
        EXAMPLE / "digits_test_lmdb",
        out=tmp_path / "o",
        bits=8,
        transform=SCALED,
        quiet=True,
    )
    assert found.summary["accuracy"] == made.summary["accuracy"]


def test_deploy_net_without_data(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        adaption.quantize(EXAMPLE / "deploy.prototxt", WEIGHTS, out=tmp_path / "o", quiet=True)
    assert "has 0 data layers in phase TEST" in str(caught.value)
    assert not (tmp_path / "o").exists()


def test_stochastic_rounding_repeats_itself_from_its_seed(tmp_path: Path) -> None:
    def run(name: str, seed: int) -> dict[str, Any]:
        made = adaption.quantize(
            EXAMPLE / "deploy.prototxt",
            WEIGHTS,
            EXAMPLE / "digits_test.h5",
            out=tmp_path / name,
            bits=5,
            rounding="stochastic",
            limit=60,
            seed=seed,
            quiet=True,
        )
        return {k: v for k, v in made.summary.items() if k not in ("files", "seconds")}

    first, again, other = run("a", 1), run("b", 1), run("c", 2)
    assert first["layers"] == again["layers"]
    assert first["layers"] != other["layers"]
    readback, exported = first["verification"]
    assert readback["ok"]
    assert not exported["ok"] and "not written" in exported["detail"]


def test_a_bad_same_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="same_format is 'all', allowed: concat"):
        adaption.quantize(
            EXAMPLE / "deploy.prototxt",
            WEIGHTS,
            EXAMPLE / "digits_test.h5",
            out=tmp_path / "o",
            limit=2,
            same_format="all",
            quiet=True,
        )
    assert not list(tmp_path.iterdir())


def test_legacy_rule_and_threshold(tmp_path: Path) -> None:
    found = adaption.quantize(
        EXAMPLE / "deploy.prototxt",
        WEIGHTS,
        EXAMPLE / "digits_test.h5",
        out=tmp_path / "o",
        rule="adaption-legacy",
        threshold=0.01,
        limit=50,
        quiet=True,
    )
    assert found.summary["rule"] == "adaption-legacy"
    assert all("of signed values" in e["weight"]["reason"] for e in found.summary["layers"])


def test_verb_prints_the_summary_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", str(EXAMPLE / "digits_test.h5"), "--limit", "40", "--json"]
    code = main(
        [
            "quantize",
            str(EXAMPLE / "deploy.prototxt"),
            str(WEIGHTS),
            "-o",
            str(tmp_path / "o"),
            *flags,
        ]
    )
    shown = capsys.readouterr()
    assert code == 0 and shown.err == ""
    assert json.loads(shown.out)["data"]["samples"] == 40
    assert not any(math.isnan(v) for v in json.loads(shown.out)["sparsity"].values())


FULLY_CONVOLUTIONAL = """layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
"""


@pytest.mark.parametrize(
    ("tail", "ok"),
    [
        ("", True),
        (
            'layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip"'
            ' inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }',
            False,
        ),
    ],
    ids=["any size", "size fixed by its weights"],
)
def test_arrays_of_another_size(tail: str, ok: bool, tmp_path: Path) -> None:
    net, weights = tmp_path / "any.prototxt", tmp_path / "w.caffemodel"
    net.write_text(FULLY_CONVOLUTIONAL + tail)
    Net(net, seed=0).save(weights)
    np.savez(tmp_path / "d.npz", data=np.random.default_rng(0).random((2, 3, 20, 30)))

    def run() -> Any:
        return adaption.quantize(
            net, weights, tmp_path / "d.npz", out=tmp_path / "o", bits=8, quiet=True
        )

    if ok:
        made = run()
        assert made.is_verified
        assert made.summary["net"] == "any"  # the prototxt gives no name
        assert made.summary["macs"]["total"] == 18 * 28 * 4 * 27
    else:
        with pytest.raises(DataError, match=r"has shape 3x20x30, input .data. takes 3x12x12"):
            run()


def test_batch_norm_is_folded_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """
    layer { name: "in" type: "Input" top: "x"
      input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }
    layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
      convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
    layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
    """
    rng = np.random.default_rng(0)
    net = Net(from_document(prototxt.parse(text)), seed=0)
    net.nodes[2].masters[0].write(rng.normal(size=4).astype(np.float32))  # mean, variance, factor
    net.nodes[2].masters[1].write(rng.uniform(0.5, 2, 4).astype(np.float32))
    net.nodes[2].masters[2].write(np.ones(1, np.float32))
    (tmp_path / "n.prototxt").write_text(text)
    net.save(tmp_path / "n.caffemodel")
    x = rng.normal(size=(8, 3, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, label=np.arange(8) % 5)
    made = adaption.quantize(
        tmp_path / "n.prototxt",
        tmp_path / "n.caffemodel",
        tmp_path / "d.npz",
        out=tmp_path / "out",
        bits=12,
        rounding="half_even",
        product_bias=True,
        every_bottom=True,
        fold=True,
        onnx="qdq",
    )
    assert made.is_verified
    assert "\nproving: 5 in " in capsys.readouterr().err  # the net twice, ONNX, two comparisons
    _, exact, simulated = made.summary["verification"]
    assert exact["what"] == "exact-half-even against net_lp.onnx (qdq)"
    assert any(top["is_promised"] for top in exact["tops"]) and simulated["what"].startswith("lp ")
    codes = [top for top in simulated["tops"] if top["format"] is not None]
    assert codes and not any(top["differing"] for top in codes)
    assert "exact-half-even against" in (made.folder / "report.html").read_text()
    assert "Folded: norm into conv." in made.summary["notes"]
    assert [(e["name"], e["type"]) for e in made.summary["layers"]] == [
        ("x", "Input"), ("conv", "Convolution"), ("ip", "InnerProduct")
    ]  # fmt: skip
    low = Net(made.folder / "net_lp.prototxt", made.folder / "net_lp.caffemodel")
    assert not any(node.spec.type == "BatchNorm" for node in low.nodes)
    want = net.forward({"x": x[:4]})["ip"]
    found = low.forward({"x": x[:4]})["ip"]
    assert float((found - want).abs().max()) < 0.02 * float(want.abs().max())


def test_large_nets_are_proved_on_fewer_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adaption.job.proof.PROOF_BYTES", 1)
    found = adaption.quantize(
        EXAMPLE / "deploy.prototxt", WEIGHTS, EXAMPLE / "digits_test_lmdb", out=tmp_path / "o",
        limit=10, quiet=True, onnx="qdq", **INT8,
    )  # fmt: skip
    said = [check["detail"] for check in found.summary["verification"]]
    assert found.is_verified and len(said) == 3
    assert all(" on 1 sample" in text and " on 1 samples" not in text for text in said)


def test_settings_are_refused_before_anything_runs(tmp_path: Path) -> None:
    """The data, which would be opened first, is missing."""
    with pytest.raises(FieldError, match=r"percentile is 101, allowed: above 0, up to 100"):
        adaption.quantize(
            EXAMPLE / "deploy.prototxt", WEIGHTS, tmp_path / "none", out=tmp_path, percentile=101
        )


def test_an_unknown_style_of_onnx(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"onnx is 'qonnx', allowed: float, qdq, integer"):
        adaption.quantize(
            EXAMPLE / "deploy.prototxt",
            WEIGHTS,
            EXAMPLE / "digits_test_lmdb",
            out=tmp_path / "out",
            onnx="qonnx",
        )
    assert not (tmp_path / "out").exists()
