"""Names that rooms of the package had in version 0.1.0, and that are somewhere else now."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

import adaption.export
import adaption.precision

NAMES = [(room, name) for room in (adaption.export, adaption.precision) for name in room.MOVED]


@pytest.mark.parametrize(("room", "name"), NAMES, ids=lambda it: getattr(it, "__name__", it))
def test_moved_names_work_and_say_where_they_are(room: ModuleType, name: str) -> None:
    module = room.MOVED[name]
    said = f"{room.__name__}.{name} is {module}.{name} now"
    with pytest.warns(DeprecationWarning, match=said):
        found = getattr(room, name)
    assert found is getattr(importlib.import_module(module), name)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'verfy'"):
        adaption.export.verfy  # noqa: B018
