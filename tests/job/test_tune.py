"""quantize --tune: closer to the float net with the same formats, or left as it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import adaption
from adaption.cli.main import main
from adaption.data import Transform
from adaption.errors import DataError, UsageError
from adaption.io.caffemodel import read_weights
from adaption.job import tune
from adaption.job.quantize import QuantizeResult
from adaption.options import BEST, INT8
from adaption.solver import tuning as tuning_module
from tests.export.nets import net_of

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
NET, WEIGHTS = EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel"
DATA, CALIBRATION = EXAMPLE / "digits_test_lmdb", EXAMPLE / "digits_train_lmdb"
CHOICES: dict[str, Any] = {
    **INT8,
    **BEST,
    "bits": 2,
    "transform": Transform(scale=0.0625),
    "calibration": CALIBRATION,
    "calibration_limit": 400,
    "quiet": True,
}


def made(out: Path, **choices: Any) -> QuantizeResult:
    return adaption.quantize(NET, WEIGHTS, DATA, out=out, **{**CHOICES, **choices})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[QuantizeResult, QuantizeResult]:
    folder = tmp_path_factory.mktemp("tuned")
    return made(folder / "plain"), made(folder / "tuned", tune=10)


def test_scores_come_closer_with_the_same_word_lengths(both: Any) -> None:
    plain, tuned = both
    said = tuned.summary["tuning"]
    assert said["is_taken"] and said["after"]["divergence"] < said["before"]["divergence"]
    assert (said["samples"], said["judged_on"], said["batches"]) == (350, 50, 10 * (350 // 32))
    assert tuned.summary["calibration"]["samples"] == 350, "the others give no formats either"
    lengths = [{p: f.word_length for p, f in x.proposal.plan.items()} for x in both]
    assert lengths[0] == lengths[1]
    assert tuned.is_verified and "tuning" not in plain.summary
    flipped = [made.summary["flipped_predictions"]["count"] for made in both]
    assert flipped[1] < flipped[0]
    (note,) = [note for note in tuned.summary["notes"] if "was tuned" in note]
    assert re.search(r"10 passes over 350 .* 50 held-back samples: before .*, after .*\.", note)
    assert note.split("; ")[1] in (tuned.folder / "report.html").read_text("utf-8")


def test_weights_are_on_the_grid(both: Any) -> None:
    _, tuned = both
    weights = read_weights(tuned.folder / "net_lp.caffemodel")
    points = {p.layer: form for p, form in tuned.proposal.plan.items() if p.kind == "weight"}
    for name, form in points.items():
        layer = weights.get(name)
        assert layer is not None
        values = torch.from_numpy(layer.blobs[0].array().copy())
        assert torch.equal(form.quantize(values), values)


def test_a_rerun_gives_the_same_net(both: Any, tmp_path: Path) -> None:
    again = made(tmp_path / "again", tune=10)
    names = ("net_lp.caffemodel", "net_lp.prototxt", "plan.json")
    for name in names:
        assert (again.folder / name).read_bytes() == (both[1].folder / name).read_bytes()
    other = made(tmp_path / "other", tune=10, seed=1)
    assert (other.folder / names[0]).read_bytes() != (both[1].folder / names[0]).read_bytes()


def test_what_does_not_help_is_not_taken(
    both: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_module, "WEIGHT_RATE", 20.0)  # wild steps, also at a quarter
    found = made(tmp_path / "out", tune=1)
    assert not found.summary["tuning"]["is_taken"]
    assert any("stayed as it was" in note for note in found.summary["notes"])
    again = made(tmp_path / "again", tune=2)  # other steps, and not taken either
    assert not again.summary["tuning"]["is_taken"]
    assert found.summary["tuning"]["pace"] == 0.25
    files = [x.folder / "net_lp.caffemodel" for x in (found, again, both[1])]
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


def test_a_slower_pace_is_tried_next(
    both: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the rates had been a quarter from the start."""
    assert both[1].summary["tuning"]["pace"] == 1
    monkeypatch.setattr(tune, "PACES", (1e4, 1.0))
    found = made(tmp_path / "out", tune=10)
    assert found.summary["tuning"]["pace"] == 1 and found.summary["tuning"]["is_taken"]
    files = [x.folder / "net_lp.caffemodel" for x in (found, both[1])]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_zeros_of_a_pruned_net_stay(tmp_path: Path) -> None:
    weights = read_weights(WEIGHTS)
    net = adaption.Net(NET, weights)
    blob = net.params["ip1"][0]
    blob.data[np.abs(blob.data) < 0.05] = 0
    zeros = blob.data == 0
    assert 0.2 < zeros.mean() < 0.9
    net.save(tmp_path / "pruned.caffemodel")
    for keeps in (True, False):
        choices = {**CHOICES, "on_trial": False, "keep_zeros": keeps, "equalize": False}
        choices |= {"calibration_limit": 1200}
        out = tmp_path / str(keeps)
        found = adaption.quantize(
            NET, tmp_path / "pruned.caffemodel", DATA, out=out, tune=10, **choices
        )
        assert found.summary["tuning"]["is_taken"], (keeps, found.summary["tuning"])
        values = read_weights(out / "net_lp.caffemodel").get("ip1")
        assert values is not None
        kept = values.blobs[0].array().reshape(zeros.shape)[zeros] == 0
        assert bool(kept.all()) == keeps, (keeps, kept.mean())


