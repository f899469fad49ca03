"""Wider nets as text: comments, legacy forms, files in step, projections, solvers."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaption.cli.main import main
from adaption.errors import FieldError, LayerError, UsageError
from adaption.graph.widening.table import RULES
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document, read_net
from adaption.net import Net
from adaption.precision.widen import widen

ROOT = Path(__file__).resolve().parents[2]

NET = """# Whose idea
name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer {
  name: "conv1"  # the stem
  type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4  kernel_size: 3 } # four
}
layer { name: "relu" type: "ReLU" bottom: "conv1" top: "conv1" }
layer {
  type: "InnerProduct" name: "fc" bottom: "conv1" top: "fc"
  # classes
  inner_product_param { num_output: 10 }
}
"""


def read(text: str) -> NetFile:
    return from_document(prototxt.parse(text, "net.prototxt"))


def test_only_numbers_change() -> None:
    made = widen(read(NET), factor=2)
    assert made.nets[0].text() == NET.replace("num_output: 4", "num_output: 8")
    assert made.to_dict()["layers"] == [
        {"name": "conv1", "before": 4, "after": 8, "weights_before": 108, "weights_after": 216},
        {"name": "fc", "before": 10, "after": 10, "weights_before": 1440, "weights_after": 2880},
    ]
    assert made.kept == {"fc": "last weight layer"}


@pytest.mark.parametrize("form", ["V0", "V1", "lp"])
def test_other_forms(form: str) -> None:
    v1 = """layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" # first
  convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "s" type: SLICE bottom: "c" top: "p" top: "q" slice_param { slice_point: 1 } }
layers { name: "j" type: CONCAT bottom: "q" bottom: "p" top: "j" }
layers { name: "f" type: INNER_PRODUCT bottom: "j" top: "f"
  inner_product_param { num_output: 2 } }
"""
    v0 = """layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 3 }
  bottom: "data" top: "c" }
layers { layer { name: "f" type: "innerproduct" num_output: 2 } bottom: "c" top: "f" }
"""
    lp = """layer { name: "c" type: "LPConvolution" bottom: "data" top: "c"
  lp_convolution_param { num_output: 4 kernel_size: 3 bd: 2 ad: 6 } }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f"
  inner_product_param { num_output: 2 } }
