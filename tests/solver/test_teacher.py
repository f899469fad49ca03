"""Distillation: loss and gradient against the formula, resumed runs, and teachers that do not fit.

Hinton, Vinyals, Dean 2015, section 2: (1 - w) L + w T^2 KL(softmax(t / T) || softmax(s / T)).
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from adaption.cli.main import main
from adaption.errors import AdaptionError
from adaption.net import Net
from adaption.solver import Listener, Solver, Teacher, train
from tests.solver.runs import write_run

# As the net of runs.py, without its data layers, dropout and losses.
DEPLOY = """
name: "wise"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "ip" type: "InnerProduct" bottom: "bn" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "ip" }
"""
WEIGHT, HEAT = 0.7, 2.0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A trained float net: wise.prototxt (deploy), wise_train.prototxt and wise.caffemodel."""
    monkeypatch.chdir(tmp_path)
    train(write_run(tmp_path, solver="max_iter: 15 test_interval: 99 display: 0 snapshot: 15"))
    Path("run_iter_15.caffemodel").rename("wise.caffemodel")
    Path("net.prototxt").rename("wise_train.prototxt")
    Path("wise.prototxt").write_text(DEPLOY)
    return tmp_path


def student(folder: Path, rounding: str = "DETERMINISTIC", **options: Any) -> Solver:
    """A low-precision net; `teacher` etc. as of Solver."""
    lines = "max_iter: 12 display: 4 snapshot: 6"
    return Solver(write_run(folder, rounding=rounding, solver=lines), **options)


def scores_of_the_wise(x: Tensor) -> Tensor:
    """Before the Softmax, which is in place in the deploy net."""
    net = Net("wise.prototxt", "wise.caffemodel")
    net.forward({"data": x}, end="ip")
    return net.blobs["ip"].tensor.clone()


def masters(solver: Solver) -> list[np.ndarray]:
    return [param.blob.data.copy() for param in solver.params]


@pytest.mark.parametrize("net", ["wise.prototxt", "wise_train.prototxt"])
def test_loss_and_gradient_are_those_of_the_formula(net: str, here: Path) -> None:
    solver = student(here, teacher=Teacher(net, "wise.caffemodel"))
    loss = solver.passes.run(solver.net)
    blobs = solver.net.blobs
    s = blobs["ip"].tensor.detach().clone().requires_grad_()
    t = scores_of_the_wise(blobs["data"].tensor)
    labels = blobs["label"].tensor.long().flatten()
    entropy = F.cross_entropy(s, labels)
    soft = F.kl_div(
        F.log_softmax(s / HEAT, 1), F.softmax(t / HEAT, 1), reduction="batchmean"
    )  # fmt: skip
    want = (1 - WEIGHT) * entropy + WEIGHT * HEAT**2 * soft
    want.backward()
    assert loss == pytest.approx(float(want.detach()), rel=1e-6)
    assert float(soft.detach()) > 0.01
    torch.testing.assert_close(blobs["ip"].grad, s.grad)


def test_it_is_the_only_judge_with_weight_one(here: Path) -> None:
    """A net that is its own teacher has nothing to learn, whatever the labels say."""
    Path("net.prototxt").write_text(
        re.sub(r'layer {\s+name: "drop".*?}\s*}', "", Path("wise_train.prototxt").read_text(),
               flags=re.S)
    )  # fmt: skip
    text = Path("net.prototxt").read_text().replace('name: "bn" type: "BatchNorm"',
                                                     'name: "bn" batch_norm_param { '
                                                     "use_global_stats: true } "
                                                     'type: "BatchNorm"')  # fmt: skip
    Path("net.prototxt").write_text(text)
    teacher = Teacher("wise.prototxt", "wise.caffemodel", weight=1.0)
    solver = Solver("solver.prototxt", "wise.caffemodel", teacher=teacher)
    assert solver.passes.run(solver.net) == pytest.approx(0, abs=1e-6)
    found = [p.blob.tensor.grad for p in solver.params]
    gradients = [g for g in found if g is not None]  # None where nothing was computed
    assert gradients and all(float(g.abs().max()) < 1e-6 for g in gradients)


def test_inputs_that_are_rounded_in_place_reach_the_teacher_unrounded(here: Path) -> None:
    path = write_run(here, rounding="DETERMINISTIC")
    text = Path("net.prototxt").read_text()
    point = (
        'layer { name: "q" type: "LPAct" bottom: "data" top: "data" lpfp_param { bd: 2 ad: 0 } }'
    )
    at = text.index('layer {\n  name: "conv"')
    Path("net.prototxt").write_text(f"{text[:at]}{point}\n{text[at:]}")
    solver = Solver(path, teacher=Teacher("wise.prototxt", "wise.caffemodel"))
    solver.passes.run(solver.net)
    seen = solver.passes.teacher_net.blobs["data"].tensor  # type: ignore[attr-defined]
    rounded = solver.net.blobs["data"].tensor
    assert bool((rounded == rounded.round()).all()) and not torch.equal(seen, rounded)


