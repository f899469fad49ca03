"""assign on the embedded digits: what it finds, what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption
from adaption.errors import AdaptionError, DataError, FieldError, LayerError, UsageError
from adaption.io.caffemodel import read_weights
from adaption.io.netfile import read_net
from adaption.job import AssignResult, assign_training
from adaption.job import assign as assign_call
from adaption.job.assign import CHECKS
from adaption.job.assign_measured import Converged
from adaption.net import Net, Point
from adaption.solver import Solver

ROOT = Path(__file__).resolve().parents[2]
NET = "models/lenet_digits/train_val.prototxt"
DEPLOY = "models/lenet_digits/deploy.prototxt"
LAYERS = ("conv1", "conv2", "ip1", "ip2")
SOLVER = """# plain SGD
net: "models/lenet_digits/train_val.prototxt"  # of another run
test_iter: 4 test_interval: 100
base_lr: 0.1 lr_policy: "step" gamma: 0.1 stepsize: 60
max_iter: 80 display: 20 snapshot_prefix: "elsewhere/net"
random_seed: 1
"""
KINDS = ("weight", "activation", "weight_grad", "activation_grad", "weight_accumulator")


def assign(**given: Any) -> AssignResult:
    solver = Path("solver.prototxt")
    if not solver.exists():
        solver.write_text(SOLVER)
    wanted: dict[str, Any] = {"solver": solver, "out": "out", "gain_samples": 20, "quiet": True}
    return assign_call(NET, **{**wanted, **given})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("assign")
    (made / "models").symlink_to(ROOT / "models")
    return made


@pytest.fixture(scope="module")
def made(folder: Path) -> AssignResult:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return assign(check=True, also=[(DEPLOY, "out/deploy.prototxt")])
    finally:
        os.chdir(before)


@pytest.fixture
def here(folder: Path, made: AssignResult, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- what it finds -----------------------------------------------------------------------------


def test_report_file_holds_what_is_promised(here: Path, made: AssignResult) -> None:
    report = json.loads(Path("out/report.json").read_text("utf-8"))
    assert report == made.report
    assert [layer["name"] for layer in report["layers"]] == list(LAYERS)
    for layer in report["layers"]:
        assert set(layer["weight"]) == {"gain", "offset", "bits"}
        assert {"gain", "offset", "bits"} <= set(layer["activation"])
        assert set(layer["weight_grad"]) == {"sigma_min", "sigma_max", "range_log2", "bits"}
        assert set(layer["activation_grad"]) == {
            "sigma_min", "sigma_max", "jacobian", "range_log2", "bits"
        }  # fmt: skip
        assert set(layer["weight_accumulator"]) == {"bits"}
    assert report["p_m_limit"] == 0.01 and report["lr_min"] == pytest.approx(0.01)
    assert set(report["costs"]) == set(report["costs_float"]) == {"C_W", "C_A", "C_M", "C_C"}
    assert set(report["runs"]) == {"float", "assigned", "plus_1", "minus_1"}
    for key in ("net", "solver", "float_weights", "report"):
        assert (Path("out") / report["files"][key]).is_file()


def test_every_figure_follows_from_those_beside_it(made: AssignResult) -> None:
    report = made.report
    gains = [layer[kind]["gain"] for layer in report["layers"] for kind in ("weight", "activation")]
    least = min(gains)
    for layer in report["layers"]:
        for kind in ("weight", "activation"):
            found = layer[kind]
            assert found["offset"] == math.floor(0.5 + math.log2(math.sqrt(found["gain"] / least)))
            assert found["bits"] == found["offset"] + report["b_min"]
        own, behind = layer["weight_grad"], layer["activation_grad"]
        assert own["range_log2"] == math.ceil(math.log2(2 * own["sigma_max"]))
        assert behind["range_log2"] == math.ceil(math.log2(4 * behind["sigma_max"]))
        lsb = own["range_log2"] - own["bits"] + 1
        assert lsb == math.floor(math.log2(own["sigma_min"] / 4))
        lsb_behind = behind["range_log2"] - behind["bits"] + 1
        assert lsb_behind == math.floor(lsb - math.log2(behind["jacobian"]) / 2)
        least_step = math.floor(math.log2(report["lr_min"]) + lsb)
        bits = layer["weight"]["bits"]
        assert layer["weight_accumulator"]["bits"] == -bits - least_step + 1
    shares = {int(b): share for b, share in report["p_m"].items()}
    assert shares[report["b_min"]] <= 0.01 < shares[report["b_min"] - 1]
    assert list(shares) == list(range(1, len(shares) + 1)) and len(shares) >= report["b_min"] + 2
    bounds = list(report["p_m_bound"].values())
    assert all(a / b == pytest.approx(4) for a, b in pairwise(bounds))


def test_the_jacobian_of_the_first_layer_is_that_of_the_data(
    here: Path, made: AssignResult
) -> None:
    """The sum over a batch and places of the squares that meet a weight, mean over weights."""
    import torch.nn.functional as F

    net = Net("out/float.prototxt", phase="TRAIN")
    energies = []
    for _ in range(20):
        net.forward()
        patches = F.unfold(net.blobs["data"].tensor, 3, padding=1)
        energies.append(float(patches.square().sum((0, 2)).mean()))
    found = made.report["layers"][0]["activation_grad"]["jacobian"]
    assert min(energies) <= found <= max(energies)
    assert found == pytest.approx(float(np.mean(energies)), rel=0.05)


def test_costs_are_those_of_the_bits(made: AssignResult) -> None:
    layers, costs = made.report["layers"], made.report["costs"]
    weights = (144, 4608, 8192, 640)
    macs = (64 * 144, 16 * 4608, 8192, 640)
    inputs, outputs = (64, 1024, 512, 64), (1024, 512, 64, 10)
    bits = [[layer[kind]["bits"] for kind in KINDS] for layer in layers]
    assert costs["C_C"] == sum(n * b[2] for n, b in zip(weights, bits, strict=True))
    assert costs["C_W"] == sum(n * (b[0] + b[2] + b[4]) for n, b in zip(weights, bits, strict=True))
    assert costs["C_A"] == sum(
        n * b[1] + m * b[3] for n, m, b in zip(inputs, outputs, bits, strict=True)
    )
    assert costs["C_M"] == sum(
        n * (b[0] * b[1] + b[0] * b[3] + b[1] * b[3]) for n, b in zip(macs, bits, strict=True)
    )
    assert made.report["costs_float"]["C_M"] == sum(macs) * 3 * 23 * 23
    others = made.report["costs_others"]
    assert others["TG"]["C_C"] == 2 * sum(weights) and others["BN"]["C_W"] == 65 * sum(weights)
    assert others["SQ"]["C_W"] == sum(
        n * (b[0] + b[2] + 32) for n, b in zip(weights, bits, strict=True)
    )


def test_fixed_point_runs_are_scored(made: AssignResult) -> None:
    runs = {name: run["accuracy"] for name, run in made.report["runs"].items()}
    assert runs["float"] > 0.85
    # 360 digits, 80 iterations: what is asked is that all of them learn.
    assert all(runs[name] > 0.85 for name in ("assigned", "plus_1", "minus_1"))


def test_notes_say_what_was_changed_and_chosen(made: AssignResult) -> None:
    notes = made.report["notes"]
    assert notes[0] == "clip(x, 0, 2) takes the place of ReLU in relu1, relu2, relu3."
    assert notes[1] == (
        "Mismatches are counted on the last 144 of 1437 samples of"
        " models/lenet_digits/digits_train_lmdb, which no run trains with. No run trains with test"
        " samples."
    )
    assert not any("does not cover" in note for note in notes)
    assert notes[-1] == "All runs have seed 1."


# -- what it writes ----------------------------------------------------------------------------


def test_the_net_states_the_plan_and_leaves_held_out_samples_out(
    here: Path, made: AssignResult
) -> None:
    net = Net("out/net.prototxt", phase="TRAIN")
    assert net.plan == made.plan.plan()
    kinds = {p.kind for p in net.plan}
    assert kinds == {
        "weight", "bottom", "activation", "weight_grad", "activation_grad", "weight_accumulator"
    }  # fmt: skip
    assert {p for p in net.plan if p.kind == "bottom"} == {Point("conv1", "bottom")}
    assert {p.layer for p in net.plan if p.kind == "activation"} == {"relu1", "relu2", "relu3"}
    gradients = {p.layer for p in net.plan if p.kind == "activation_grad"}
    assert gradients == {"relu1", "relu2", "relu3", "ip2"}
    for node in net.nodes:
        if node.layer.is_weight_layer():
            assert node.formats.backward_weights == "QUANTIZED"
    text = Path("out/net.prototxt").read_text()
    assert text.count("source_part") == 1 and "limit: 1293" in text
    assert "precision_param" not in Path("out/float.prototxt").read_text()
    for name in ("out/net.prototxt", "out/float.prototxt"):
        (part,) = (m for m in read_net(name).message.layer if m.HasField("source_part"))
        assert (part.source_part.skip, part.source_part.limit) == (0, 1293)
        assert part.include[0].phase == 0  # TRAIN
        assert {m.type for m in read_net(name).message.layer if m.name.startswith("relu")} == {
            "Clip"
        }


def test_the_solver_trains_what_the_check_has_trained(here: Path, made: AssignResult) -> None:
    text = Path("out/solver.prototxt").read_text()
    assert text == (
        "# plain SGD\n"
        'net: "out/net.prototxt"  # of another run\n'
        "test_iter: 4 test_interval: 100\n"
        'base_lr: 0.1 lr_policy: "step" gamma: 0.1 stepsize: 60\n'
        'max_iter: 80 display: 20 snapshot_prefix: "out/assigned"\n'
        "random_seed: 1\n"
        'precision_policy { type: "per_tensor" }\n'
    )
    assert made.command == ["adaption", "train", "--solver", "out/solver.prototxt"]
    done = adaption.train("out/solver.prototxt")
    assert done.iter == 80
    ours = read_weights("out/assigned_iter_80.caffemodel")
    theirs = read_weights("out/assigned.caffemodel")
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a.blobs, b.blobs, strict=True):
            np.testing.assert_array_equal(x.array(), y.array(), err_msg=a.name)


def test_masters_stay_on_their_grid(here: Path, made: AssignResult) -> None:
    weights = read_weights("out/assigned.caffemodel")
    for name, word in made.plan.weights.items():
        layer = weights.get(name)
        assert layer is not None
        codes = layer.blobs[0].array() * 2.0 ** (word.bits - 1)
        assert np.array_equal(codes, np.round(codes)) and np.abs(codes).max() <= 2 ** (
            word.bits - 1
        )


def test_deploy_nets_are_kept_in_step(here: Path, made: AssignResult) -> None:
    net = Net("out/deploy.prototxt", "out/assigned.caffemodel")
    assert net.plan == made.plan.plan()
    assert not net.notices
    trained = Net("out/net.prototxt", "out/assigned.caffemodel")
    trained.forward()
    net.forward({"data": trained.blobs["data"].tensor[:7]})
    own = net.blobs["ip2"].tensor
    assert np.array_equal(own.numpy(), trained.blobs["ip2"].tensor[:7].numpy())


def test_a_net_trained_so_is_bit_equal_when_exported(here: Path, made: AssignResult) -> None:
    """In exact arithmetic, and in onnxruntime on integers; the float style has the same codes."""
    net = Net("out/deploy.prototxt", "out/assigned.caffemodel")
    trained = Net("out/net.prototxt", "out/assigned.caffemodel")
    trained.forward()
    inputs = {"data": trained.blobs["data"].tensor.numpy()}
    between = adaption.verify(net, "lp64", "exact", inputs)
    assert between.ok
    points = [top for top in between.tops if top.layer.startswith("relu")]
    assert len(points) == 3 and all(top.is_promised for top in points)
    for style in ("integer", "qdq"):
        adaption.export_onnx(net, f"{style}.onnx", style=style)
        rounding = "exact" if style == "integer" else "exact-half-even"
        between = adaption.verify(net, rounding, f"{style}.onnx", inputs)
        assert between.ok, between.problems
        assert [top.layer for top in between.tops if top.format and top.is_promised] == [
            "relu1", "relu2", "relu3"
        ]  # fmt: skip
    adaption.export_onnx(net, "float.onnx")
    assert adaption.verify(net, "float.onnx", inputs=inputs).ok


def test_the_page_shows_bits_plot_costs_and_command(here: Path, made: AssignResult) -> None:
    page = Path("out/report.html").read_text("utf-8")
    assert "adaption train --solver out/solver.prototxt" in page
    assert "<svg" in page and "http-equiv" in page and "src=" not in page
    for layer in made.report["layers"]:
        cells = "".join(f"<td>{layer[kind]['bits']}</td>\n" for kind in KINDS)
        assert f'<th class="t name" scope="row">{layer["name"]}</th>\n{cells}' in page
    for note in made.report["notes"]:
        assert note in page


# -- how it goes on ----------------------------------------------------------------------------

FILES = (
    "float.caffemodel", "float.prototxt", "net.prototxt", "solver.prototxt", "report.json",
    "report.html", "assigned.caffemodel", "plus_1.caffemodel", "minus_1.caffemodel",
)  # fmt: skip


def stop_in_training(monkeypatch: pytest.MonkeyPatch, name: str, at: int) -> None:
    """SIGINT when the run `name` writes its snapshot number `at`."""
    usual = assign_training._Tidy.snapshotting
    seen: list[str] = []

    def snapshotting(self: Any, path: str, what: str, file_format: str) -> None:
        usual(self, path, what, file_format)
        if self.stem.name == name and what == "state":
            seen.append(path)
            if len(seen) == at:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(assign_training._Tidy, "snapshotting", snapshotting)


def stop_in(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int = 1) -> None:
    """An interrupt in a stage's function, at its `call`-th call."""
    usual, seen = getattr(owner, name), []

    def stopping(*args: Any, **given: Any) -> Any:
        seen.append(name)
        if len(seen) == call:
            raise KeyboardInterrupt
        return usual(*args, **given)

    monkeypatch.setattr(owner, name, stopping)


