"""inspect: files of every kind, and nets with unknown layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adaption.cli.main import main
from adaption.errors import AdaptionError
from adaption.net import Net
from adaption.report.inspect import inspect

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "models/lenet_digits"

UNKNOWN = """name: "odd"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 5 kernel_size: 3 bias_term: false } }
layer { name: "w" type: "Wavelet" bottom: "c" top: "w" wavelet_param { level: 3 } }
layer { name: "r" type: "ReLU" bottom: "w" top: "r" }
layer { name: "s" type: "Softmax" bottom: "c" top: "s" }
"""


def test_table_of_net_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(EXAMPLE / "deploy.prototxt"), str(EXAMPLE / "lenet_digits.caffemodel")]
    assert main(["inspect", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("layer", "type", "weights", "top", "shape", "blobs", "parameters", "MACs")
    ]
    assert lines[2].split() == [
        *("conv1", "Convolution", "fit", "1x16x8x8", "16x1x3x3", "16", "160", "9,216")
    ]
    assert "LeNetDigits: 11 layers, 13,706 parameters, 91,776 MACs" in lines
    assert lines[-2:] == ["inputs: data 1x1x8x8", "outputs: prob 1x10"]


def test_order_of_the_files_does_not_matter() -> None:
    a, b = EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel"
    assert inspect(a, b).to_dict() == inspect(b, a).to_dict()


def test_caffemodel_alone() -> None:
    found = inspect(EXAMPLE / "lenet_digits.caffemodel")
    assert found.params == 13706
    assert found.macs is None and found.phase is None


def test_unknown_layers_hide_only_what_comes_behind_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "odd.prototxt"
    net.write_text(UNKNOWN)
    assert main(["inspect", str(net), "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    layers = {x["name"]: x for x in found["layers"]}
    assert found["unsupported"] == ["Wavelet"] and not found["supported"]
    assert layers["c"]["top_shapes"] == [[2, 5, 2, 2]] and layers["c"]["macs"] == 2 * 5 * 4 * 27
    assert layers["w"]["top_shapes"] is None and layers["r"]["top_shapes"] is None
    assert layers["s"]["top_shapes"] == [[2, 5, 2, 2]]
    assert found["totals"]["macs"] is None
    assert found["outputs"] == {"r": None, "s": [2, 5, 2, 2]}
    assert any("wavelet_param" in w and ":5:" in w for w in found["warnings"])


def test_shapes_of_data_that_is_not_at_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (EXAMPLE / "train_val.prototxt").read_text()
    net = tmp_path / "net.prototxt"
    net.write_text(text.replace("models/lenet_digits/digits_test_lmdb", "nowhere"))
    assert main(["inspect", str(net), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["totals"]["macs"] is None and "no such file" in found["warnings"][0]
    flags = ["--input", "data=2x1x8x8", "--input", "label=2"]
    assert main(["inspect", str(net), "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["totals"]["macs"] == 2 * 91776 and not found["warnings"]
    assert main(["inspect", str(net), "--input", "data=2x1x8x8"]) == 2
    assert "no shape is given for label" in capsys.readouterr().err
    assert main(["inspect", str(net), "--input", "conv1=2"]) == 2
    assert '"conv1" cannot be an input' in capsys.readouterr().err


def test_two_files_of_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    net = str(EXAMPLE / "deploy.prototxt")
    assert main(["inspect", net, net]) == 2
    assert "is a second prototxt\n  fix: give one of each at most" in capsys.readouterr().err


DUMMY = "dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } }"
REST = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def fed(rule: str) -> str:
    head = f'layer {{ name: "d" type: "DummyData" top: "data" top: "label" {rule} {DUMMY} }}'
    return head + REST


@pytest.mark.parametrize(
    ("rule", "flags", "phase", "said"),
    [
        ("include { phase: TRAIN }", [], "TRAIN", 'shown in phase TRAIN, since in TEST layer "ip"'),
        ("exclude { phase: TEST }", [], "TRAIN", "shown in phase TRAIN"),
        ("include { phase: TEST }", [], "TEST", None),
        ("include { phase: TRAIN }", ["--phase", "TRAIN"], "TRAIN", None),
    ],
)
def test_the_phase_that_works(
    rule: str,
    flags: list[str],
    phase: str,
    said: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(fed(rule))
    assert main(["inspect", str(path), "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["phase"] == phase and found["totals"]["layers"] == 3
    assert [said in w for w in found["warnings"]] == [True] if said else not found["warnings"]


@pytest.mark.parametrize(
    ("rule", "flags", "hint"),
    [
        ("include { phase: TRAIN }", ["--phase", "TEST"], "ask for --phase TRAIN"),
        ('include { stage: "deploy" }', [], "ask for --stage deploy"),
        ("include { min_level: 3 }", [], "The NetState level (0) is above the min_level (3)"),
        ('exclude { not_stage: "x" }', [], "its exclude rule holds"),
    ],
)
def test_a_layer_left_out_is_named_where_its_top_is_missed(
    rule: str, flags: list[str], hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "n.prototxt"
    path.write_text(fed(rule))
    assert main(["inspect", str(path), *flags]) == 2
    shown = capsys.readouterr().err
    assert 'unknown bottom blob "data"' in shown
    assert 'layer "d" makes it, and is left out of this net' in shown and hint in shown


def test_a_solver_is_shown_with_its_nets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    test_data = fed("include { phase: TEST }").partition("\n")[0].replace('"d"', '"t"')
    Path("n.prototxt").write_text(test_data + fed("include { phase: TRAIN }"))
    text = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 5 test_iter: 1 test_interval: 2\nlarc: true\n'
    Path("s.prototxt").write_text(text + 'net: "n.prototxt"')
    assert main(["inspect", "s.prototxt"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("s.prototxt: a solver\ntest_iter: 1\n")
    assert "train net (net file: n.prototxt):" in shown.out
    assert "test net (net file: n.prototxt):" in shown.out
    assert shown.out.count("3 layers, 16 parameters") == 2
    assert "unknown field larc" in shown.err
    assert main(["inspect", "s.prototxt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [net["phase"] for net in found["nets"]] == ["TRAIN", "TEST"]
    assert main(["inspect", "s.prototxt", "n.prototxt"]) == 2
    assert "is a solver, which is looked at alone" in capsys.readouterr().err
    Path("n.prototxt").unlink()
    assert main(["inspect", "s.prototxt"]) == 0
    assert "n.prototxt: no such file" in capsys.readouterr().err


def test_an_onnx_file_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tmp_path / "n.onnx")
    files = [str(EXAMPLE / "deploy.prototxt"), str(EXAMPLE / "lenet_digits.caffemodel")]
    assert main(["export", *files, "--to", "onnx", "-o", model, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["inspect", model]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{model}: an ONNX model made by adaption ")
    assert "inputs: data Nx1x8x8" in shown and "Conv" in shown and "adaption.style: float" in shown
    assert main(["inspect", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == {"data": ["N", 1, 8, 8]}
    assert main(["convert", model, files[0], "-o", str(tmp_path / "x.caffemodel")]) == 2
    assert "this is an ONNX model, not a caffemodel" in capsys.readouterr().err


ROUNDED = """name: "rounded"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "c" type: "LPConvolution" bottom: "x" top: "c" lpfp_param { bd: 2 ad: 6 }
  convolution_param { num_output: 5 kernel_size: 3 bias_term: false }
  precision_param { bottom { kind: FIXED word_length: 8 frac_length: 4 }
    activation_grad { kind: DYNAMIC_FIXED word_length: 8 } } }
