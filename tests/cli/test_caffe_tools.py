"""The verbs that Caffe has, too: their lines against the original's, and the forms of flags."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import adaption
from adaption.cli.main import main
from adaption.cli.options import add_caffe_flag
from adaption.errors import AdaptionError
from adaption.net import Net
from tests.golden_cases import parameter
from tests.golden_logs import PREFIX, masked
from tests.pretended_cuda import pretended_cuda

NET = """
name: "dummy"
layer { name: "in" type: "DummyData" top: "x" top: "t"
  dummy_data_param { data_filler { type: "gaussian" }
    shape { dim: 2 dim: 3 } shape { dim: 2 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" loss_weight: 0.5 }
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


@pytest.fixture
def weights(net: Path) -> Path:
    path = net.with_suffix(".caffemodel")
    Net(net, seed=0).save(path)
    return path


def test_lines_of_test(shared: Path, cli_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the parameters that the original had after 30 iterations: its scores, too."""
    recorded = np.load(shared / "golden/training_lenet_lp/lenet_lp_bd2_ad6.npz")
    net = Net("net.prototxt")
    for key in recorded.files:
        if key.startswith("param_after.29."):
            parameter(net, key.removeprefix("param_after.29."))[...] = recorded[key]
    net.save("trained.caffemodel")
    flags = ["--model=net.prototxt", "--weights=trained.caffemodel", "--iterations=4", "--json"]
    assert main(["test", *flags[:3]]) == 0
    shown = capsys.readouterr()
    assert masked(shown.err) == masked((shared / "golden/cli/test.log").read_text("utf-8"))
    assert main(["test", *flags]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    found = {s["output"]: s["mean"] for s in json.loads(shown.out)["scores"]}
    # Sums in another order move single codes of the rounded activations.
    assert found["accuracy"] == pytest.approx(float(recorded["test_accuracy"].mean()), abs=0.013)
    assert found["loss"] == pytest.approx(float(recorded["test_loss"].mean()), abs=2e-3)


def test_lines_of_time(shared: Path, cli_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["time", "-model", "net.prototxt", "-iterations=3"]) == 0
    shown = capsys.readouterr()
    assert masked(shown.err) == masked((shared / "golden/cli/time.log").read_text("utf-8"))
    stamped = [line for line in shown.err.splitlines() if re.match(r"[IWE]\d{4} ", line)]
    assert len(stamped) > 100 and all(PREFIX.match(line) for line in stamped)


@pytest.mark.parametrize(
    "argv",
    [
        ["-model", "NET", "-iterations", "2"],
        ["-model=NET", "-iterations=2"],
        ["--model", "NET", "--iterations", "2"],
        ["--model=NET", "--iterations=2"],
        ["NET", "--iterations=2"],
    ],
    ids=" ".join,
)
def test_flag_forms(net: Path, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    argv = [part.replace("NET", str(net)) for part in argv]
    assert main(["time", *argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["iterations"] == 2


@pytest.mark.parametrize("flag", ["-sigint_effect", "--sigint_effect", "--sigint-effect"], ids=str)
def test_underscores_stay(flag: str) -> None:
    parser = argparse.ArgumentParser()
    add_caffe_flag(parser, "sigint_effect", default="stop")
    assert parser.parse_args([flag, "none"]).sigint_effect == "none"
    assert parser.parse_args([f"{flag}=none"]).sigint_effect == "none"
    assert parser.parse_args([]).sigint_effect == "stop"


def test_scores(net: Path, weights: Path) -> None:
    lines: list[str] = []
    scores = adaption.test(
        net, weights, iterations=3, seed=1, log=lambda source, text: lines.append(text)
    )
    by_hand = Net(net, weights, seed=1)
    losses = [float(by_hand.forward()["loss"]) for _ in range(3)]
    assert scores["loss"] == pytest.approx(sum(losses) / 3)
    assert scores.loss == pytest.approx(0.5 * sum(losses) / 3)
    assert lines[-1] == f"loss = {scores['loss']:g} (* 0.5 = {scores.loss:g} loss)"
    assert lines[-2] == f"Loss: {scores.loss:g}"
    with pytest.raises(KeyError):
        scores["ip"]


def test_layers_that_the_net_lacks_are_logged(net: Path, weights: Path) -> None:
    net.write_text(NET.replace('name: "ip"', 'name: "other"'))
    lines: list[str] = []
    adaption.test(net, weights, iterations=1, log=lambda source, text: lines.append(text))
    assert "Ignoring source layer ip" in lines


def test_a_net_without_data_is_not_scored(net: Path, weights: Path) -> None:
    net.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"'
        " inner_product_param { num_output: 2 } }\n"
    )
    with pytest.raises(AdaptionError) as caught:
        adaption.test(net, weights, iterations=1)
    assert str(caught.value) == (
        f"{net}: no layer brings data, x would be zeros\n  fix: give a prototxt with data layers"
        " for phase TEST, as train_val files have them"
    )


@pytest.mark.parametrize("verb", ["test", "time"])
def test_unknown_fields_are_told(
    verb: str, net: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net.write_text(NET.replace("num_output: 2", "num_output: 2 bias_trm: false"))
    command = [verb, str(net), str(weights), "--iterations=1", "--json"]
    assert main(command) == 2
    assert f"{net}:7:" in capsys.readouterr().err
    assert main([*command, "--ignore-unknown"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith(f"warning: {net}:7:") and "bias_trm" in shown.err
    assert "bias_trm" in json.loads(shown.out)["notices"][0]


def test_times(net: Path) -> None:
    timing = adaption.time(net, iterations=3)
    assert [(x.name, x.type) for x in timing.layers] == [
        ("in", "DummyData"),
        ("ip", "InnerProduct"),
        ("loss", "EuclideanLoss"),
    ]
    assert all(x.forward_ms > 0 for x in timing.layers)
    assert [x.backward_ms > 0 for x in timing.layers] == [False, True, True]
    assert sum(x.forward_ms for x in timing.layers) == pytest.approx(timing.forward_ms, rel=0.5)
    assert timing.total_ms >= 3 * (timing.forward_ms + timing.backward_ms) * (1 - 1e-9)


def test_quiet(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["time", str(net), "--iterations=1", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.startswith("dummy: TRAIN, mean of 1 iterations\nlayer  type")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        pytest.param(
            ["time"],
            "adaption time: --model is missing\n"
            "  fix: give --model=FILE, or the file by its place\n",
            id="no net",
        ),
        pytest.param(
            ["time", "a.prototxt", "--model=b.prototxt"],
            "adaption time: --model is given twice: 'b.prototxt' as a flag, 'a.prototxt' by its"
            " place\n  fix: give each file once; beside flags, give all of them as flags\n",
            id="twice",
        ),
        pytest.param(
            ["test", "a.prototxt", "b.caffemodel", "--iterations=0", "--quiet"],
            "adaption test: iterations is 0, allowed: 1 or more\n",
            id="no iterations",
        ),
        pytest.param(
            ["device_query", "--gpu", "0,x"],
            "adaption device_query: --gpu is '0,x', allowed: all, or numbers with commas between:"
            ' "0,1"\n',
            id="no number",
        ),
    ],
)
def test_one_clear_error(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--quiet"]) == 2
    assert capsys.readouterr().err == message


class Cuda:
    """torch.cuda of a machine with two GPUs; the second lacks what old torch does not tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 2) -> None:
        def properties(number: int) -> Any:
            known = {"regs_per_multiprocessor": 65536, "warp_size": 32} if not number else {}
            base = {"major": 9, "minor": 0, "total_memory": 80 << 30, "multi_processor_count": 132}
            return SimpleNamespace(name=f"Card {number}", **base, **known)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_properties", properties)


def test_device_query(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Cuda(monkeypatch)
    assert main(["device_query", "-gpu", "all"]) == 0
    shown = capsys.readouterr()
    lines = [PREFIX.sub("", line) for line in shown.err.splitlines()]
    assert lines == [
        "Querying GPUs all",
        "Device id:                     0",
        "Major revision number:         9",
        "Minor revision number:         0",
        "Name:                          Card 0",
        f"Total global memory:           {80 << 30}",
        "Total registers per block:     65536",
        "Warp size:                     32",
        "Number of multiprocessors:     132",
        "Device id:                     1",
        "Major revision number:         9",
        "Minor revision number:         0",
        "Name:                          Card 1",
        f"Total global memory:           {80 << 30}",
        "Number of multiprocessors:     132",
    ]
    assert "GPU 1: Card 1, 85.9 GB memory" in shown.out
    found = adaption.device_query("1")
    assert [gpu.id for gpu in found.gpus] == [1]
    assert found.threads == torch.get_num_threads()
    with pytest.raises(AdaptionError, match=r"--gpu is '2', allowed: different numbers in 0\.\.1"):
        adaption.device_query("2")


def test_device_query_without_gpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Cuda(monkeypatch, 0)
    assert main(["device_query", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gpus"] == [] and found["torch"] == torch.__version__ and found["cores"] >= 1
    assert found["note"].startswith("no GPU: torch ")
    assert main(["device_query", "--gpu=0", "--quiet"]) == 2
    assert "--gpu 0: torch " in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["time", "test"])
def test_a_gpu_that_is_not_there(
    verb: str, net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Cuda(monkeypatch, 0)
    for gpu in ("0", "all"):
        assert main([verb, str(net), "w.caffemodel", f"--gpu={gpu}"]) == 2
        assert "leave out --gpu" in capsys.readouterr().err


def test_scores_and_times_on_a_gpu(
    net: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = adaption.test(net, weights, iterations=2, seed=1)
    waits: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card")
    lines: list[str] = []
    with pretended_cuda():
        found = adaption.test(
            *(net, weights),
            iterations=2,
            seed=1,
            device="cuda:0",
            log=lambda source, text: lines.append(text),
        )
        timing = adaption.time(net, weights, iterations=2, device="cuda:0")
    assert found["loss"] == pytest.approx(want["loss"], rel=1e-6)
    assert lines[:2] == ["Use GPU with device ID 0", "GPU device name: Card"]
    # Every time is taken when the GPU has done what it was given.
    assert len(waits) > 2 * (3 + 2) and set(waits) == {"cuda:0"}
    assert [x.backward_ms > 0 for x in timing.layers] == [False, True, True]