def test_a_stopped_job_goes_on_to_the_same_files(
    fresh: Path, folder: Path, made: AssignResult
) -> None:
    stops: list[Any] = [
        lambda patch: stop_in_training(patch, "float", 2),
        lambda patch: stop_in(patch, assign_training.Trainer, "weights"),
        lambda patch: stop_in(patch, Converged, "gains"),
        lambda patch: stop_in(patch, Converged, "_mismatches", 3),
        lambda patch: stop_in(patch, Converged, "paths"),
        lambda patch: stop_in_training(patch, "plus_1", 1),
    ]
    for stop in stops:
        with pytest.MonkeyPatch.context() as patch:
            stop(patch)
            with pytest.raises(KeyboardInterrupt):
                assign(check=True, resume=True)
    assign(check=True, resume=True)
    for name in FILES:
        assert (fresh / "out" / name).read_bytes() == (folder / "out" / name).read_bytes(), name
    assert not list((fresh / "out/work").glob("*.solverstate*"))


def test_resuming_what_is_done_trains_nothing(
    here: Path, made: AssignResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **given: Any) -> Any:
        raise AssertionError("a run was started")

    monkeypatch.setattr(assign_training, "train", never)
    again = assign(check=True, resume=True, also=[(DEPLOY, "out/deploy.prototxt")])
    assert again.report == made.report
    with pytest.raises(UsageError) as caught:
        assign(check=True, resume=True, p_m=0.02)
    assert str(caught.value) == (
        "out/work: --resume with another p m than when the job was stopped: 0.02 instead of 0.01\n"
        "  fix: give what was given then, or leave out --resume to start anew"
    )
    Path("other.prototxt").write_text(SOLVER.replace("0.1 lr", "0.2 lr"))
    with pytest.raises(UsageError, match="with another solver than when the job was stopped"):
        assign(resume=True, solver="other.prototxt")


