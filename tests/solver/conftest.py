"""Solvers write beside their prototxt, so every golden suite is used as a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.golden_cases import SHARED

Copy = Callable[[str], Path]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Copies a golden suite and makes the copy the working directory, as its paths ask for."""

    def copy(name: str) -> Path:
        source = SHARED / "golden" / name
        if not source.is_dir():
            pytest.skip(f"{source} is not here: it holds what the original Caffe computed")
        target = tmp_path / name
        shutil.copytree(source, target, copy_function=shutil.copyfile)
        for path in (target, *target.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        monkeypatch.chdir(target)
        return target

    return copy
