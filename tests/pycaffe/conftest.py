"""The switches of the facade are global: every test starts and ends with them as imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from adaption.pycaffe import mode


@pytest.fixture(autouse=True)
def switches_as_imported() -> Iterator[None]:
    before = replace(mode.settings, python_modules=list(mode.settings.python_modules))
    yield
    vars(mode.settings).update(vars(before))
