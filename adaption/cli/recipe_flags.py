"""--recipe, and the flags of each recipe: those of its value in `RECIPE_FORMATS`."""

from __future__ import annotations

import argparse
from typing import Any

from adaption.cli.flags import add_flag
from adaption.options import RECIPE_FORMATS

__all__ = ["add_recipe_flags", "recipe_choices"]

PLACE = "recipe."


def add_recipe_flags(parser: argparse.ArgumentParser) -> None:
    """A flag that several recipes have is one flag."""
    group = parser.add_argument_group("recipes")
    group.add_argument(
        "--recipe",
        metavar="NAME",
        help=f"write what a recipe for training in low precision needs: {', '.join(RECIPE_FORMATS)}"
        " (instead of a plan or formats)",
    )
    fields: dict[str, list[str]] = {}
    for recipe, kind in RECIPE_FORMATS.items():
        for name in kind.declared():
            fields.setdefault(name, []).append(recipe)
    for name, recipes in fields.items():
        kind = RECIPE_FORMATS[recipes[0]]
        option, default = kind.declared()[name], getattr(kind(), name)
        help = f"{', '.join(recipes)}: {option.text(default)}"
        add_flag(group, name, option, dest=PLACE + name, help=help)


def recipe_choices(args: argparse.Namespace) -> dict[str, Any]:
    """What the flags of recipes say, by field, as far as they were given."""
    found = {k.removeprefix(PLACE): v for k, v in vars(args).items() if k.startswith(PLACE)}
    return {name: value for name, value in found.items() if value is not None}
