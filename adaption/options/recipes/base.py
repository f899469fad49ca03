"""RecipeOptions, and the table of recipes that a prototxt can be rewritten by.

A file in this folder holds one class; its fields become flags and keywords of `rewrite`:

    @recipe_options("wrpn")
    @dataclass(frozen=True, kw_only=True, repr=False)
    class WrpnOptions(RecipeOptions): ...

How nets are rewritten is in precision/recipe_rewrite.py: formats of the recipe made of `settings`,
unless a function there says otherwise.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar

from adaption.errors import FieldError, KeywordError, near_and_all
from adaption.options.base import Options

__all__ = ["RecipeOptions", "known_recipe_options", "make_recipe_options", "recipe_options"]


@dataclass(frozen=True, kw_only=True, repr=False)
class RecipeOptions(Options):
    """What a net is rewritten to by one recipe."""

    recipe: ClassVar[str] = ""

    def settings(self) -> dict[str, Any]:
        """The same in the recipe's own terms, as its parameter message names them."""
        return self.values()


R = TypeVar("R", bound=type[RecipeOptions])
_table: dict[str, type[RecipeOptions]] = {}


def recipe_options(name: str) -> Callable[[R], R]:
    """Register a class as the options of a recipe.

    Raises: ValueError when the name is taken (our own mistake).
    """

    def register(cls: R) -> R:
        if name in _table:
            raise ValueError(f"options of recipe {name!r} are registered by {_table[name]}")
        _table[name] = cls
        cls.recipe = name
        return cls

    return register


@cache
def known_recipe_options() -> Mapping[str, type[RecipeOptions]]:
    """The classes by the names of their recipes."""
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
        importlib.import_module(module.name)
    return _table


def make_recipe_options(recipe: str, values: Mapping[str, Any]) -> RecipeOptions:
    """The options of a recipe, in any case, with these values.

    Raises: FieldError on an unknown recipe or a bad value; KeywordError on a value that the recipe
        does not take.
    """
    table = known_recipe_options()
    found = table.get(str(recipe).lower())
    if found is None:
        raise FieldError("recipe", recipe, ", ".join(table))
    known = tuple(found.declared())
    for name in values:
        if name not in known:
            raise KeywordError(
                f"recipe {found.recipe} takes no {name}",
                near_and_all(name, known, "it takes"),
            )
    return found(**values)
