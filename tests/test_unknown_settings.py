"""Unknown fields that may be a fork's settings: refused when a net runs, unless told to ignore."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import adaption
import adaption.pycaffe as caffe
from adaption.cli.main import main
from adaption.errors import UnknownFieldError
from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net
from adaption.precision.fold import fold_batch_norm
from adaption.solver import Solver
from tests.net.nets import data, inner_product, layer, net_of

FIX = (
    "  fix: correct or remove it; where it does not matter: --ignore-unknown (ignore_unknown=True)"
)
ODD = data(2, 3) + inner_product("ip", "data", 4, own="sparsity: 0.5")

# What stands inside a message that is known may be a setting of some fork, wherever that is.
SETTINGS = [
    pytest.param(ODD, 'layer "ip".inner_product_param.sparsity', id="a layer's parameters"),
    pytest.param(
        data(2, 3) + layer("Scale", "s", "data", more="scale_param { bias_filler { spread: 2 } }"),
        'layer "s".scale_param.bias_filler.spread',
        id="a filler",
    ),
    pytest.param(
        data(2, 3) + inner_product("ip", "data", more="param { lr_mult: 1 clip: 2 }"),
        'layer "ip".param.clip',
        id="a param spec",
    ),
    pytest.param(
        data(2, 3) + layer("LPAct", "a", "data", more="lpfp_param { bd: 2 ad: 6 signed: false }"),
        'layer "a".lpfp_param.signed',
        id="a format",
    ),
    pytest.param(
        data(2, 3) + layer("ReLU", "r", "data", more="include { phase: TEST solver: 1 }"),
        'layer "r".include.solver',
        id="a rule",
    ),
    pytest.param(
        'input: "data" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1\n'
        'layers { name: "p" type: POOLING bottom: "data" top: "p"'
        " pooling_param { kernel_size: 1 lp_norm: 2 } }",
        'layers "p".pooling_param.lp_norm',
        id="V1",
    ),
    pytest.param(
        'input: "data" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 4\n'
        'layers { layer { name: "p" type: "pool" pad: 1 kernelsize: 2 lpnorm: 3 }'
        ' bottom: "data" top: "p" }',
        'layers.layer "p".lpnorm',
        id="V0",
    ),
]


@pytest.mark.parametrize(("text", "path"), SETTINGS)
def test_a_setting_is_refused(text: str, path: str) -> None:
    with pytest.raises(UnknownFieldError) as caught:
        net_of(text)
    message = str(caught.value)
    assert "unknown field that may change the numbers: " + path in message
    assert message.startswith("net.prototxt:") and message.endswith(FIX)
    net = net_of(text, ignore_unknown=True)
    assert net.forward() and any(path in notice for notice in net.notices)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(data(2, 3) + layer("ReLU", "r", "data", more="glossy: 1"), id="of a layer"),
        pytest.param(data(2, 3) + layer("ReLU", "r", "data", more="x_param { a: 1 }"), id="block"),
        pytest.param("default_forward_type: FLOAT16 " + data(2, 3), id="of the net"),
        pytest.param(
            data(2, 3) + inner_product("ip", "data", own="cudnn_math_override: 1"), id="harmless"
        ),
        pytest.param(
            data(2, 3) + layer("ReLU", "r", "data", more="include { phase: TRAIN why: 1 }"),
            id="left out",
        ),
    ],
)
def test_what_is_no_setting_is_a_notice(text: str) -> None:
    net = net_of(text)
    assert len(net.notices) == 1 and "unknown field" in net.notices[0]


def test_only_layers_that_run_count() -> None:
    """Behind `end`, and in data layers that become inputs, nothing is in the way."""
    head = layer("Data", "d", "", "data", 'data_param { source: "x" batch_size: 1 sharded: 2 }')
    text = (
        head + inner_product("ip", "data", 4) + layer("ReLU", "r", "ip", more="relu_param { b: 1 }")
    )
    net = net_of(text, input_shapes={"data": (2, 3)}, end="ip")
    assert net.forward()["ip"].shape == (2, 4)
    with pytest.raises(UnknownFieldError, match=r'layer "r".relu_param.b'):
        net_of(text, input_shapes={"data": (2, 3)})


def test_all_are_named_at_once() -> None:
    text = ODD.replace("sparsity: 0.5", "sparsity: 0.5 num_outputs: 3") + layer(
        "ReLU", "r", "ip", more="relu_param { negative_slop: 2 }"
    )
    with pytest.raises(UnknownFieldError) as caught:
        net_of(text)
    assert str(caught.value).splitlines()[0].partition(": ")[2] == (
        'unknown fields that may change the numbers: layer "ip".inner_product_param.sparsity, layer'
        ' "ip".inner_product_param.num_outputs (did you mean num_output?), layer'
        ' "r".relu_param.negative_slop (did you mean negative_slope?)'
    )


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(ODD)
    fed = layer("DummyData", "data", "", "data", "dummy_data_param { shape { dim: 2 dim: 3 } }")
    Path("fed.prototxt").write_text(fed + ODD.partition("\n")[2])
    Net("net.prototxt", ignore_unknown=True, seed=1).save("net.caffemodel")
    np.savez("x.npz", data=np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    return tmp_path


RUNS = [
    ["test", "fed.prototxt", "net.caffemodel", "--iterations", "1", "--quiet"],
    ["time", "net.prototxt", "--iterations", "1", "--quiet"],
    ["measure", "net.prototxt", "net.caffemodel", "--data", "x.npz", "-o", "m.json", "--quiet"],
    ["quantize", "net.prototxt", "net.caffemodel", "--data", "x.npz", "-o", "o", "--quiet"],
    ["sparsity", "net.prototxt", "net.caffemodel", "--data", "x.npz", "--quiet"],
    ["export", "net.prototxt", "net.caffemodel", "--to", "onnx", "-o", "n.onnx", "--quiet"],
    ["verify", "net.prototxt", "net.caffemodel", "float", "--samples", "1"],
]


@pytest.mark.parametrize("verb", RUNS, ids=[v[0] for v in RUNS])
def test_verbs_that_run_a_net(
    verb: list[str], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(verb) == 2
    shown = capsys.readouterr().err
    assert "may change the numbers" in shown and "sparsity" in shown
    assert main([*verb, "--ignore-unknown"]) == 0


def test_verbs_that_run_none(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "net.prototxt", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["warnings"]) == 1 and shown["layers"][1]["params"] == 16
    formats = ["--weight", "Q2.6", "--activation", "Q4.4", "--quiet"]
    assert main(["rewrite", "net.prototxt", "-o", "low.prototxt", *formats]) == 0
    assert "sparsity: 0.5" in Path("low.prototxt").read_text()
    convert = ["convert", "net.caffemodel", "low.prototxt", "-o", "low.caffemodel", "--quiet"]
    assert main(convert) == 0
    assert not fold_batch_norm("net.prototxt", "net.caffemodel").folded


TINY = (
    layer(
        "DummyData",
        "d",
        "",
        "x t",
        "dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } }",
    )
    + inner_product("ip", "x", 1)
    + layer("EuclideanLoss", "l", "ip t", "l")
)
SOLVER = 'net: "n.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "s"\n'


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("larc: true larc_eta: 0.001", "larc, larc_eta"),
        ("min_lr: 0.01", "min_lr"),
        ("momentums: 0.9", "momentums (did you mean momentum?)"),
        ('train_state { stage: "a" solver: true }', "train_state.solver"),
    ],
)
def test_solvers(
    extra: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("n.prototxt").write_text(TINY)
    Path("s.prototxt").write_text(SOLVER + extra)
    assert main(["train", "--solver=s.prototxt"]) == 2
    shown = capsys.readouterr().err
    assert "s.prototxt:2:" in shown and f"may change the numbers: {named}\n" in shown
    assert main(["train", "--solver=s.prototxt", "--ignore-unknown"]) == 0
    with pytest.raises(UnknownFieldError):
        caffe.SGDSolver("s.prototxt")
    with pytest.raises(UnknownFieldError):
        adaption.train("s.prototxt")
    Solver("s.prototxt", net_options={"ignore_unknown": True}).step(1)


@pytest.mark.parametrize("extra", ["per_parameter_reduce: true", "reduce_buckets: 4"])
def test_harmless_fields_of_solvers(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("n.prototxt").write_text(TINY)
    Path("s.prototxt").write_text(SOLVER + extra)
    assert adaption.train("s.prototxt").iter == 1


def test_the_net_of_a_solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("n.prototxt").write_text(TINY.replace("num_output: 1", "num_output: 1 groups: 2"))
    Path("s.prototxt").write_text(SOLVER)
    with pytest.raises(UnknownFieldError, match=r"^n.prototxt:2.*inner_product_param.groups"):
        adaption.train("s.prototxt")
    inline = SOLVER.replace(
        'net: "n.prototxt"', f"net_param {{ {Path('n.prototxt').read_text()} }}"
    )
    Path("s.prototxt").write_text(inline)
    with pytest.raises(UnknownFieldError, match=r"inner_product_param.groups"):
        adaption.train("s.prototxt")


def test_pycaffe(files: Path) -> None:
    with pytest.raises(UnknownFieldError):
        caffe.Net("net.prototxt", caffe.TEST)
    caffe.set_ignore_unknown(True)
    try:
        assert caffe.Net("net.prototxt", caffe.TEST).forward()["ip"].shape == (2, 4)
    finally:
        caffe.set_ignore_unknown(False)


def test_notices_know_their_layer() -> None:
    file = from_document(prototxt.parse(ODD + layer("ReLU", "r", "ip", more="a: 1"), "n.prototxt"))
    assert [[n.name for n in of_layer] for of_layer in file.unknown] == [[], ["sparsity"], ["a"]]
    assert [n.is_setting for n in file.notices] == [True, False]