def test_after_a_search(tmp_path: Path) -> None:
    found = made(tmp_path / "out", bits=4, max_size=6000, tune=2)
    assert found.summary["search"]["is_met"] and found.summary["tuning"]["passes"] == 2
    assert found.is_verified


def small(folder: Path, layers: str, batch: int = 1) -> tuple[Path, Path, Path]:
    """A net over images of 8 by 8 with random weights, and images with labels."""
    text = 'layer { name: "in" type: "Input" top: "data"'
    text += f" input_param {{ shape {{ dim: {batch} dim: 1 dim: 8 dim: 8 }} }} }}" + layers
    folder.mkdir(exist_ok=True)
    (folder / "net.prototxt").write_text(text, "utf-8")
    net_of(text).save(folder / "net.caffemodel")
    random = np.random.default_rng(0)
    images = random.normal(size=(64, 1, 8, 8)).astype(np.float32)
    more = {"label": random.integers(0, 4, 64), "cont": np.ones((64, 1), np.float32)}
    np.savez(folder / "x.npz", data=images, **more)
    return folder / "net.prototxt", folder / "net.caffemodel", folder / "x.npz"


def conv(name: str, below: str, more: str = "", settings: str = "num_output: 4") -> str:
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{below}" top: "{name}" {more}'
        f' convolution_param {{ kernel_size: 3 {settings} weight_filler {{ type: "xavier" }} }} }}'
    )


def inner(name: str, below: str, outputs: int = 4) -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{below}" top: "{name}"'
        f' inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }} }}'
    )


SOFTMAX = 'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }'
PLAIN: dict[str, Any] = {"bits": 3, "quiet": True}


def test_losses_beside_the_scores_teach_nothing(tmp_path: Path) -> None:
    """An auxiliary classifier with labels, as GoogLeNet has them."""
    body = conv("c", "data") + inner("aux", "c") + inner("ip", "c")
    label = 'layer { name: "l" type: "Input" top: "label" input_param { shape { dim: 1 } } }'
    losses = "".join(
        f'layer {{ name: "loss_{x}" type: "SoftmaxWithLoss" bottom: "{x}" bottom: "label"'
        f' top: "loss_{x}" loss_weight: {w} }}'
        for x, w in (("aux", 0.3), ("ip", 1))
    )
    made = []
    for number in (0, 3):
        files = small(tmp_path / str(number), label + body + losses)
        x = np.load(files[2])["data"]
        np.savez(files[2], data=x, label=np.full(64, number))
        out = tmp_path / f"out{number}"
        found = adaption.quantize(*files, out=out, tune=3, score="ip", **PLAIN)
        made.append((out / "net_lp.caffemodel").read_bytes())
        assert found.summary["tuning"]["batches"] == 3
    assert made[0] == made[1]


def test_shared_parameters(tmp_path: Path) -> None:
    names = 'param { name: "w" } param { name: "b" }'
    two = conv("c1", "data", names, "num_output: 1 pad: 1") + conv(
        "c2", "c1", names, "num_output: 1 pad: 1"
    )
    files = small(tmp_path, two + inner("ip", "c2") + SOFTMAX)
    for name, choices in {"int8": {**INT8, "bits": 8}, "lengths": {"bits": [4, "c1=5"]}}.items():
        found = adaption.quantize(*files, out=tmp_path / name, tune=3, quiet=True, **choices)
        assert found.is_verified and found.summary["tuning"]["batches"] == 3


def test_a_net_of_one_batch_size_is_run_in_it(tmp_path: Path) -> None:
    fixed = 'layer { name: "r" type: "Reshape" bottom: "c" top: "r"'
    fixed += " reshape_param { shape { dim: 4 dim: -1 } } }"
    files = small(tmp_path, conv("c", "data") + fixed + inner("ip", "r") + SOFTMAX, batch=4)
    found = adaption.quantize(*files, out=tmp_path / "out", tune=1, batch_size=4, **PLAIN)
    said = found.summary["tuning"]
    assert said["batch"] == 32 and said["judged_on"] == 8 and found.is_verified


