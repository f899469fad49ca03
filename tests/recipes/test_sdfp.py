"""S-DFP as policy and as a rewritten net, which train the same; its rules, limits and errors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import adaption
from adaption.cli.main import main
from adaption.errors import FieldError, KeywordError, UsageError
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net, Point
from adaption.numerics import DynamicFixed
from adaption.options.recipes import make_recipe_options
from adaption.options.recipes.sdfp import SdfpOptions
from adaption.precision.recipe_rewrite import rewrite_by_recipe
from adaption.precision.rewrite_files import rewrite_files
from adaption.proto import caffe_pb2
from adaption.recipes import named_recipe
from adaption.solver import Solver
from adaption.solver.listener import Listener
from tests.solver.runs import write_rows

DATA = """
layer { name: "rows" type: "HDF5Data" top: "data" top: "label" include { phase: TRAIN }
  hdf5_data_param { source: "rows.txt" batch_size: 6 shuffle: true } }
layer { name: "rows" type: "HDF5Data" top: "data" top: "label" include { phase: TEST }
  hdf5_data_param { source: "rows.txt" batch_size: 10 } }
"""
END = """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "last" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "last" bottom: "label" top: "accuracy"
  include { phase: TEST } }
"""


def conv(name: str, bottoms: str, tops: str | None = None, more: str = "", kind: str = "") -> str:
    blobs = "".join(f' bottom: "{b}"' for b in bottoms.split())
    blobs += "".join(f' top: "{t}"' for t in (tops or name).split())
    return (
        f'layer {{ name: "{name}" type: "{kind or "Convolution"}"{blobs} {more} convolution_param'
        ' { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }\n'
    )


def dense(name: str, bottom: str, more: str = "", kind: str = "InnerProduct") -> str:
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" {more}'
        ' inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }\n'
    )


def layer(kind: str, name: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {more} }}\n'


SHARED = 'param { name: "w" } param { name: "b" }'
LPFP = "lpfp_param { bd: 2 ad: 6 }"
NETS = {
    "batch norm and in place": DATA
    + conv("c1", "data")
    + layer("ReLU", "r1", "c1", "c1")
    + conv("c2", "c1")
    + layer("BatchNorm", "bn", "c2", "c2")
    + layer("Scale", "sc", "c2", "c2", "scale_param { bias_term: true }")
    + layer("ReLU", "r2", "c2", "c2")
    + layer("Dropout", "drop", "c2", "c2")
    + dense("mid", "c2")
    + dense("last", "mid")
    + END,
    "shared weights": DATA
    + conv("c0", "data")
    + conv("c1", "c0", more=SHARED)
    + layer("TanH", "t1", "c1", "c1")
    + conv("c2", "c1", more=SHARED)
    + layer("Eltwise", "sum", 'c1" bottom: "c2', "sum")
    + dense("last", "sum")
    + END,
    "LP layers": DATA
    + conv("c1", "data", more=LPFP, kind="LPConvolution")
    + layer("LPAct", "a1", "c1", "c1", LPFP)
    + conv("c2", "c1", more=LPFP, kind="LPConvolution")
    + layer("LPAct", "a2", "c2", "c2", "precision_param { bottom { kind: FLOAT } }")
    + conv("c3", "c2")
    + dense("last", "c3", LPFP, kind="LPInnerProduct")
    + END,
    "several bottoms": DATA
    + conv("a", "data")
    + layer("Power", "less", "a", "b", "power_param { scale: 0.01 }")
    + conv("both", "a b", "c d")
    + layer("Concat", "cat", 'c" bottom: "d', "cat")
    + conv("up", "cat", kind="Deconvolution")
    + layer("Pooling", "pool", "up", "pool", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    + dense("last", "pool")
    + END,
    "own formats": DATA
    + conv("c1", "data")
    + conv("c2", "c1", more="precision_param { weight { kind: DYNAMIC_FIXED word_length: 3 } }")
    + conv("c3", "c2", more="precision_param { bottom { kind: FLOAT } backward_weights: MASTER }")
    + dense("last", "c3")
    + END,
}
SOLVER = """
net: "{net}" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001
max_iter: 12 display: 0 test_iter: 2 test_interval: 6 random_seed: 3 snapshot_prefix: "{net}"
"""
CHOICES: list[dict[str, Any]] = [
    {"bits": 4},
    {"bits": 8, "bias_weight": 0, "bias_activation": -2, "bias_gradient": 1},
    {"bits": 5, "first_last": "quantized", "bias_gradient": 0},
    {"bits": 4, "delayed": True, "full_range": True, "mask_saturated": True},
    {"bits": 6, "rounding_gradient": "stochastic"},
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def net_file(text: str, name: str = "net.prototxt") -> Path:
    path = Path(name)
    path.write_text('name: "tiny"\n' + text)
    return path


def solver_of(net: Path, policy: str = "", **options: Any) -> Solver:
    path = net.with_suffix(".solver")
    path.write_text(SOLVER.format(net=net) + policy)
    return Solver(path, **options)


def policy_of(choices: dict[str, Any]) -> str:
    """precision_policy in text."""
    settings = make_recipe_options("sdfp", choices).settings()
    words = {
        k: str(v).upper() if isinstance(v, str) else str(v).lower() for k, v in settings.items()
    }
    inner = " ".join(f"{name}: {value}" for name, value in words.items())
    return f'precision_policy {{ type: "SDFP" sdfp_param {{ {inner} }} }}\n'


class Heard(Listener):
    def __init__(self) -> None:
        self.outputs: list[Any] = []
        self.notices: list[str] = []

    def tested(self, iteration: int, test_net: int, outputs: Any, loss: float | None) -> None:
        self.outputs.append((iteration, [(o.name, o.value) for o in outputs], loss))

    def notice(self, text: str) -> None:
        self.notices.append(text)


def weights(net: Net) -> list[Tensor]:
    return [b.tensor.detach().clone() for blobs in net.params.values() for b in blobs]


# -- policy and rewritten net --------------------------------------------------------------------


@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize("name", NETS)
def test_policy_and_rewritten_net_train_the_same(name: str, choices: dict[str, Any]) -> None:
    plain, low = net_file(NETS[name]), Path("low.prototxt")
    rewrite_files(plain, low, recipe="sdfp", **choices)
    by_policy = solver_of(plain, policy_of(choices), listeners=[first := Heard()])
    by_net = solver_of(low, listeners=[second := Heard()])
    assert by_policy.net.plan == by_net.net.plan
    for solver in (by_policy, by_net):
        solver.step(12)
        solver.test()
    for a, b in zip(weights(by_policy.net), weights(by_net.net), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(by_policy.history, by_net.history, strict=True):
        assert torch.equal(a, b)
    assert first.outputs == second.outputs and len(first.outputs) == 3
    plain_run = solver_of(plain)
    plain_run.step(12)
    rounds = any(not torch.equal(a, b) for a, b in
                 zip(weights(plain_run.net), weights(by_net.net), strict=True))  # fmt: skip
    assert rounds is bool(by_net.net.plan.keys() - plain_run.net.plan.keys())


@pytest.mark.parametrize("choices", [CHOICES[0], CHOICES[3], CHOICES[4]], ids=str)
def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(choices: dict[str, Any]) -> None:
    net = net_file(NETS["batch norm and in place"])
    whole, first, resumed = (solver_of(net, policy_of(choices)) for _ in range(3))
    whole.step(12)
    first.step(5)
    resumed.restore(first.snapshot().state)
    resumed.step(7)
    for a, b in zip(weights(whole.net), weights(resumed.net), strict=True):
        assert torch.equal(a, b)


ROOT = Path(__file__).resolve().parents[2]
MODELS = ["cifar10_full", "cifar10_resnet20", "googlenet", "mobilenet", "alexnet", "resnet50"]


@pytest.mark.parametrize("first_last", ["float", "quantized"])
@pytest.mark.parametrize("model", MODELS)
def test_a_recipe_chooses_the_same_points_of_a_definition_and_of_a_net(
    model: str, first_last: str
) -> None:
    """The policy sees a living net, rewriting a text."""
    file = adaption.read_net(ROOT / f"models/{model}/deploy.prototxt")
    del file.message.layer[0].input_param.shape[0].dim[:]
    size = 32 if "cifar" in model else 227
    file.message.layer[0].input_param.shape[0].dim.extend([1, 3, size, size])
    made = rewrite_by_recipe([file], SdfpOptions(bits=4, first_last=first_last))
    net = Net(file)
    recipe = named_recipe("sdfp", word_length=4, first_last=first_last)
    from adaption.recipes.view import view_of_net

    plan, _ = recipe.init(view_of_net(net))
    net.set_plan(plan, backward_weights="QUANTIZED")
    low = Net(made.nets[0])
    assert low.plan == net.plan and len(low.plan) > 5
    assert [n.formats for n in low.nodes] == [n.formats for n in net.nodes]


# -- which layers --------------------------------------------------------------------------------


def formats_in(file: NetFile) -> dict[str, set[str]]:
    return {
        m.name: {f.name for f, _ in m.precision_param.ListFields()}
        for m in file.message.layer
        if m.HasField("precision_param")
    }


ALL = {"bottom", "weight", "activation_grad", "backward_weights"}
BRANCHES = (
    DATA
    + conv("stem", "data")
    + conv("left", "stem")
    + conv("right", "stem")
    + layer("Eltwise", "sum", 'left" bottom: "right', "sum")
    + dense("head", "sum")
    + layer("SoftmaxWithLoss", "own", 'head" bottom: "label', "own", "include { phase: TRAIN }")
    + dense("last", "sum")
    + END
)


def test_first_and_last_layers_stay_float() -> None:
    """First: no weight layer before it. Last: none behind it; a net may have several."""
    net = net_file(BRANCHES)
    assert formats_in(adaption.rewrite(net, recipe="sdfp")) == {"left": ALL, "right": ALL}
    every = adaption.rewrite(net, recipe="sdfp", first_last="quantized", bias_gradient=0)
    assert formats_in(every) == dict.fromkeys(("stem", "left", "right", "head", "last"), ALL)


def test_layers_keep_types_and_nothing_is_added() -> None:
    net = net_file(NETS["batch norm and in place"])
    before = adaption.read_net(net).message
    made = adaption.rewrite(net, recipe="SDFP", bits=4)
    for a, b in zip(before.layer, made.message.layer, strict=True):
        b.ClearField("precision_param")
        assert a == b
    back = adaption.rewrite(adaption.rewrite(net, recipe="sdfp"))
    assert back.message == before


def test_what_is_written() -> None:
    net = net_file(NETS["batch norm and in place"])
    made = rewrite_files(
        net, "low.prototxt", recipe="sdfp", bits=4, bias_weight=-2, bias_gradient=0
    )
    assert made.to_dict() == {
        "recipe": "sdfp",
        "files": ["low.prototxt"],
        "layers": [
            {"name": n, "bottom": "DFP4-1", "weight": "DFP4-2", "activation_grad": "DFP4"}
            for n in ("c2", "mid")
        ],
        "warnings": [],
    }
    plan = Net("low.prototxt").plan
    assert plan[Point("c2", "weight")] == DynamicFixed(4, -2)
    assert plan[Point("mid", "activation_grad")] == DynamicFixed(4)
    assert set(plan) == {Point(n, k) for n in ("c2", "mid")
                         for k in ("bottom", "weight", "activation_grad")}  # fmt: skip


def test_companions_follow_the_first_net() -> None:
    """A deploy net that ends earlier has other last layers; it is to compute what was trained."""
    train = net_file(NETS["batch norm and in place"])
    text = NETS["batch norm and in place"]
    head = "input: 'data' input_shape { dim: 1 dim: 1 dim: 6 dim: 6 }\n"
    ends_at_mid = head + text[text.index('layer { name: "c1"') : text.index('layer { name: "last"')]
    deploy = net_file(ends_at_mid, "deploy.prototxt")
    made = rewrite_files(train, "t.prototxt", recipe="sdfp", also=[(deploy, "d.prototxt")])
    assert formats_in(adaption.read_net("d.prototxt")) == {"c2": ALL, "mid": ALL}
    assert made.warnings == [
        'deploy.prototxt: alone, layer "mid" would be float; it is bottom DFP8-1, weight DFP8-1,'
        " activation_grad DFP8-1, as in the first net"
    ]
    alone = adaption.rewrite(deploy, recipe="sdfp")
    assert formats_in(alone) == {"c2": ALL}


def test_training_decides_where_the_phases_differ() -> None:
    """`mid` is a last layer of TEST, and not of TRAIN, which the policy sees."""
    head = dense("more", "last", "include { phase: TRAIN }")
    text = NETS["batch norm and in place"].replace(END, "") + head + END
    net = net_file(text)
    rewrite_files(net, "low.prototxt", recipe="sdfp")
    by_policy, by_net = solver_of(net, policy_of({})), solver_of(Path("low.prototxt"))
    assert by_policy.net.plan == by_net.net.plan
    assert Point("last", "weight") in by_net.net.plan


def test_layers_that_no_phase_keeps_are_named() -> None:
    text = NETS["batch norm and in place"]
    staged = dense("staged", "mid", 'include { stage: "extra" }')
    made = rewrite_files(net_file(text + staged), "low.prototxt", recipe="sdfp")
    assert made.warnings == ['net.prototxt: left as they are, since no phase keeps them: "staged"']


# -- the gradient of a softmax -------------------------------------------------------------------

WARNING = (
    'the gradient of the last layer ("last") has the exponent bias -1: its largest errors saturate,'
    " and learning stops there; leave the last layer float (first_last: FLOAT, --first-last float)"
    " or set bias_gradient: 0"
)


def test_a_negative_gradient_bias_on_a_quantized_last_layer_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = net_file(NETS["batch norm and in place"])
    flags = ["rewrite", str(net), "-o", "low.prototxt", "--recipe", "sdfp", "--bits", "8"]
    assert main([*flags, "--first-last", "quantized"]) == 0
    assert capsys.readouterr().err == f"warning: {WARNING}\n"
    assert main([*flags, "--first-last", "quantized", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == [WARNING]
    Path("low.prototxt").unlink()
    assert main([*flags, "--first-last", "quantized", "--strict"]) == 2
    assert capsys.readouterr().err == f"adaption rewrite: net.prototxt: {WARNING}\n"
    assert not Path("low.prototxt").exists()
    for calm in (["--first-last", "float"], ["--first-last", "quantized", "--bias-gradient", "0"]):
        assert main([*flags, *calm, "--strict"]) == 0
        assert "warning" not in capsys.readouterr().err


def test_training_tells_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    net = net_file(NETS["batch norm and in place"])
    policy = policy_of({"first_last": "quantized"})
    solver_of(net, policy, listeners=[seen := Heard()])
    assert seen.notices == [WARNING]
    solver_of(net, policy_of({}), listeners=[seen := Heard()])
    assert not seen.notices
    assert main(["train", "net.solver", "--quiet"]) == 0
    path = Path("strict.solver")
    path.write_text(SOLVER.format(net=net) + policy)
    assert main(["train", str(path), "--quiet", "--strict"]) == 2
    assert capsys.readouterr().err == f"adaption train: strict.solver: {WARNING}\n"


# -- inf and NaN ---------------------------------------------------------------------------------


def test_training_that_diverges_ends_with_layer_point_and_iteration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = net_file(NETS["batch norm and in place"])
    path = Path("diverges.solver")
    text = SOLVER.format(net=net).replace("base_lr: 0.01", "base_lr: 1e30")
    path.write_text(text + policy_of({"bits": 8}))
    assert main(["train", str(path), "--quiet"]) == 2
    told = capsys.readouterr().err
    found = re.fullmatch(
        r'adaption train: net\.prototxt:\d+: layer "(\w+)" \((\w+)\): the (\w+) to be rounded holds'
        r" inf or NaN, in iteration (\d+)\n  fix: lower base_lr, set clip_gradients, or give this"
        r" point a wider format\n",
        told,
    )
    assert found is not None, told
    assert found[1] in ("c2", "mid") and found[3] in ("bottom", "weight", "activation_grad")
    assert 1 <= int(found[4]) < 6
    assert not list(Path().glob("*.caffemodel"))


def test_a_test_pass_that_meets_nan_says_in_which_iteration() -> None:
    net = net_file(NETS["batch norm and in place"])
    solver = solver_of(net, policy_of({"bits": 8}))
    solver.step(2)
    solver.net.params["mid"][0].data[0, 0] = float("nan")
    with pytest.raises(adaption.AdaptionError, match=r"the weight to be rounded .* in iteration 2"):
        solver.test()


# -- settings ------------------------------------------------------------------------------------


def test_defaults_of_flags_are_those_of_the_prototxt() -> None:
    message = caffe_pb2.SdfpParameter()
    for name, value in SdfpOptions().settings().items():
        found = getattr(message, name)
        enum = message.DESCRIPTOR.fields_by_name[name].enum_type
        assert value == (enum.values_by_number[found].name.lower() if enum else found)
    names = {f.name for f in message.DESCRIPTOR.fields}
    assert names == set(SdfpOptions().settings())


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ("word_length: 17", "precision_policy.sdfp_param.word_length is 17, allowed: 2..16"),
        ("word_length: 1", "precision_policy.sdfp_param.word_length is 1, allowed: 2..16"),
        ("bias_weight: 17", "precision_policy.sdfp_param.bias_weight is 17, allowed: -16..16"),
    ],
)
def test_bad_policies(settings: str, want: str) -> None:
    net = net_file(NETS["shared weights"])
    policy = f'precision_policy {{ type: "sdfp" sdfp_param {{ {settings} }} }}'
    with pytest.raises(FieldError) as caught:
        solver_of(net, policy)
    assert str(caught.value) == f"net.solver: {want}"


def test_exponents_keep_their_limits_in_training() -> None:
    """A net's own formats may limit them; the gradients here are far below."""
    limited = "{ kind: DYNAMIC_FIXED word_length: 8 min_exponent: -3 }"
    text = DATA + conv("c1", "data") + conv("c2", "c1", more=f"precision_param {{ weight {limited} "
                                            f"activation_grad {limited} }}")  # fmt: skip
    solver = solver_of(net_file(text + dense("last", "c2") + END))
    before = solver.net.params["c2"][0].tensor.detach().clone()
    solver.step(1)
    c2 = solver.net.nodes[solver.net.index("c2")]
    codes = c2.quantized_blobs()[0].detach() * 2**3
    assert torch.equal(codes, codes.round()) and codes.any()
    # Gradients below half of 2^-3 vanish: what moves the weights is decay alone.
    solver.net.params["c2"][0].tensor.detach().copy_(before)
    torch.testing.assert_close(solver.net.params["c2"][0].grad, 0.01 * 0.001 * before)


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        (["--bits", "4"], "--bits is a flag of --recipe sdfp, and no recipe is asked for\n"
         "  fix: leave it out, or give --recipe"),
        (["--recipe", "sdpf"], "recipe is 'sdpf', allowed: "),
        (["--recipe", "sdfp", "--weight", "Q2.6"], "a recipe says what to rewrite to; weight cannot"
         " be given beside it\n  fix: leave it out, or rewrite in two steps"),
        (["--recipe", "sdfp", "--exclude", "c2"], "a recipe says what to rewrite to; exclude cannot"
         " be given beside it\n"),
        (["--recipe", "sdfp", "--rounding", "stochastic"], "--rounding is of --weight and"
         " --activation, and a recipe is asked for\n"),
        (["--recipe", "sdfp", "--bits", "17"], "bits is 17, allowed: 2..16"),
        (["--recipe", "sdfp", "--first-last", "both"], "first_last is 'both', allowed: float,"
         " quantized"),
        (["--weight", "Q2.6", "--strict"], "without a recipe there is no strict\n"),
    ],
)  # fmt: skip
def test_bad_flags(flags: list[str], want: str, capsys: pytest.CaptureFixture[str]) -> None:
    net = net_file(NETS["shared weights"])
    assert main(["rewrite", str(net), "-o", "low.prototxt", *flags]) == 2
    assert capsys.readouterr().err.startswith(f"adaption rewrite: {want}")


def test_bad_keywords() -> None:
    net = adaption.read_net(net_file(NETS["shared weights"]))
    with pytest.raises(KeywordError, match=r"recipe sdfp takes no bit\n  fix: did you mean bits\?"):
        adaption.rewrite(net, recipe="sdfp", bit=4)
    with pytest.raises(UsageError, match="without a recipe there is no bits"):
        adaption.rewrite(net, bits=4)
    with pytest.raises(UsageError, match="bits is given beside a whole recipe"):
        adaption.rewrite(net, recipe=named_recipe("sdfp"), bits=4)
    same = adaption.rewrite(net, recipe=named_recipe("sdfp", word_length=4))
    assert same.text() == adaption.rewrite(net, recipe="sdfp", bits=4).text()


def test_comments_and_layout_stay() -> None:
    text = NETS["shared weights"].replace("\nlayer", "\n# about this layer\nlayer")
    file = from_document(prototxt.parse(text, "net.prototxt"))
    assert adaption.rewrite(file, recipe="sdfp").text().count("# about this layer") == text.count(
        "# about this layer"
    )
