"""`pytest --device DEVICE tests/layers` runs nets and layers of these tests on another device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from adaption.net import Net
from tests.layers import snippets
from tests.pretended_cuda import pretended_cuda


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    name = request.config.getoption("--device")
    if name == "cpu":
        yield
        return
    with pretended_cuda() if name == "pretended" else nullcontext():
        cuda = "cuda:0" if name == "pretended" else name
        monkeypatch.setattr(snippets, "DEVICE", cuda)
        monkeypatch.setitem(Net.__init__.__kwdefaults__, "device", cuda)
        yield