def test_without_resume_the_job_starts_anew(fresh: Path) -> None:
    (fresh / "out/work").mkdir(parents=True)
    (fresh / "out/work/adaption_job.json").write_text("{}")
    (fresh / "out/work/gains.json").write_text("{}")
    (fresh / "out/assigned.caffemodel").write_text("of another job")
    (fresh / "out/kept.txt").write_text("of the user")
    assert assign().report["runs"]["float"]["accuracy"] > 0.85
    assert (fresh / "out/kept.txt").exists()
    assert not (fresh / "out/assigned.caffemodel").exists()


def test_files_of_others_are_left_alone(fresh: Path) -> None:
    """Neither a folder of the user's own nor what is read is written over."""
    (fresh / "out/work").mkdir(parents=True)
    (fresh / "out/work/thesis.txt").write_text("two years")
    with pytest.raises(UsageError) as caught:
        assign()
    assert str(caught.value) == (
        "'out/work' holds files that are of no job, and would be emptied\n"
        "  fix: name another folder with -o"
    )
    assert (fresh / "out/work/thesis.txt").read_text() == "two years"
    Path("net.prototxt").write_text(Path(NET).read_text())
    for given, said in (
        ({"out": "."}, "output 'net.prototxt' is an input"),
        ({"also": [("net.prototxt", "net.prototxt")]}, "output 'net.prototxt' is an input"),
    ):
        with pytest.raises(UsageError) as caught:
            assign_call("net.prototxt", **{"solver": "solver.prototxt", "out": "new", **given})
        assert str(caught.value) == f"{said}\n  fix: name another file"
        assert Path("net.prototxt").read_text() == Path(NET).read_text()


