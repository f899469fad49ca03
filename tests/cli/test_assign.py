"""The verb assign: tables, JSON, what an interrupt leaves, bad input."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import shutil
from pathlib import Path

import pytest

import adaption
from adaption.cli import assign
from adaption.cli.main import main
from adaption.job.assign_measured import Converged
from adaption.net import Net
from adaption.proto import caffe_pb2

ROOT = Path(__file__).resolve().parents[2]
NET = "models/lenet_digits/train_val.prototxt"
SOLVER = """base_lr: 0.1 lr_policy: "fixed" max_iter: 30 random_seed: 1
net: "models/lenet_digits/train_val.prototxt" snapshot_prefix: "digits"
test_iter: 4 test_interval: 30
"""
FLAGS = ["--solver", "solver.prototxt", "-o", "out", "--gain-samples", "8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("assign")
    (made / "models").symlink_to(ROOT / "models")
    (made / "solver.prototxt").write_text(SOLVER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert main(["assign", NET, *FLAGS, "--quiet"]) == 0
    return made


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a job that is done."""
    shutil.copytree(folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_tables_notes_and_the_next_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assign", NET, *FLAGS, "--resume"]) == 0
    out = capsys.readouterr().out
    report = json.loads(Path("out/report.json").read_text())
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith(f"bits, with B_min {report['b_min']}\n")
    kinds = ("weight", "activation", "weight_grad", "activation_grad", "weight_accumulator")
    for layer in report["layers"]:
        assert [layer["name"], *(str(layer[kind]["bits"]) for kind in kinds)] in lines
    heads = [line[0] for line in lines if line]
    assert heads[heads.index("scheme") + 1 :][:5] == ["FX", "FL", "BN", "SQ", "TG"]
    assert f"{100 * report['runs']['float']['accuracy']:.2f}" in out
    for note in report["notes"]:
        assert f"note: {note}\n" in out
    assert out.endswith(
        "report: out/report.html\nnext: adaption train --solver out/solver.prototxt\n"
    )


def test_json_is_the_report(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assign", NET, *FLAGS, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("out/report.json").read_text())


def test_flags_reach_the_method(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says another thing than the job that is there was stopped with."""
    for flags, said in (
        (["--p-m", "0.02"], "another p m"),
        (["--bqn", "svd"], "another bqn"),
        (["--legacy-gc"], "another legacy gc"),
        (["--input-bits", "8"], "another input bits"),
        (["--gain-samples", "9"], "another gain samples"),
        (["--gain-estimate", "median"], "another gain estimate"),
        (["--lr-min", "0.001"], "another lr min"),
        (["--held-out", NET], "another held out"),
        (["--seed", "3"], "another seed"),
    ):
        assert main(["assign", NET, *FLAGS, "--resume", *flags]) == 2, flags
        assert f"--resume with {said} than when the job was stopped" in capsys.readouterr().err


def test_the_next_command_trains(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--solver", "out/solver.prototxt"]) == 0
    net = Net("out/net.prototxt", "out/assigned_iter_30.caffemodel")
    assert any(point.kind == "weight_accumulator" for point in net.plan)


def test_the_guide_names_every_setting() -> None:
    """A flag or a field of the policy that is added is explained, and none that is not there."""
    guide = (ROOT / "docs/recipes/per_tensor.md").read_text("utf-8")
    rows = [line.split("|") for line in guide.splitlines() if line.startswith("| `-")]
    named = {flag for row in rows for flag in re.findall(r"`(--?[a-z-]+)", row[1])}
    parser = argparse.ArgumentParser()
    assign.add_arguments(parser)
    flags = [a for a in parser._actions if a.option_strings and a.dest != "help"]
    shared = {"--json", "--quiet", "--dialect", "--allow-python"}  # of every verb, or of most
    wanted = {("-o" if "-o" in a.option_strings else a.option_strings[-1]) for a in flags}
    assert named == wanted - shared
    keywords = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[2])}
    given = set(inspect.signature(adaption.assign).parameters)
    others = {"net", "quiet", "memory_limit", "dialect", "python_modules"}
    assert keywords == given - others
    fields = {f.name for f in caffe_pb2.PerTensorParameter.DESCRIPTOR.fields}
    assert fields == set(re.findall(r"^\| `([a-z_]+)` \| (?:true|false) \|", guide, re.M))
    default = caffe_pb2.PerTensorParameter()
    for name in fields:
        assert f"| `{name}` | {str(getattr(default, name)).lower()} |" in guide


def test_an_interrupt_says_how_to_go_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Converged, "paths", interrupted)
        assert main(["assign", NET, *FLAGS, "--quiet"]) == 130
    assert "the same call with --resume goes on" in capsys.readouterr().err
    assert not Path("out/report.json").exists()
    assert main(["assign", NET, *FLAGS, "--quiet", "--resume"]) == 0
    assert Path("out/report.json").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--p-m", "0"], "p_m is 0.0, allowed: a share above 0 and below 1"),
        (["--input-bits", "32"], "input_bits is 32, allowed: 1..24"),
        (["--gain-samples", "0"], "gain_samples is 0, allowed: 1 or more"),
        (["--lr-min", "-1"], "lr_min is -1.0, allowed: a rate above 0"),
        (["--also", NET, NET], f"output '{NET}' is an input"),
        (["--held-out", "missing.prototxt"], "missing.prototxt"),
    ],
)
def test_bad_input_is_one_message(
    flags: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assign", NET, *FLAGS, *flags]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err
    assert Path("out/report.json").exists(), "nothing is touched"
