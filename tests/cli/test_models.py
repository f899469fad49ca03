"""Published nets through the command line: our blobs equal the recorded ones.

The tolerance, 2e-4 of a blob's greatest magnitude, covers the order of float32 sums; 1.5e-5 is the
most that is seen.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from adaption.cli.main import main

SHARED = Path(__file__).resolve().parents[3] / "shared"
MODELS = sorted(p.parent.name for p in SHARED.glob("models/*/deploy.prototxt"))

VARIANTS = {"pcn": ("", "_pcn2", "_pcn3")}


@pytest.mark.parametrize("model", MODELS or ["none"])
def test_recorded_blobs(model: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "models" / model
    for suffix in VARIANTS.get(model, ("",)):
        for reference in sorted(folder.glob(f"reference_[a-z]*{suffix}.npz")):
            if reference.stem not in (f"reference_caffe{suffix}", f"reference_opencv{suffix}"):
                continue
            files = [folder / f"deploy{suffix}.prototxt", folder / "deploy.caffemodel", reference]
            data = folder / f"input{suffix}.npy"
            code = main(["verify", *map(str, files), "--data", str(data), "--json"])
            report = json.loads(capsys.readouterr().out)
            assert code == 0, report["detail"]
            assert report["blobs"]


@pytest.mark.parametrize("model", MODELS or ["none"])
def test_inspect(model: str, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "models" / model
    files = [str(folder / "deploy.prototxt"), str(folder / "deploy.caffemodel")]
    assert main(["inspect", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["totals"]["params"] > 1000
    assert found["totals"]["layers"] == len(found["layers"])
    if found["supported"]:
        assert found["totals"]["macs"] > 0
        assert {x["weights"] for x in found["layers"]} <= {None, "fit"}
        assert all(found["outputs"].values())


def test_the_command_that_quantize_suggests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    folder = "models/lenet_digits"
    net, weights = f"{folder}/train_val.prototxt", f"{folder}/lenet_digits.caffemodel"
    assert main(["quantize", net, weights, "-o", str(tmp_path / "o"), "--limit", "20"]) == 0
    hint = capsys.readouterr().out.splitlines()[-1]
    assert hint.endswith("--input data=1x1x8x8 --input label=1")
    monkeypatch.chdir(tmp_path)  # the data layer's data is not at hand here
    assert main(shlex.split(hint)[2:]) == 0
    assert "computes the same" in capsys.readouterr().out