@pytest.mark.parametrize("rounding", ["DETERMINISTIC", "STOCHASTIC"])
def test_a_resumed_run_is_the_uninterrupted_one(rounding: str, here: Path) -> None:
    teacher = Teacher("wise.prototxt", "wise.caffemodel")
    whole = student(here, rounding, teacher=teacher)
    whole.solve()
    resumed = student(here, rounding, teacher=teacher)
    resumed.solve("run_iter_6.solverstate")
    plain = student(here, rounding)
    plain.solve()
    for a, b in zip(masters(whole), masters(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.loss.value == resumed.loss.value
    assert any((a != b).any() for a, b in zip(masters(whole), masters(plain), strict=True))


def test_a_run_that_goes_on_otherwise_says_so(here: Path) -> None:
    class Told(Listener):
        def __init__(self) -> None:
            self.notices: list[str] = []

        def notice(self, text: str) -> None:
            self.notices.append(text)

    student(here, teacher=Teacher("wise.prototxt", "wise.caffemodel")).solve()
    told = Told()
    student(here, listeners=[told]).restore("run_iter_6.solverstate")
    said = "the teacher was weight 0.7, temperature 2 when the snapshot was made, now it is none"
    assert said in told.notices


def test_the_log_has_both_shares(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_run(here, rounding="DETERMINISTIC", solver="max_iter: 5 display: 4")
    call = ["train", str(path), "--log-json=log.jsonl", "--teacher-temperature=4"]
    assert main([*call, "--teacher", "wise.prototxt", "wise.caffemodel"]) == 0
    shown = capsys.readouterr().err
    lines = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    events = [line for line in lines if line["event"] == "train"]
    first, parts = events[0], events[0]["outputs"]  # later losses are means of several
    assert first["loss_weights"] == {"loss": pytest.approx(0.3), "teacher": 0.7}
    assert first["loss"] == pytest.approx(0.3 * parts["loss"] + 0.7 * parts["teacher"])
    assert re.search(r"Train net output #1: teacher = \S+ \(\* 0\.7 = \S+ loss\)", shown)


def test_an_interrupted_run_says_how_to_go_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def log(source: str, text: str) -> None:
        if text.startswith("Iteration 4, loss"):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("adaption.glog.info", log)
    path = write_run(here, rounding="DETERMINISTIC", solver="max_iter: 9 display: 4")
    flags = ["--teacher", "wise.prototxt", "wise.caffemodel", "--teacher-weight=0.5"]
    assert main(["train", str(path.name), *flags]) == 130
    assert capsys.readouterr().out.splitlines()[-1] == (
        "next: adaption train --solver=solver.prototxt --snapshot=run_iter_5.solverstate --teacher"
        " wise.prototxt wise.caffemodel --teacher-weight=0.5"
    )


BAD = [
    pytest.param(["--teacher-weight=0.5"], "--teacher-weight is given without", id="none"),
    pytest.param(["--teacher-weight=1.5"], "teacher_weight is 1.5, allowed: above 0, up to 1",
                 id="weight"),
    pytest.param(["--teacher-temperature=0"], "teacher_temperature is 0.0, allowed: above 0",
                 id="temperature"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "message"), BAD)
def test_bad_settings(
    flags: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_run(here)
    teacher = [] if "without" in message else ["--teacher", "wise.prototxt", "wise.caffemodel"]
    assert main(["train", str(path), "--quiet", *flags, *teacher]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"data"', '"image"', "the teacher reads image, which the train net does not"),
        ('name: "ip"', 'name: "other"', "wise.caffemodel: has no weights for: other"),
    ],
)
def test_a_teacher_that_does_not_fit(old: str, new: str, message: str, here: Path) -> None:
    Path("wise.prototxt").write_text(DEPLOY.replace(old, new))
    with pytest.raises(AdaptionError, match=message):
        student(here, teacher=Teacher("wise.prototxt", "wise.caffemodel"))


def test_a_teacher_of_other_classes(here: Path) -> None:
    Path("wise.prototxt").write_text(DEPLOY.replace("num_output: 3", "num_output: 4"))
    Net("wise.prototxt", seed=1).save("wise.caffemodel")
    solver = student(here, teacher=Teacher("wise.prototxt", "wise.caffemodel"))
    shapes = r"have shape \(6, 4\), those of the train net \(6, 3\)"
    with pytest.raises(AdaptionError, match=f'class scores "ip" {shapes}'):
        solver.step(1)


def test_a_net_without_a_softmax_loss_has_nothing_to_learn_from_it(here: Path) -> None:
    path = write_run(here)
    text = Path("net.prototxt").read_text().replace("SoftmaxWithLoss", "HingeLoss")
    Path("net.prototxt").write_text(text)
    with pytest.raises(AdaptionError, match="the train net has no SoftmaxWithLoss layer"):
        Solver(path, teacher=Teacher("wise.prototxt", "wise.caffemodel"))