# -- choices -----------------------------------------------------------------------------------


@pytest.fixture
def trained(fresh: Path, folder: Path, made: AssignResult) -> Any:
    """assign with other choices, from the float run that is there already."""

    def call(**choices: Any) -> AssignResult:
        shutil.copytree(folder / "out", fresh / "out", dirs_exist_ok=True)
        kept = fresh / "out/work"
        for name in ("gains", "p_m"):
            (kept / f"{name}.json").unlink()
        for name in CHECKS:
            (kept / f"trained_{name}.json").unlink()
            (kept / f"accuracy_{name}.json").unlink()
        settings = json.loads((kept / "adaption_job.json").read_text())
        own = {name: value for name, value in choices.items() if name in settings}
        (kept / "adaption_job.json").write_text(json.dumps({**settings, **own}))
        return assign(resume=True, **choices)

    return call


def test_a_net_of_its_own_holds_samples_out(fresh: Path, made: AssignResult) -> None:
    """The same samples, read by phase TEST of another net, give the same mismatches."""
    text = Path(NET).read_text()
    other = text.replace("digits_test_lmdb", "digits_train_lmdb").replace(
        "batch_size: 100 backend: LMDB }",
        "batch_size: 9 backend: LMDB } source_part { skip: 1293 }",
    )
    Path("held.prototxt").write_text(other)
    Path("train.prototxt").write_text(
        text.replace(
            "batch_size: 64 backend: LMDB }",
            "batch_size: 64 backend: LMDB } source_part { limit: 1293 }",
        )
    )
    Path("solver.prototxt").write_text(SOLVER)
    found = assign_call(
        "train.prototxt",
        solver="solver.prototxt",
        out="out",
        held_out="held.prototxt",
        gain_samples=20,
        quiet=True,
    )
    for key in ("p_m", "b_min", "layers", "costs"):
        assert found.report[key] == made.report[key]
    assert found.report["notes"][1].startswith(
        "Mismatches are counted on the samples that phase TEST of held.prototxt reads."
    )


