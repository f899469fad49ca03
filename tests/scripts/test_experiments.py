"""scripts/experiments: nets get the data as they are, every row is trained, the table is right."""

from __future__ import annotations

import importlib
import io
import json
import struct
import sys
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "scripts" / "experiments"


@pytest.fixture
def sdfp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("sdfp")


def idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape))
    with path.open("ab") as file:
        file.write(array.tobytes())


def write_mnist(folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir()
    g = np.random.default_rng(1)
    images = {}
    for name, count in (("train", 128), ("t10k", 100)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images[name] = g.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        images[name][np.arange(count), 2 * labels + 2] += 190  # a bright row for each class
        idx(folder / f"{name}-images-idx3-ubyte", images[name])
        idx(folder / f"{name}-labels-idx1-ubyte", labels)
    return images


def write_cifar(folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir()
    g = np.random.default_rng(2)
    images = {}
    for name, count in (("train", 64), ("test", 100)):
        images[name] = g.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        files = [png(image) for image in images[name]]
        np.savez(
            folder / f"cifar10_{name}_png.npz",
            data=np.frombuffer(b"".join(files), np.uint8),
            offsets=np.cumsum([0, *map(len, files)]),
            labels=np.arange(count, dtype=np.uint8) % 10,
        )
    return images


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "png")
    return out.getvalue()


def call(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sdfp.py", *args, "--threads", "1"])
    made: int = module.main()
    return made


def test_mnist(
    sdfp: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_mnist(Path("mnist"))
    assert call(sdfp, monkeypatch, "mnist", "mnist", "out", "--seeds", "1") == 0
    shown = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    rows = ["float", *(f"DFP{n}{s}" for n in (8, 4, 3) for s in ("", "-1", "+1"))]
    assert [line[0].removeprefix("| ") for line in shown[2:]] == rows
    results = json.loads(Path("results.json").read_text())
    assert len(results["runs"]) == len(rows)
    for line, run in zip(shown[2:], results["runs"], strict=True):
        assert float(line[1]) == float(line[2]) == pytest.approx(100 * run["accuracy"], abs=0.006)
    with h5py.File("train.h5") as file:
        assert np.allclose(file["data"][:, 0], images["train"] / 255)


def test_cifar(
    sdfp: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reader has channels first already; they were moved once more, to (N, 32, 3, 32)."""
    images = write_cifar(Path("cifar"))
    assert call(sdfp, monkeypatch, "cifar", "cifar", "out", "--seeds", "3") == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in shown[2:]] == [
        "| float", "| DFP5", "| DFP5-1", "| DFP4", "| DFP4-1",
    ]  # fmt: skip
    for name, found in images.items():
        with h5py.File(f"{name}.h5") as file:
            assert file["data"].shape == (len(found), 3, 32, 32)
            # Caffe's order of colours is blue, green, red.
            assert np.allclose(file["data"], found[..., ::-1].transpose(0, 3, 1, 2) / 255)
    # What is there is not run again, and other settings are refused.
    before = Path("results.json").read_text()
    monkeypatch.chdir("..")
    assert call(sdfp, monkeypatch, "cifar", "cifar", "out", "--seeds", "3") == 0
    assert Path("results.json").read_text() == before
    Path("results.json").write_text(before.replace("base_lr: 0.05", "base_lr: 0.5"))
    monkeypatch.chdir("..")
    assert call(sdfp, monkeypatch, "cifar", "cifar", "out", "--seeds", "3") == 2
    assert "is of other settings" in capsys.readouterr().err
