"""Write the formats of a recipe into prototxt files, so that they train as its policy does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from adaption.errors import FieldError, KeywordError, UsageError
from adaption.io import prototxt
from adaption.io.caffemodel import Weights
from adaption.io.netfile import NetFile, from_document, read_net, write_net
from adaption.net.plan import KINDS, Plan, Point
from adaption.options import RECIPE_FORMATS, Options
from adaption.precision.format_text import set_points, text_of
from adaption.precision.rewrite import file_specs, fresh_document
from adaption.precision.wrpn_rewrite import write_wrpn
from adaption.recipes import Recipe
from adaption.recipes.view import view_of_spec

__all__ = [
    "RecipeNets",
    "RecipeRewritten",
    "recipe_formats",
    "rewrite_recipe",
    "state_plan",
    "with_recipe",
    "write_recipe",
]

PathLike = str | os.PathLike[str]


@dataclass
class RecipeRewritten:
    """What was written: layers with the text of each format, and what the user should know."""

    files: list[str] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


@dataclass(frozen=True)
class RecipeNets:
    """Nets with a recipe's formats, what is said of the first one's layers, and warnings."""

    nets: Sequence[NetFile]
    layers: list[dict[str, Any]]
    warnings: list[str]


Writer = Callable[[Sequence[NetFile], Any, Weights | None], RecipeNets]


def _wrpn(nets: Sequence[NetFile], formats: Any, weights: Weights | None) -> RecipeNets:
    return RecipeNets(*write_wrpn(nets, formats, weights))


WRITERS: Mapping[str, Writer] = MappingProxyType({"wrpn": _wrpn})


def recipe_formats(name: str, choices: Mapping[str, Any]) -> Options:
    """The value that a recipe's choices make.

    Raises: FieldError on an unknown recipe, or what a choice may not hold; UsageError on a choice
        of another recipe; KeywordError on one of none.
    """
    kind = RECIPE_FORMATS.get(name)
    if kind is None:
        raise FieldError("recipe", name, ", ".join(RECIPE_FORMATS))
    for choice in choices:
        if choice in kind.declared():
            continue
        others = [n for n, k in RECIPE_FORMATS.items() if choice in k.declared()]
        allowed = ", ".join(kind.declared())
        if others:
            fact = f"recipe {name} has no {choice}, which {' and '.join(others)} has"
            raise UsageError(fact, f"leave it out; of {name}: {allowed}")
        raise KeywordError(f"recipe {name} has no choice {choice!r}", f"it has {allowed}")
    return kind(**choices)


def write_recipe(
    nets: Sequence[NetFile],
    name: str,
    choices: Mapping[str, Any],
    weights: Weights | None = None,
) -> RecipeNets:
    """Nets over the same layers, with the formats of the recipe `name`.

    Args:
        choices: of the recipe, by name.
        weights: that training starts from, where they are known.
    Raises: as `recipe_formats`; what the recipe refuses.
    """
    formats = recipe_formats(name, choices)
    return WRITERS[name](nets, formats, weights)


def rewrite_recipe(
    net: PathLike,
    out: PathLike,
    recipe: Recipe[Any],
    also: Sequence[tuple[PathLike, PathLike]] = (),
) -> RecipeRewritten:
    """Write a net, and companions over the same layers, with the formats a recipe starts with.

    Types and names of layers stay; formats are written as precision_param, with
    `backward_weights: QUANTIZED` where the recipe rounds the weight. What a layer says of a point
    already stays. Caffemodels of the nets fit as they are.
    """
    pairs = [(read_net(a), b) for a, b in ((net, out), *also)]
    made = RecipeRewritten()
    results = []
    for file, target in pairs:
        low, plan, warnings = with_recipe(file, recipe)
        results.append((low, target))
        made.warnings += [text for text in warnings if text not in made.warnings]
        if len(results) == 1:
            made.layers = _rows(plan)
    for low, target in results:
        write_net(low, target)
        made.files.append(os.fspath(target))
    return made


def with_recipe(file: NetFile, recipe: Recipe[Any]) -> tuple[NetFile, Plan, list[str]]:
    """The net with a recipe's formats; the plan that was written, and warnings."""
    plan: dict[Point, Any] = {}
    warnings: list[str] = []
    for spec in file_specs(file):
        view = view_of_spec(spec)
        stated = {layer.name: layer.stated for layer in view.layers}
        chosen, _ = recipe.init(view)
        plan |= {p: fmt for p, fmt in chosen.items() if p.kind not in stated[p.layer]}
        warnings += [text for text in recipe.notices(view) if text not in warnings]
    document = fresh_document(file)
    state_plan(document, plan)
    return from_document(prototxt.parse(document.text(), file.file)), plan, warnings


def state_plan(document: prototxt.Document, plan: Plan) -> None:
    """Make the text of a net state the formats of a plan at the points of layers that it has, with
    `backward_weights: QUANTIZED` beside a weight, unless the layer says something of that."""
    for item in document.root.all("layer"):
        name = text_of(item.block, "name")
        formats = {kind: plan[p] for kind in KINDS if (p := Point(name, kind)) in plan}
        if formats:
            has_own = any(
                param.block.first("backward_weights") is not None
                for param in item.block.all("precision_param")
            )
            rounds = "weight" in formats and not has_own
            set_points(item.block, formats, backward_weights="QUANTIZED" if rounds else None)


def _rows(plan: Plan) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for point, fmt in plan.items():
        row = rows.setdefault(point.layer, {"name": point.layer})
        row[point.kind] = "float" if fmt is None else str(fmt)
    return list(rows.values())