def test_choices_of_the_method(trained: Any, made: AssignResult) -> None:
    """From one float run: every choice does what it says, and nothing else."""
    usual = made.report["layers"]

    def bits(report: dict[str, Any], kind: str) -> list[int]:
        return [layer[kind]["bits"] for layer in report["layers"]]

    legacy = trained(legacy_gc=True, input_bits=8, gain_estimate="median", lr_min=1e-4).report
    assert [layer["weight_grad"]["range_log2"] for layer in legacy["layers"]] == [
        math.ceil(math.log2(2 * 10**0.5 * layer["weight_grad"]["sigma_max"])) for layer in usual
    ]
    assert legacy["layers"][0]["activation"] == {
        "gain": legacy["layers"][0]["activation"]["gain"], "offset": None, "bits": 8,
        "range_log2": -1, "is_signed": False,
    }  # fmt: skip
    for layer in legacy["layers"]:
        own = layer["weight_grad"]
        step = math.floor(math.log2(1e-4) + own["range_log2"] - own["bits"] + 1)
        assert layer["weight_accumulator"]["bits"] == -layer["weight"]["bits"] - step + 1
    assert legacy["lr_min"] == 1e-4
    assert any("The input of conv1 is left at 8 bits." in note for note in legacy["notes"])
    net = Net("out/net.prototxt", "out/float.caffemodel")
    net.forward()
    fmt = net.plan[Point("conv1", "bottom")]
    data = net.blobs["data"].tensor
    assert np.array_equal(fmt.quantize(data).numpy(), data.clamp(max=1 - 2**-8).numpy())
    svd = trained(bqn="svd").report
    assert bits(svd, "weight_grad") == [layer["weight_grad"]["bits"] for layer in usual]
    for a, b in zip(svd["layers"], usual, strict=True):
        jacobian = a["activation_grad"]["jacobian"]
        assert jacobian != pytest.approx(b["activation_grad"]["jacobian"], rel=0.01)


