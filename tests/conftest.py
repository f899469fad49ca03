"""Fixtures every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before a test imports onnxruntime

# Laws are tried on generated values; a busy machine is no reason to fail them.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        default="cpu",
        help="where the tests of layers compute: cpu, cuda:0, or pretended (tests/pretended_cuda)",
    )


@pytest.fixture(scope="session", autouse=True)
def signals_as_in_a_terminal() -> None:
    """Whoever runs the tests in the background, or under nohup, has signals ignored."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden vectors and published models: $ADAPTION_SHARED or ../shared."""
    checkout = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("ADAPTION_SHARED", checkout.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no golden vectors at {folder} (set ADAPTION_SHARED)")
    return folder


@pytest.fixture
def cli_folder(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the recording: its prototxts and LMDBs."""
    for name in ("net.prototxt", "solver.prototxt"):
        (tmp_path / name).write_bytes((shared / "golden/cli" / name).read_bytes())
    for name in ("train_lmdb", "test_lmdb"):
        (tmp_path / name).symlink_to(shared / "golden/training_lenet_lp" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def two_threads() -> Iterator[None]:
    """With one thread no run takes a second net."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
