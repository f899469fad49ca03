"""Names that adaption.export had before comparisons and exact arithmetic had rooms of their own."""

from __future__ import annotations

import importlib

import pytest

import adaption.export


@pytest.mark.parametrize("name", adaption.export.MOVED)
def test_moved_names_work_and_say_where_they_are(name: str) -> None:
    module = adaption.export.MOVED[name]
    with pytest.warns(DeprecationWarning, match=f"adaption.export.{name} is {module}.{name} now"):
        found = getattr(adaption.export, name)
    assert found is getattr(importlib.import_module(module), name)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'verfy'"):
        adaption.export.verfy  # noqa: B018