def test_signed_and_wide_inputs_get_a_range_of_their_own(fresh: Path) -> None:
    text = Path(NET).read_text().replace("scale: 0.0625", "scale: 0.5 mean_value: 8")
    Path("net.prototxt").write_text(text)
    text = SOLVER.replace("0.1 lr", "0.01 lr").replace("max_iter: 80", "max_iter: 25")
    Path("solver.prototxt").write_text(text)
    found = assign_call(
        "net.prototxt", solver="solver.prototxt", out="out", gain_samples=20, quiet=True
    )
    activation = found.report["layers"][0]["activation"]
    assert (activation["range_log2"], activation["is_signed"]) == (2, True)
    assert (
        "The input is not within [0, 2]: its format is signed, of range 2^2, which holds what was"
        " seen or what its activation function gives." in found.report["notes"]
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("momentum: 0.9 weight_decay: 0.0005", "momentum 0.9, weight_decay 0.0005"),
        (
            'type: "Adam" momentum: 0.9 clip_gradients: 5',
            "type Adam, momentum 0.9, clip_gradients 5",
        ),
    ],
)
def test_solvers_that_the_theory_does_not_cover_are_named(
    settings: str, said: str, fresh: Path
) -> None:
    text = SOLVER.replace("0.1 lr", "0.002 lr").replace("max_iter: 80", "max_iter: 25")
    Path("solver.prototxt").write_text(f"{text}{settings}\n")
    found = assign()
    (note,) = (n for n in found.report["notes"] if n.startswith("The theory"))
    assert note.startswith(f"The theory covers plain SGD; here it does not cover {said}.")
    solver = Solver("out/solver.prototxt")
    assert solver.net.plan == found.plan.plan()
    before = solver.net.params["ip1"][0].tensor.detach().clone()
    solver.step(5)
    after = solver.net.params["ip1"][0].tensor.detach()
    word = found.plan.weights["ip1"]
    assert not np.array_equal(before, after)
    codes = after.numpy() * 2.0 ** (word.bits - 1)
    assert np.array_equal(codes, np.round(codes))


