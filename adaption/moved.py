"""Names that a package had in version 0.1.0 and that are somewhere else now."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["names_at"]


def names_at(package: str, moved: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__` that finds moved names, with a DeprecationWarning.

    Args:
        package: its name. moved: the module where each name is now.
    """

    def find(name: str) -> Any:
        if name not in moved:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        message = f"{package}.{name} is {moved[name]}.{name} now"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(moved[name]), name)

    return find
