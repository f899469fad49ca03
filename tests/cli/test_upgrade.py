"""The verb upgrade on recorded legacy files: compared as messages with what Caffe's tools wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adaption.cli.main import main
from adaption.io import prototxt
from adaption.io.caffemodel import read_weights
from adaption.net import Net
from adaption.proto import caffe_pb2

GOLDEN = Path(__file__).resolve().parents[3] / "shared/golden/upgrade"
TEXTS = sorted(p.name.removesuffix(".in.prototxt") for p in GOLDEN.glob("*.in.prototxt"))
BINARIES = sorted(p.name.removesuffix(".in.caffemodel") for p in GOLDEN.glob("*.in.caffemodel"))


@pytest.mark.parametrize("case", TEXTS or ["none"])
def test_text(case: str, shared: Path, tmp_path: Path) -> None:
    folder, out = shared / "golden/upgrade", tmp_path / "out.prototxt"
    assert main(["upgrade", str(folder / f"{case}.in.prototxt"), str(out)]) == 0
    kind = caffe_pb2.SolverParameter if case.startswith("solver") else caffe_pb2.NetParameter
    found, _ = prototxt.read(out).message(kind)
    want, _ = prototxt.read(folder / f"{case}.out.prototxt").message(kind)
    assert found == want


@pytest.mark.parametrize("case", BINARIES or ["none"])
def test_binary(case: str, shared: Path, tmp_path: Path) -> None:
    folder, out = shared / "golden/upgrade", tmp_path / "out.caffemodel"
    assert main(["upgrade", str(folder / f"{case}.in.caffemodel"), str(out)]) == 0
    assert (
        read_weights(out).definition()
        == read_weights(folder / f"{case}.out.caffemodel").definition()
    )
    recorded = np.load(folder / f"{case}.npz")
    net = Net(folder / f"{case}.net.prototxt", out)
    for key in recorded.files:
        if key.startswith("param."):
            _, layer, index = key.split(".")
            found = net.params[layer][int(index)].tensor.numpy()
            np.testing.assert_array_equal(found, recorded[key].reshape(found.shape))
    result = net.forward({"data": recorded["in.data"]})["ip1"].numpy()
    # Order of float32 sums.
    np.testing.assert_allclose(result, recorded["out.ip1"], rtol=1e-4, atol=1e-5)


def test_nothing_to_upgrade_keeps_every_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "a.prototxt", tmp_path / "b.prototxt"
    source.write_bytes(b'# mine\r\nlayer { name: "x" type: "Input" top: "x" }  # end')
    assert main(["upgrade", str(source), str(out)]) == 0
    assert out.read_bytes() == source.read_bytes()
    assert capsys.readouterr().out.splitlines()[0] == "nothing to upgrade"


def test_neither_net_nor_solver(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "a.prototxt", tmp_path / "b.prototxt"
    source.write_text("answer: 42\n")
    assert main(["upgrade", str(source), str(out)]) == 2
    assert "holds neither layers nor solver fields" in capsys.readouterr().err
    assert not out.exists()
