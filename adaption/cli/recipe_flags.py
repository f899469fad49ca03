"""Flags of `rewrite --recipe NAME`: --recipe, and those of every recipe that can be asked for."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from adaption.cli.flags import Parser, flag_of, flag_settings
from adaption.errors import UsageError
from adaption.options.recipes import RecipeOptions, known_recipe_options, make_recipe_options

__all__ = ["add_recipe_flags", "recipe_of", "taken_from_recipe"]

PLACE = "recipe."  # before the name of a field, where argparse keeps its flag


def add_recipe_flags(parser: Parser, alone: Mapping[str, str] = {}) -> None:
    """--recipe, and one flag for each field of each recipe; a name that two share is one flag.

    Args:
        alone: by field, what its flag means without a recipe; see `taken_from_recipe`.
    """
    table = known_recipe_options()
    parser.add_argument("--recipe", metavar="NAME", help=f"{', '.join(table)}: its formats")
    takers: dict[str, list[type[RecipeOptions]]] = {}
    for kind in table.values():
        for name in kind.declared():
            takers.setdefault(name, []).append(kind)
    for name, kinds in takers.items():
        helps: dict[str, list[str]] = {}
        for kind in kinds:
            text = kind.declared()[name].text(getattr(kind(), name))
            helps.setdefault(text, []).append(kind.recipe)
        said = "; ".join(f"{', '.join(recipes)}: {text}" for text, recipes in helps.items())
        said += f"; {alone[name]}" if name in alone else ""
        option = kinds[0].declared()[name]
        settings = flag_settings(name, option) | {"dest": PLACE + name, "help": said}
        parser.add_argument(flag_of(name, option), **settings)


def taken_from_recipe(args: argparse.Namespace, name: str) -> Any:
    """The value of a flag that also means something without a recipe, which then does not have it;
    None where it is not given, or is a recipe's."""
    place = PLACE + name
    value = getattr(args, place)
    if args.recipe is not None:
        return None
    setattr(args, place, None)
    return value


def recipe_of(args: argparse.Namespace) -> RecipeOptions | None:
    """What the flags ask for; None without --recipe.

    Raises: UsageError on a flag that the recipe does not take; FieldError.
    """
    given: dict[str, Any] = {
        place.removeprefix(PLACE): value
        for place, value in vars(args).items()
        if place.startswith(PLACE) and value is not None
    }
    table = known_recipe_options()
    chosen = None if args.recipe is None else table.get(args.recipe.lower())
    for name in given if chosen is not None or args.recipe is None else ():
        if chosen is None or name not in chosen.declared():
            takers = [kind.recipe for kind in table.values() if name in kind.declared()]
            raise UsageError(
                f"--{name.replace('_', '-')} is a flag of --recipe {' and '.join(takers)},"
                f" and {'no recipe' if chosen is None else chosen.recipe} is asked for",
                "leave it out, or give --recipe",
            )
    if args.recipe is None:
        return None
    if chosen is not None:
        words = {name: option.words for name, option in chosen.declared().items()}
        given = {name: words[name].get(value, value) for name, value in given.items()}
    return make_recipe_options(args.recipe, given)
