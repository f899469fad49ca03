"""Zeros before and after quantization, per layer, against counting them by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import adaption
from adaption.cli.main import main
from adaption.data import Transform
from adaption.export.nullhop.sparsity_map import encode
from adaption.io.caffemodel import read_weights
from adaption.io.netfile import read_net
from adaption.job import measure, sparsity
from adaption.net import Net, Point
from adaption.precision.propose import Proposal, propose
from adaption.precision.rewrite import rewrite

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"
FILES = (EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel")
DATA = EXAMPLE / "digits_test.h5"


@pytest.fixture(scope="module")
def plan() -> Proposal:
    return propose(FILES[0], measure(*FILES, DATA, limit=40, quiet=True), bits=5)


def images(count: int) -> np.ndarray:
    import h5py

    with h5py.File(DATA) as file:
        found: np.ndarray = file["data"][:count]
    return found


def test_figures_are_those_of_the_blobs(plan: Proposal) -> None:
    found = sparsity(*FILES, DATA, plan=plan, limit=12, quiet=True)
    low = Net(rewrite(read_net(FILES[0]), plan), FILES[1])
    full = Net(*FILES)
    tops: dict[tuple[str, str], torch.Tensor] = {}
    for key, net in (("before", full), ("after", low)):
        with torch.no_grad():
            net.forward(
                {"data": images(12)},
                observer=lambda node, _, found, key=key: tops.update(  # type: ignore[misc]
                    {(key, node.spec.name): found[0].clone()}
                ),
            )
    entry = {e["name"]: e for e in found.layers}["conv2"]

    def zeros(key: str, layer: str) -> float:
        return float((tops[key, layer] == 0).float().mean())

    assert entry["result"] == pytest.approx(
        {"before": zeros("before", "conv2"), "after": zeros("after", "conv2_lpact")}
    )
    assert entry["activation"] == pytest.approx(
        {"before": zeros("before", "relu2"), "after": zeros("after", "relu2")}
    )
    assert entry["input"] == pytest.approx(
        {"before": zeros("before", "pool1"), "after": zeros("after", "pool1")}
    )
    weight = read_weights(FILES[1]).get("conv2")
    assert weight is not None
    codes = plan.plan[Point("conv2", "weight")].codes(torch.from_numpy(weight.blobs[0].copy()))
    assert entry["weights"]["after"] == pytest.approx(float((codes == 0).float().mean()))
    macs = 144 * 32 * 16
    assert entry["macs"] == macs
    assert entry["skippable_macs_after"] == round(macs * zeros("after", "pool1"))
    # What the layer reads, encoded image by image.
    fmt = plan.plan[Point("conv1", "activation")]
    maps = fmt.codes(tops["after", "pool1"]).numpy().astype(np.int64)
    assert entry["map_words_after"] == sum(len(encode(m)) for m in maps) // 12
    assert entry["map_words_dense"] == maps[0].size
    assert found.total["macs"] == sum(e["macs"] for e in found.layers)


def test_zeros_become_more_as_bits_become_fewer() -> None:
    measured = measure(*FILES, DATA, limit=60, quiet=True)
    shares = []
    for bits in (16, 8, 6, 5, 4):
        plan = propose(FILES[0], measured, bits=bits)
        found = sparsity(*FILES, DATA, plan=plan, limit=60, quiet=True)
        shares.append([e["input"]["after"] for e in found.layers[1:]])
    for layer in zip(*shares, strict=True):
        assert sorted(layer) == list(layer)
        assert layer[-1] > layer[0] + 0.05


def test_without_a_plan_there_is_no_after(capsys: pytest.CaptureFixture[str]) -> None:
    found = adaption.sparsity(*FILES, DATA, limit=4, quiet=True)
    assert all(e["input"]["after"] is None and e["weights"]["after"] is None for e in found.layers)
    assert found.total["skippable_macs_after"] is None
    flags = ["--data", str(DATA), "--limit", "4", "--quiet"]
    assert main(["sparsity", *map(str, FILES), *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "LeNetDigits: zeros over 4 samples" and ">" not in lines[2]


def test_verb(plan: Proposal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan.save(tmp_path / "plan.json")
    out = tmp_path / "s.json"
    flags = ["--data", str(EXAMPLE / "digits_test_lmdb"), "--scale", "0.0625", "--limit", "10"]
    command = ["sparsity", *map(str, FILES), *flags, "--plan", str(tmp_path / "plan.json")]
    assert main([*command, "-o", str(out)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[2:7]] == ["conv1", "conv2", "ip1", "ip2", "all"]
    assert shown[-1].startswith("next: adaption rewrite ")
    values = json.loads(out.read_text())
    same = sparsity(
        *FILES, EXAMPLE / "digits_test_lmdb", plan=plan, limit=10,
        transform=Transform(scale=1 / 16), quiet=True,
    )  # fmt: skip
    assert values == json.loads(json.dumps(same.to_dict()))
