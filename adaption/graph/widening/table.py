"""The table of rules: what each layer type does to the channels of its bottoms.

A type that is not in it is unknown here; channels that reach it can be followed no further, which
is an error only where a weight layer reads what it makes.
"""

from __future__ import annotations

from collections.abc import Callable

from adaption.graph.widening.channels import Channels
from adaption.graph.widening.flow import Rule

__all__ = ["RULES", "axis_of", "rule"]

RULES: dict[str, Rule] = {}


def rule(*types: str) -> Callable[[Rule], Rule]:
    """Register a rule for layer types."""

    def register(made: Rule) -> Rule:
        for name in types:
            assert name not in RULES, name
            RULES[name] = made
        return made

    return register


def axis_of(axis: int, x: Channels) -> int | None:
    """An axis counted from the front; None where that needs a rank that is unknown."""
    if axis >= 0:
        return axis
    return None if x.rank is None else x.rank + axis
