"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden vectors and published models: $ADAPTION_SHARED or ../shared."""
    checkout = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("ADAPTION_SHARED", checkout.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no golden vectors at {folder} (set ADAPTION_SHARED)")
    return folder
