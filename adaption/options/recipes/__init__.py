"""What `rewrite --recipe NAME` can be told: one file per recipe, found by scanning this folder."""

from adaption.options.recipes.base import (
    RecipeOptions,
    known_recipe_options,
    make_recipe_options,
    recipe_options,
)

__all__ = ["RecipeOptions", "known_recipe_options", "make_recipe_options", "recipe_options"]