"""
    head = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
    text = head + {"V0": v0, "V1": v1, "lp": lp}[form]
    made = widen(read(text), factor=2)
    if form == "V0":  # printed anew
        assert "num_output: 8" in made.nets[0].text()
    else:
        wide = text.replace("num_output: 4", "num_output: 8")
        assert made.nets[0].text() == wide.replace("slice_point: 1", "slice_point: 2")
    assert Net(made.nets[0]).params["f"][0].shape == (2, 8 * 36)
    assert widen(read(text), factor=1).nets[0].text() == text


def test_weights_grow_as_they_should(tmp_path: Path) -> None:
    """Spec 9.1.6: an interior 3 x 3 convolution has 4 times the weights, the last layer 2 times,
    the first 2 times, or 1 time when it is not widened."""
    net = ROOT / "models/vgg16/deploy.prototxt"
    for first in (True, False):
        made = {x.name: x for x in widen(net, factor=2, widen_first=first).layers}
        ratios = {n: x.weights_after / x.weights_before for n, x in made.items()}  # type: ignore[operator]
        assert ratios.pop("conv1_1") == (2 if first else 1)
        assert ratios.pop("conv1_2") == (4 if first else 2)
        assert ratios.pop("fc8") == 2
        assert set(ratios.values()) == {4}


def test_files_stay_in_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    folder = Path("models/googlenet")
    out = [tmp_path / n for n in ("deploy.prototxt", "train.prototxt", "solver.prototxt")]
    made = widen(
        folder / "deploy.prototxt",
        out[0],
        factor="1.5",
        also=[(folder / "train_val.prototxt", out[1])],
        solver=(folder / "solver.prototxt", out[2]),
    )
    assert made.files == out
    deploy, train = (
        {m.name: m.convolution_param.num_output for m in read_net(p).message.layer} for p in out[:2]
    )
    assert deploy["conv1/7x7_s2"] == 96
    assert {n: c for n, c in train.items() if n in deploy and n != "data"} == {
        n: c for n, c in deploy.items() if n not in ("data", "prob")
    }
    by_name = {x.name: x for x in made.layers}
    assert by_name["loss1/fc"].after == 1536  # only training has it
    assert by_name["loss1/classifier"].after == 1000
    before = (ROOT / folder / "solver.prototxt").read_text()
    assert out[2].read_text() == before.replace("models/googlenet/train_val.prototxt", str(out[1]))


@pytest.mark.parametrize("start", ["outside", "beside"])
def test_solver_paths(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path stays relative to the folder that it is meant from."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "wide").mkdir()
    net, solver = tmp_path / "nets/net.prototxt", tmp_path / "nets/solver.prototxt"
    net.write_text(NET)
    named = "nets/net.prototxt" if start == "outside" else "net.prototxt"
    solver.write_text(f'# mine\nnet: "{named}"  # the net\nbase_lr: 0.1\n')
    monkeypatch.chdir(tmp_path)
    widen(
        "nets/net.prototxt", "wide/net.prototxt", factor=2,
        solver=("nets/solver.prototxt", "wide/solver.prototxt"),
    )  # fmt: skip
    new = "wide/net.prototxt" if start == "outside" else "../wide/net.prototxt"
    assert (tmp_path / "wide/solver.prototxt").read_text() == (
        f'# mine\nnet: "{new}"  # the net\nbase_lr: 0.1\n'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            'net: "other.prototxt"',
            "s.prototxt:1: net is 'other.prototxt', which is not among the nets that are widened:"
            " net.prototxt\n  fix: add --also other.prototxt OUT, or start in the folder that its"
            " path is meant from",
            id="another net",
        ),
        pytest.param(
            "net_param { }",
            "s.prototxt: net_param holds a net, allowed: the path of one\n"
            '  fix: write the net to a file of its own, and net: "FILE"',
            id="a net within",
        ),
        pytest.param("base_lr: 1", 's.prototxt: names no net\n  fix: write net: "FILE"', id="none"),
    ],
)
def test_a_solver_of_other_nets_is_refused(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("s.prototxt").write_text(text)
    with pytest.raises(UsageError) as caught:
        widen("net.prototxt", "wide.prototxt", factor=2, solver=("s.prototxt", "t.prototxt"))
    assert str(caught.value) == message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.prototxt", "s.prototxt"]


def test_projection_is_written_like_the_branch(tmp_path: Path) -> None:
    net = str(tmp_path / "lp.prototxt")
    floating = str(ROOT / "models/cifar10_resnet20/train_val.prototxt")
    assert main(["rewrite", floating, "-o", net, "--weight=Q2.14", "--activation=Q8.8"]) == 0
    made = widen(net, factor=2, widen_first=False, project=True)
    assert made.inserted == ["res2a_project"]
    layers = {m.name: m for m in made.nets[0].message.layer}
    names = list(layers)
    place = names.index("res2a_project")
    assert names[place : place + 5] == [
        "res2a_project", "res2a_project_bn", "res2a_project_scale", "res2a_project_lpact", "res2a",
    ]  # fmt: skip
    branch, put = layers["res2a_conv2"], layers["res2a_project"]
    assert put.type == "LPConvolution" and put.lpfp_param == branch.lpfp_param
    param = put.convolution_param
    assert (param.num_output, list(param.kernel_size), list(param.pad)) == (32, [1], [])
    assert param.weight_filler == branch.convolution_param.weight_filler
    assert list(put.bottom) == ["conv1"] and list(put.param) == list(branch.param)
    assert list(layers["res2a"].bottom) == ["res2a_project", "res2a_conv2"]
    shapes = {"data": (1, 3, 32, 32), "label": (1,)}
    built = Net(made.nets[0], input_shapes=shapes)
    assert built.blobs["res2a"].shape == (1, 32, 32, 32)
    assert built.params["res2a_project_bn"][0].shape == (32,)


def test_projection_shares_no_parameters() -> None:
    text = NET.replace('"fc" bottom: "conv1"', '"fc" bottom: "sum"').replace(
        "layer {\n  type",
        """layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  param { name: "w" lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "conv1" bottom: "conv2" top: "sum" }
layer {
  type""",
    )
    made = widen(read(text), factor=2, widen_first=False, project=True)
    assert (
        'layer { name: "sum_project" type: "Convolution" bottom: "conv1" top: "sum_project"\n'
        "  param { lr_mult: 2 }\n"
        "  convolution_param { num_output: 8 kernel_size: 1 } }\n"
        'layer { name: "sum" type: "Eltwise" bottom: "sum_project" bottom: "conv2" top: "sum" }\n'
    ) in made.nets[0].text()


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ("wide", "factor is 'wide', allowed: a number above 0, such as 2 or 1.3"),
        (0, "factor is 0.0, allowed: more than 0"),
        (-1.5, "factor is -1.5, allowed: more than 0"),
        (float("nan"), "factor is nan, allowed: a number above 0, such as 2 or 1.3"),
    ],
)
def test_bad_factors(factor: float | str, message: str) -> None:
    with pytest.raises(FieldError) as caught:
        widen(read(NET), factor=factor)
    assert str(caught.value) == message


def test_a_net_that_could_be_built_and_now_cannot_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever a rule misses is no file that cannot be built."""
    monkeypatch.setitem(RULES, "Reshape", RULES["ReLU"])
    text = NET.replace('"fc" bottom: "conv1"', '"fc" bottom: "rows"').replace(
        "layer {\n  type",
        """layer { name: "rows" type: "Reshape" bottom: "conv1" top: "rows"
  reshape_param { shape { dim: 1 dim: 2 dim: 72 } } }
layer {
  type""",
    )
    with pytest.raises(LayerError) as caught:
        widen(read(text), factor="2")
    assert str(caught.value).startswith(
        'net.prototxt:11: layer "rows" (Reshape): the wider net cannot be built: (1, 8, 6, 6) holds'
        " 288 values, shape (1, 2, 72) holds 144"
    )
