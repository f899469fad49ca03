"""What the text of layer files says is what importing them registers."""

from __future__ import annotations

import subprocess
import sys

from adaption.layers.base import _registered, known_params
from adaption.layers.scan import modules_of, params_of_files, types_of_files


def test_types_and_params_are_those_that_are_registered() -> None:
    classes = [
        (name, cls)
        for name, variants in _registered().items()
        for cls in variants.values()
        if cls.__module__.startswith("adaption.")
    ]
    registered: dict[str, set[str]] = {}
    for name, cls in classes:
        registered.setdefault(name, set()).add(cls.__module__)
    assert {name: set(modules) for name, modules in types_of_files().items()} == registered
    assert params_of_files() == {cls.param for _, cls in classes if cls.param}
    assert params_of_files() <= known_params()


def test_a_type_asks_for_its_own_files_only() -> None:
    assert modules_of("ReLU") == ("adaption.layers.relu",)
    assert modules_of("NoSuchLayer") == ()


def test_built_in_python_layers_are_found_in_a_fresh_process() -> None:
    """They are registered by files that no layer type of the net asks for."""
    code = (
        "from adaption.layers.python_registry import built_in\n"
        "assert built_in('rpn.proposal_layer', 'ProposalLayer') is not None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