# -- what it refuses ---------------------------------------------------------------------------


def with_format(text: str) -> str:
    fmt = "precision_param { weight { kind: FIXED word_length: 8 frac_length: 7 } }"
    return text.replace('  name: "conv1"', f'  name: "conv1"\n  {fmt}')


@pytest.mark.parametrize(
    ("net", "solver", "given", "error", "message"),
    [
        pytest.param(
            with_format, None, {}, UsageError,
            'net.prototxt:23: layer "conv1" has formats already, allowed: a float net, whose run'
            " says what the formats have to be",
            id="a net with formats",
        ),
        pytest.param(
            None, 'precision_policy { type: "adapt" }', {}, FieldError,
            "solver.prototxt: precision_policy.type is 'adapt', allowed: per_tensor, or no policy"
            " at all",
            id="another policy",
        ),
        pytest.param(
            lambda t: re.sub(r'layer \{\s*name: "digits".*?\n\}\n', "", t, count=1, flags=re.S),
            None, {}, LayerError, 'net.prototxt:14: layer "conv1" (Convolution): unknown bottom',
            id="no training data",
        ),
        pytest.param(
            lambda t: t.replace(
                'type: "Data"\n  top: "data"\n  top: "label"\n  include { phase: TRAIN }',
                'type: "DummyData"\n  top: "data"\n  top: "label"\n  include { phase: TRAIN }\n'
                "  dummy_data_param { shape { dim: 9 dim: 1 dim: 8 dim: 8 } shape { dim: 9 } }",
                1,
            ),
            None, {}, DataError,
            'net.prototxt:5: layer "digits" (DummyData): is a DummyData layer, which has no last'
            " samples to hold out\n"
            "  fix: give --held-out NET, a net whose phase TEST reads other samples",
            id="data without an end",
        ),
        pytest.param(
            None, None, {"p_m": 1.5}, FieldError,
            "p_m is 1.5, allowed: a share above 0 and below 1", id="p_m",
        ),
        pytest.param(
            None, None, {"bqn": "max"}, FieldError, "bqn is 'max', allowed: exact, svd", id="bqn",
        ),
        pytest.param(
            None, None, {"input_bits": 0}, FieldError, "input_bits is 0, allowed: 1..24",
            id="input_bits",
        ),
        pytest.param(
            None, None, {"out": "net.prototxt"}, UsageError,
            "output 'net.prototxt' is a file\n  fix: name a folder", id="a file as folder",
        ),
    ],
)  # fmt: skip
def test_refusals_come_before_anything_is_trained(
    net: Any, solver: str | None, given: dict[str, Any], error: type[AdaptionError], message: str,
    fresh: Path,
) -> None:  # fmt: skip
    text = Path(NET).read_text()
    Path("net.prototxt").write_text(text if net is None else net(text))
    Path("solver.prototxt").write_text(SOLVER + (solver or ""))
    with pytest.raises(error) as caught:
        assign_call("net.prototxt", **{"solver": "solver.prototxt", "out": "out", **given})
    assert str(caught.value).startswith(message), str(caught.value)
    assert not (fresh / "out").exists()


def test_a_limit_that_no_word_length_meets_is_said(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Converged, "_mismatches", lambda *args: 0.25)
    with pytest.raises(UsageError) as caught:
        trained()
    assert str(caught.value) == (
        "the share of mismatches stays above 0.01 up to 24 bits: it is 0.25\n"
        "  fix: raise --p-m, or look whether the samples held out are those the net is for"
    )


def test_a_tensor_without_bits_counts_as_a_failed_check(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Converged, "_mismatches", lambda *args: 0.0)
    for name in ("assigned", "plus_1"):
        monkeypatch.delitem(CHECKS, name)
    found = trained(check=True)
    assert found.report["b_min"] == 1
    run = found.report["runs"]["minus_1"]
    assert run["accuracy"] is None and "is left with 0 bits" in run["note"]
    assert "is left with 0 bits" in Path("out/report.html").read_text()
