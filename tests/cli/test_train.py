"""The verb train: Caffe's lines, what signals do, and how a run goes on."""

from __future__ import annotations

import io
import json
import re
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adaption
from adaption.cli.main import main
from adaption.glog import info
from adaption.report.training_log import read_log
from adaption.report.training_progress import TrainingProgress
from adaption.solver import TrainResult
from tests.golden_logs import masked, messages
from tests.pretended_cuda import pretended_cuda


def test_lines_of_train(shared: Path, cli_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-solver", "solver.prototxt", "--log-json=run.jsonl"]) == 0
    shown = capsys.readouterr()
    recorded = (shared / "golden/cli/train.log").read_text("utf-8")
    assert masked(shown.err) == masked(recorded)
    rates = [[x for x in messages(text) if "lr = " in x] for text in (shown.err, recorded)]
    assert rates[0] == rates[1]
    assert shown.out == "next: adaption plot-log run.jsonl -o run.jsonl.svg\n"
    # Both logs tell the same run, up to the six digits of Caffe's.
    Path("train.log").write_text(shown.err)
    ours, events = read_log("train.log"), read_log("run.jsonl")
    assert ours.losses == events.losses == {"loss"}
    assert [row.iteration for row in ours.train][:6] == [row.iteration for row in events.train]
    for row, event in zip(ours.train[:6], events.train, strict=True):
        assert row.loss == pytest.approx(event.loss, rel=1e-5)
        assert row.outputs == pytest.approx(event.outputs, rel=1e-5)
        assert row.lr == pytest.approx(event.lr, rel=1e-5)
    assert [row.outputs.keys() for row in ours.tests[0]] == [
        row.outputs.keys() for row in events.tests[0]
    ]


NET = """
name: "tiny"
layer { name: "in" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 20 display: 5
snapshot_prefix: "snap" random_seed: 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)
    return tmp_path


def test_conventions_of_parse_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What tools/extra/parse_log.py and extract_seconds.py do with a log, step by step."""
    Path("solver.prototxt").write_text(SOLVER + "test_iter: 2 test_interval: 10")
    assert main(["train", "solver.prototxt"]) == 0
    lines = capsys.readouterr().err.splitlines()
    (start,) = [i for i, line in enumerate(lines) if "Solving" in line]
    iteration, rows = -1, []
    for line in lines[start:]:
        # extract_datetime_from_line: month and day behind the severity, then the time.
        day, time = line.strip().split()[:2]
        datetime.strptime(f"2024{day[1:3]}{day[3:]} {time}", "%Y%m%d %H:%M:%S.%f")
        if match := re.search(r"Iteration (\d+)", line):
            iteration = int(match[1])
        if match := re.search(r"Iteration \d+, loss = ([.\d]+)", line):
            rows.append((iteration, "Iteration", float(match[1])))
        for kind in ("Train", "Test"):
            pattern = rf"{kind} net output #(\d+): (\S+) = ([\.\deE+-]+)"
            if match := re.search(pattern, line):
                rows.append((iteration, f"{kind} {match[2]}", float(match[3])))
        if match := re.search(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)", line):
            rows.append((iteration, "lr", float(match[1])))
    Path("train.log").write_text("\n".join(lines))
    log = read_log("train.log")
    want: list[tuple[int, str, float | None]] = [
        (row.iteration, "lr", row.lr) for row in log.train if row.lr is not None
    ]
    want += [(row.iteration, "Iteration", row.loss) for row in log.train]
    for kind, series in (("Train", log.train), ("Test", log.tests[0])):
        want += [
            (row.iteration, f"{kind} {k}", v) for row in series for k, v in row.outputs.items()
        ]
    assert sorted(rows) == sorted(want)
    assert len(rows) == 4 + 5 + 4 + 3


def interrupt_at(line: str, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Raise a signal while this line is logged."""

    def log(source: str, text: str) -> None:
        info(source, text)
        if text.startswith(line):
            signal.raise_signal(number)

    monkeypatch.setattr("adaption.glog.info", log)


def test_interrupt_and_resume(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "solver.prototxt", "--quiet"]) == 0
    whole = Path("snap_iter_20.caffemodel").read_bytes()
    interrupt_at("Iteration 10, loss", monkeypatch, signal.SIGINT)
    assert main(["train", "solver.prototxt"]) == 130
    shown = capsys.readouterr()
    assert shown.out == (
        "next: adaption train --solver=solver.prototxt --snapshot=snap_iter_11.solverstate\n"
    )
    assert messages(shown.err)[-1] == "Optimization stopped early."
    Path("snap_iter_20.caffemodel").unlink()
    flags = shown.out.split()[2:]
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert main([*flags, "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and json.loads(shown.out)["iter"] == 20
    assert Path("snap_iter_20.caffemodel").read_bytes() == whole


@pytest.mark.parametrize(
    ("flags", "number", "code", "made"),
    [
        (["--sigint_effect=snapshot"], signal.SIGINT, 0, "snap_iter_11.solverstate"),
        (["-sigint_effect", "none"], signal.SIGINT, 0, None),
        ([], signal.SIGHUP, 0, "snap_iter_11.solverstate"),
        (["--sighup_effect", "stop"], signal.SIGHUP, 130, "snap_iter_11.solverstate"),
    ],
    ids=["SIGINT snapshot", "SIGINT none", "SIGHUP", "SIGHUP stop"],
)
def test_effects_of_signals(
    flags: list[str],
    number: signal.Signals,
    code: int,
    made: str | None,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupt_at("Iteration 10, loss", monkeypatch, number)
    assert main(["train", "--solver", "solver.prototxt", *flags]) == code
    expected = {made, *([] if code else ["snap_iter_20.solverstate"])} - {None}
    assert {path.name for path in folder.glob("*.solverstate")} == expected


def test_the_command_to_go_on_with_keeps_the_flags(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_at("Iteration 10, loss", monkeypatch, signal.SIGINT)
    adaption.Net("net.prototxt", seed=5).save("a.caffemodel")
    flags = ["--reestimate-batch-norm=2", "--log-json=run.jsonl", "--iterations=15"]
    assert main(["train", "solver.prototxt", "--weights=a.caffemodel", "--strict", *flags]) == 130
    assert capsys.readouterr().out == (
        "next: adaption train --solver=solver.prototxt --snapshot=snap_iter_11.solverstate"
        " --iterations=15 --log-json=run.jsonl --strict --reestimate-batch-norm=2\n"
    )


def test_interrupt_without_a_prefix(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SOLVER.replace('snapshot_prefix: "snap"', "")
    Path("solver.prototxt").write_text(text)
    interrupt_at("Iteration 10, loss", monkeypatch, signal.SIGINT)
    assert main(["train", "solver.prototxt"]) == 130
    assert "--snapshot=solver_iter_11.solverstate" in capsys.readouterr().out


def test_weights_and_iterations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adaption.Net("net.prototxt", seed=5).save("a.caffemodel")
    adaption.Net("net.prototxt", seed=6).save("b.caffemodel")
    argv = ["train", "--solver=solver.prototxt", "--weights=a.caffemodel,b.caffemodel"]
    assert main([*argv, "--iterations=1"]) == 0
    told = messages(capsys.readouterr().err)
    at = told.index("Finetuning from a.caffemodel")
    assert told[at + 1] == "Finetuning from b.caffemodel"
    start = adaption.Net("net.prototxt", "b.caffemodel").params["ip"][0].data
    after = adaption.Net("net.prototxt", "snap_iter_1.caffemodel").params["ip"][0].data
    assert 0 < abs(after - start).max() < 0.1


def test_stages_reach_the_nets(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = NET.replace('name: "loss"', 'name: "loss" include { stage: "learn" min_level: 2 }')
    Path("net.prototxt").write_text(text)
    argv = ["train", "solver.prototxt", "-level", "2", "-stage", "learn,b", "-iterations=1"]
    assert main(argv) == 0
    told = messages(capsys.readouterr().err)
    assert told.count('  stage: "learn"') == 2  # train_state of the solver, state of the net
    assert "This network produces output loss" in told


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param([], "--solver is missing", id="no solver"),
        pytest.param(
            ["solver.prototxt", "--weights=a", "--snapshot=b"],
            "weights and a snapshot are given",
            id="weights and snapshot",
        ),
        pytest.param(["net.prototxt"], "net.prototxt: holds layers, it is a net", id="a net"),
        pytest.param(["solver.prototxt", "--gpu=x"], "--gpu is 'x'", id="no GPU number"),
        pytest.param(
            ["solver.prototxt", "--log-json=no/run.jsonl"],
            "no/run.jsonl: cannot be written",
            id="log folder",
        ),
    ],
)
def test_one_clear_error(
    argv: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *argv, "--quiet"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith(f"adaption train: {message}")
    assert {path.name for path in folder.iterdir()} == {"net.prototxt", "solver.prototxt"}


@pytest.mark.parametrize(
    ("mode", "flags", "told"),
    [
        pytest.param("", ["--gpu=0"], ["Using GPUs 0", "GPU 0: Card"], id="flag"),
        pytest.param("", [], ["Using GPUs 0", "GPU 0: Card"], id="Caffe's default mode"),
        pytest.param("solver_mode: CPU", [], ["Use CPU."], id="CPU by the solver"),
        pytest.param(
            "solver_mode: CPU", ["-gpu", "0"], ["Using GPUs 0", "GPU 0: Card"], id="flag first"
        ),
    ],
)
def test_devices(
    mode: str,
    flags: list[str],
    told: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The device is named first, and the run is the same on each."""
    assert main(["train", "solver.prototxt", "--quiet"]) == 0
    weights = adaption.Net("net.prototxt", "snap_iter_20.caffemodel").params["ip"]
    want = [blob.data.copy() for blob in weights]
    Path("solver.prototxt").write_text(SOLVER + mode)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Card")
    with pretended_cuda():
        assert main(["train", "solver.prototxt", *flags]) == 0
    assert messages(capsys.readouterr().err)[: len(told)] == told
    found = adaption.Net("net.prototxt", "snap_iter_20.caffemodel").params["ip"]
    for blob, values in zip(found, want, strict=True):
        np.testing.assert_allclose(blob.data, values, rtol=1e-6)


def test_a_solver_that_asks_for_a_gpu(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    Path("solver.prototxt").write_text(SOLVER + "solver_mode: GPU")
    assert main(["train", "solver.prototxt", "--iterations=1"]) == 0
    assert messages(capsys.readouterr().err)[:2] == [
        "solver_mode is GPU, but torch finds no CUDA device.",
        "Use CPU.",
    ]


def test_events_of_a_run_that_diverges_are_json(folder: Path) -> None:
    Path("solver.prototxt").write_text(SOLVER.replace("0.01", "1e30"))
    assert main(["train", "solver.prototxt", "--log-json=run.jsonl", "--quiet"]) == 0
    for line in Path("run.jsonl").read_text().splitlines():
        event = json.loads(line, parse_constant=pytest.fail)
        if event["event"] == "train":
            assert (event["loss"] is None) == (event["iter"] > 0)


def test_several_gpus_get_a_process_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def train(solver: str, **settings: Any) -> TrainResult:
        given.update(settings)
        return TrainResult(1, False, None, (), None)

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("adaption.solver.train", train)
    for flag, want in (("0,2", ["cuda:0", "cuda:2"]), ("all", ["cuda:0", "cuda:1", "cuda:2"])):
        assert main(["train", "solver.prototxt", "--gpu", flag, "--quiet"]) == 0
        assert given["devices"] == want


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "pipe"])
def test_progress(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    times = iter(float(i) for i in range(100))
    progress = TrainingProgress(stream, clock=lambda: next(times))
    log = progress.above(lambda source, text: print(text, file=stream))
    progress.solving("net", "fixed", 100, 110)
    progress.stepped(101)
    log("a.cpp:1", "Iteration 101, loss = 1")
    progress.done()
    if stream.isatty():
        head, line, logged = stream.getvalue().split("\r\x1b[K")[:3]
        assert head == "" and line.startswith("training: 1/10 (10%), ") and line.endswith(" left")
        assert logged == "Iteration 101, loss = 1\n"
    else:
        assert stream.getvalue() == "Iteration 101, loss = 1\n"