layer { name: "a" type: "LPAct" bottom: "c" top: "a" lpfp_param { bd: 5 ad: 3 } }
"""


def test_every_format_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "rounded.prototxt"
    net.write_text(ROUNDED)
    assert main(["inspect", str(net), "--json"]) == 0
    layers = {x["name"]: x["formats"] for x in json.loads(capsys.readouterr().out)["layers"]}
    said = {point.kind: str(fmt) for point, fmt in Net(net).plan.items() if point.layer == "c"}
    assert layers["c"] == said and said["bottom"] == "Q4.4" and said["activation_grad"] == "DFP8"
    assert (layers["x"], layers["a"]) == ({}, {"activation": "Q5.3"})
    assert main(["inspect", str(net)]) == 0
    table = capsys.readouterr().out
    assert "activation Q5.3" in table and ", ".join(f"{k} {q}" for k, q in said.items()) in table


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("bd: 5 ad: 3", "bd: 500 ad: 3", id="bits out of range"),
        pytest.param(
            "lpfp_param { bd: 5 ad: 3 }",
            "precision_param { weight { kind: FIXED word_length: 8 } }",
            id="a weight where there is none",
        ),
    ],
)
def test_formats_are_refused_as_a_net_refuses_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    net = tmp_path / "rounded.prototxt"
    net.write_text(ROUNDED.replace(old, new))
    with pytest.raises(AdaptionError) as refused:
        Net(net)
    assert main(["inspect", str(net)]) == 2
    assert str(refused.value) in capsys.readouterr().err
