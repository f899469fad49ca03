"""Which file registers which layer types, read from the text of the files.

So a net of five types imports five files, and a verb that only looks into it starts at once.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["every_module", "modules_of", "params_of_files", "types_of_files"]

PACKAGES = ("adaption.layers", "adaption.data.layers")

# @layer("Convolution", "LPConvolution", param=...): the names come first.
_REGISTERS = re.compile(r'^@layer\(\s*((?:"\w+"[\s,]*)+)', re.MULTILINE)
_PARAM = re.compile(r'^@layer\([^@]*?\bparam="(\w+)"', re.MULTILINE)
_NAME = re.compile(r'"(\w+)"')


@cache
def every_module() -> tuple[str, ...]:
    """The modules of all folders with layers."""
    return tuple(
        module.name
        for package in PACKAGES
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + ".")
    )


@cache
def types_of_files() -> Mapping[str, tuple[str, ...]]:
    """For each layer type, the modules that register it: several where forks disagree about it.

    Empty where the package has been installed without its source.
    """
    found: dict[str, tuple[str, ...]] = {}
    for module, text in _texts():
        for names in _REGISTERS.findall(text):
            for name in _NAME.findall(names):
                found[name] = (*found.get(name, ()), module)
    return found


@cache
def params_of_files() -> frozenset[str]:
    """The `param=` of all layers."""
    return frozenset(name for _, text in _texts() for name in _PARAM.findall(text))


@cache
def _texts() -> tuple[tuple[str, str], ...]:
    """Name and text of each module with layers."""
    return tuple(
        (f"{package}.{path.stem}", text)
        for package in PACKAGES
        for folder in importlib.import_module(package).__path__
        for path in sorted(Path(folder).glob("*.py"))
        if "@layer(" in (text := path.read_text("utf-8"))
    )


def modules_of(layer_type: str) -> tuple[str, ...]:
    """The modules to import before a type is looked up."""
    return types_of_files().get(layer_type, ()) if types_of_files() else every_module()
