"""The recipes: low precision as a choice of formats at the points, fixed or changing over time."""

from adaption.recipes.base import (
    Decision,
    LayerView,
    NetView,
    Recipe,
    known_recipes,
    make_recipe,
    named_recipe,
    recipe,
)

__all__ = [
    "Decision",
    "LayerView",
    "NetView",
    "Recipe",
    "known_recipes",
    "make_recipe",
    "named_recipe",
    "recipe",
]
