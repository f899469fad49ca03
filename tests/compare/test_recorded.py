"""verify_recorded: what passes, what differs, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adaption.compare.recorded import check_recorded
from adaption.errors import DataError
from adaption.io.arrays import read_arrays
from adaption.net import Net

EXAMPLE = Path(__file__).resolve().parents[2] / "models/lenet_digits"


@pytest.fixture
def net() -> Net:
    return Net(EXAMPLE / "deploy.prototxt", EXAMPLE / "lenet_digits.caffemodel")


@pytest.fixture
def inputs() -> dict[str, np.ndarray]:
    return {"data": np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)}


def record(net: Net, inputs: dict[str, np.ndarray], path: Path, **changed: np.ndarray) -> Path:
    net.forward(inputs)
    blobs = {name: net.blobs[name].data.copy() for name in ("conv1", "ip1", "prob")}
    np.savez(path, **(blobs | changed))
    return path


def test_own_recording_is_equal(net: Net, inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    report = check_recorded(net, record(net, inputs, tmp_path / "r.npz"), inputs)
    assert report.ok and report.samples == 4
    assert [b.blob for b in report.blobs] == ["conv1", "ip1", "prob"]
    assert all(b.max_error == 0 for b in report.blobs)


def test_first_differing_blob_is_named(
    net: Net, inputs: dict[str, np.ndarray], tmp_path: Path
) -> None:
    net.forward(inputs)
    wrong = net.blobs["ip1"].data.copy()
    wrong[2, 5] += 0.1 * np.abs(wrong).max()
    report = check_recorded(net, record(net, inputs, tmp_path / "r.npz", ip1=wrong), inputs)
    assert not report.ok
    assert report.to_dict()["detail"].startswith('"ip1" differs first: relative error 0.')


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_differences(
    value: float, net: Net, inputs: dict[str, np.ndarray], tmp_path: Path
) -> None:
    net.forward(inputs)
    wrong = net.blobs["ip1"].data.copy()
    wrong[0, 0] = value
    assert not check_recorded(net, record(net, inputs, tmp_path / "r.npz", ip1=wrong), inputs).ok


def test_first_samples_only_and_zero_rows(
    net: Net, inputs: dict[str, np.ndarray], tmp_path: Path
) -> None:
    net.forward(inputs)
    first = net.blobs["prob"].data[:2].copy()
    filled = np.concatenate([net.blobs["prob"].data, np.zeros((3, 10), np.float32)])
    for prob in (first, filled):
        assert check_recorded(net, record(net, inputs, tmp_path / "r.npz", prob=prob), inputs).ok
    filled[5, 0] = 1e-3
    with pytest.raises(DataError, match=r'blob "prob" has shape \(7, 10\), the net gives'):
        check_recorded(net, record(net, inputs, tmp_path / "r.npz", prob=filled), inputs)


def test_recording_of_another_net(net: Net, inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", other=np.zeros(3))
    with pytest.raises(DataError) as caught:
        check_recorded(net, tmp_path / "r.npz", inputs)
    assert str(caught.value).endswith(
        "holds other, none of which is a blob of the net\n  fix: the net's outputs are prob"
    )


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is no npz or npy file of numbers"):
        read_arrays(tmp_path / "r.npy")