def test_samples_that_cannot_be_read_do_not_count(tmp_path: Path) -> None:
    files = small(tmp_path, conv("c", "data") + inner("ip", "c") + SOFTMAX)
    lines = []
    for i in range(40):
        path = tmp_path / f"{i}.png"
        if i % 2:
            path.write_bytes(b"no image")
        else:
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(path)
        lines.append(f"{path.name} {i % 4}")
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(lines) + "\n", "utf-8")
    found = adaption.quantize(*files[:2], listed, out=tmp_path / "out", tune=2, **PLAIN)
    said = found.summary["tuning"]
    assert (said["samples"], said["judged_on"], said["batches"]) == (18, 2, 2)
    listed.write_text("\n".join(lines[:24]) + "\n", "utf-8")
    with pytest.raises(DataError, match="holds 12 readable samples, allowed for tuning: 16"):
        adaption.quantize(*files[:2], listed, out=tmp_path / "few", tune=2, **PLAIN)
    assert not (tmp_path / "few").exists()


def test_other_outputs_are_named(tmp_path: Path) -> None:
    body = conv("c", "data") + inner("ip", "c") + SOFTMAX + inner("box", "c", 2)
    files = small(tmp_path, body)
    found = adaption.quantize(*files, out=tmp_path / "out", tune=1, **PLAIN)
    assert found.summary["tuning"]["other_outputs"] == ["box"]
    (note,) = [note for note in found.summary["notes"] if "was tuned" in note]
    assert "other outputs, box, were not compared" in note


@pytest.mark.parametrize(
    ("layers", "choices", "why"),
    [
        (
            'layer { name: "f" type: "Flatten" bottom: "data" top: "f" }'
            'layer { name: "prob" type: "Softmax" bottom: "f" top: "prob" }' + conv("c", "data"),
            {},
            'nothing that the scores "prob" come from has parameters',
        ),
        (
            'layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 1'
            " dim: 1 } } }"
            'layer { name: "s" type: "Reshape" bottom: "data" top: "s"'
            " reshape_param { shape { dim: 0 dim: 1 dim: 64 } } }"
            'layer { name: "lstm" type: "LSTM" bottom: "s" bottom: "cont" top: "lstm"'
            " recurrent_param { num_output: 4"
            ' weight_filler { type: "xavier" } } }'
            'layer { name: "ip" type: "InnerProduct" bottom: "lstm" top: "ip"'
            ' inner_product_param { axis: 2 num_output: 4 weight_filler { type: "xavier" } } }'
            'layer { name: "flat" type: "Reshape" bottom: "ip" top: "flat"'
            " reshape_param { shape { dim: 0 dim: 4 } } }"
            'layer { name: "prob" type: "Softmax" bottom: "flat" top: "prob" }',
            {"batch_size": 1},
            'layer "lstm" (LSTM) reads samples as one sequence',
        ),
    ],
)
def test_nets_that_cannot_be_tuned(
    layers: str, choices: dict[str, Any], why: str, tmp_path: Path
) -> None:
    files = small(tmp_path, layers)
    with pytest.raises(UsageError, match=re.escape(why)):
        adaption.quantize(*files, out=tmp_path / "out", tune=1, **{**PLAIN, **choices})
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_tuned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tune_mirror without tune"):
        made(tmp_path / "a", tune_mirror=True)
    with pytest.raises(DataError, match="holds 10 samples, allowed for tuning: 16 or more"):
        made(tmp_path / "b", tune=1, calibration_limit=10)
    text = re.sub(r"layer \{[^{]*Softmax.*", "", NET.read_text("utf-8"), flags=re.DOTALL)
    text += 'layer { name: "two" type: "InnerProduct" bottom: "ip1" top: "two"'
    text += " inner_product_param { num_output: 4 } }"
    (tmp_path / "two.prototxt").write_text(text, "utf-8")
    net = adaption.Net(tmp_path / "two.prototxt")
    net.save(tmp_path / "two.caffemodel")
    with pytest.raises(UsageError, match="no class scores, so that it cannot be tuned"):
        adaption.quantize(
            tmp_path / "two.prototxt", tmp_path / "two.caffemodel", DATA, out=tmp_path / "c",
            tune=1, **CHOICES,
        )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["two.caffemodel", "two.prototxt"]


def test_in_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["quantize", str(NET), str(WEIGHTS), "--data", str(DATA), "--scale", "0.0625"]
    words += ["--calibration", str(CALIBRATION), "--calibration-limit", "64", "--quiet"]
    words += ["--bits", "3", "--int8", "--best", "-o", str(tmp_path / "out")]
    assert main([word for word in [*words, "--tune", "1"] if word != "--quiet"]) == 0
    assert "The net was tuned to the float net's class scores in 1 pass" in capsys.readouterr().out
    assert main([*words, "--tune", "-1"]) == 2
    assert "tune" in capsys.readouterr().err
