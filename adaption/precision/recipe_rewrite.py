"""Write the formats of a recipe into nets, so that they train as its policy does.

By default a recipe's first formats are written as precision_param, and nothing else changes. A
recipe NAME whose nets differ in more has a file NAME_rewrite.py beside this one, with a function
under `@rewriting("NAME")`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from adaption.errors import UsageError
from adaption.graph import NetSpec
from adaption.io import prototxt
from adaption.io.caffemodel import Weights
from adaption.io.netfile import NetFile, from_document, read_net
from adaption.io.prototxt import Block
from adaption.layers.base import traits_of_type
from adaption.net.plan import KINDS, Plan
from adaption.options.recipes import RecipeOptions, make_recipe_options
from adaption.precision.format_text import set_points, text_of
from adaption.precision.proposal import Proposal
from adaption.precision.rewrite import file_specs, fresh_document
from adaption.precision.rewrite import rewrite as rewrite_to_plan
from adaption.recipes import Recipe, named_recipe
from adaption.recipes.view import view_of_spec

__all__ = [
    "RecipeNets",
    "chosen_recipe",
    "rewrite",
    "rewrite_by_recipe",
    "rewriting",
    "state_plan",
    "with_formats",
]

PathLike = str | os.PathLike[str]


@dataclass
class RecipeNets:
    """Nets by one recipe: the first one given, then its companions.

    layers: what was written for each layer, by name; formats are texts. warnings: what the user
    should know.
    """

    nets: list[NetFile] = field(default_factory=list)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, texts: Sequence[str]) -> None:
        """Add what is not said yet."""
        self.warnings += [text for text in texts if text not in self.warnings]


Rewriting = Callable[[Sequence[NetFile], Any, Weights | None], RecipeNets]
"""Of nets over the same layers, the recipe's options, and the weights that training starts from."""
_rewritings: dict[str, Rewriting] = {}


def rewriting(recipe: str) -> Callable[[Rewriting], Rewriting]:
    """Register how nets are rewritten by a recipe, where writing its formats is not all.

    Raises: ValueError when that is registered (our own mistake).
    """

    def register(write: Rewriting) -> Rewriting:
        if recipe in _rewritings:
            raise ValueError(f"rewriting by {recipe!r} is registered by {_rewritings[recipe]}")
        _rewritings[recipe] = write
        return write

    return register


def rewrite(
    net: NetFile | PathLike,
    plan: Proposal | None = None,
    *,
    lpact: str | None = None,
    exclude: Sequence[str] = (),
    partly: bool = False,
    recipe: str | RecipeOptions | Recipe[Any] | None = None,
    **choices: Any,
) -> NetFile:
    """The low-precision net, or the float one: names, order and other fields stay.

    With a plan, Convolution and InnerProduct become LPConvolution and LPInnerProduct, an in-place
    LPAct stands behind each result that is rounded; without a plan and a recipe all that is taken
    back. With a recipe its formats are written, and the net trains as the recipe's policy does.

    Args:
        plan: formats by point, of `propose`.
        lpact: where results are rounded; None: where the plan says.
        exclude: names or patterns of weight layers to leave as they are.
        partly: leave out what the plan says about layers that this net lacks.
        recipe: "sdfp", its options, or a recipe of `named_recipe`.
        choices: options of the recipe that is named, as the shell's flags: bits=4, bias_weight=-1.
    Raises: LayerError when the plan names a layer that the net lacks; UsageError on arguments that
        do not go together; FieldError.
    """
    if recipe is None:
        if choices:
            raise UsageError(f"without a recipe there is no {', '.join(choices)}", "name a recipe")
        return rewrite_to_plan(net, plan, lpact=lpact, exclude=exclude, partly=partly)
    if plan is not None or lpact is not None or exclude or partly:
        raise UsageError("a recipe says what to rewrite to", "give a plan, or a recipe")
    file = net if isinstance(net, NetFile) else read_net(net)
    return rewrite_by_recipe([file], chosen_recipe(recipe, choices)).nets[0]


def chosen_recipe(
    recipe: str | RecipeOptions | Recipe[Any], choices: Mapping[str, Any]
) -> RecipeOptions | Recipe[Any]:
    """The options of a recipe that is named, or what is given whole.

    Raises: UsageError on choices beside what is given whole; see make_recipe_options.
    """
    if isinstance(recipe, str):
        return make_recipe_options(recipe, choices)
    if choices:
        raise UsageError(
            f"{', '.join(choices)} is given beside a whole recipe", 'name it: recipe="sdfp"'
        )
    return recipe


def rewrite_by_recipe(
    files: Sequence[NetFile],
    options: RecipeOptions | Recipe[Any],
    weights: Weights | None = None,
) -> RecipeNets:
    """A net, and companions over the same layers, as a recipe wants them.

    Args:
        options: of a recipe; or a recipe itself, whose formats are written.
        weights: that training starts from, for recipes that look at them.
    Raises: UsageError when the recipe does not look at weights and some are given.
    """
    name = options.name if isinstance(options, Recipe) else options.recipe
    write = None if isinstance(options, Recipe) else _rewriting_of(name)
    if write is not None:
        return write(files, options, weights)
    if weights is not None:
        raise UsageError(f"recipe {name} does not look at weights", "leave out --weights (weights)")
    if isinstance(options, Recipe):
        options.check()
        return with_formats(files, options)
    return with_formats(files, named_recipe(options.recipe, **options.settings()))


def _rewriting_of(recipe: str) -> Rewriting | None:
    module = f"{__name__.rpartition('.')[0]}.{recipe}_rewrite"
    if find_spec(module) is not None:
        import_module(module)
    return _rewritings.get(recipe)


def with_formats(files: Sequence[NetFile], recipe: Recipe[Any]) -> RecipeNets:
    """Nets with the formats that a recipe starts with, written as precision_param.

    Types and names of layers stay, so caffemodels fit as they are. What a layer says of a point
    already stays. `backward_weights: QUANTIZED` stands where the recipe rounds the weight. The
    first net decides for all layers that it has: its TRAIN state for those that are trained.
    """
    made = RecipeNets()
    decided: dict[str, dict[str, Any]] = {}  # formats by layer and kind
    for number, file in enumerate(files):
        own: dict[str, dict[str, Any]] = {}
        for spec in _specs_train_last(file):
            plan, notices = _chosen(spec, recipe)
            own |= {layer.name: {} for layer in spec.layers}
            for point, fmt in plan.items():
                own[point.layer][point.kind] = fmt
            if not number:
                made.warn(notices)
        made.warn([*_differences(file, own, decided), *_kept_by_no_phase(file, own)])
        own |= {name: formats for name, formats in decided.items() if name in own}
        decided |= {name: formats for name, formats in own.items() if name not in decided}
        made.nets.append(_written(file, own))
        if not number:
            made.layers = {
                name: {kind: _text(fmt) for kind, fmt in formats.items()}
                for name, formats in own.items()
                if formats
            }
    return made


def _specs_train_last(file: NetFile) -> Iterator[NetSpec]:
    """The nets of a file; what a layer of both gets is decided by TRAIN."""
    yield from sorted(file_specs(file), key=lambda spec: spec.phase == "TRAIN")


def _chosen(spec: NetSpec, recipe: Recipe[Any]) -> tuple[Plan, Sequence[str]]:
    """The formats that a recipe starts with where the net's text says nothing, and its notices."""
    view = view_of_spec(spec)
    stated = {layer.name: layer.stated for layer in view.layers}
    plan, _ = recipe.init(view)
    free = {p: fmt for p, fmt in plan.items() if p.kind not in stated[p.layer]}
    return free, recipe.notices(view)


def _differences(
    file: NetFile, own: Mapping[str, Mapping[str, Any]], decided: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Where a companion alone would have other formats than the first net gives it."""
    other = [name for name, formats in own.items() if decided.get(name, formats) != formats]
    return [
        f'{file.file}: alone, layer "{name}" would be {_shown(own[name])}; it is'
        f" {_shown(decided[name])}, as in the first net"
        for name in other
    ]


def _kept_by_no_phase(file: NetFile, own: Mapping[str, Any]) -> list[str]:
    """Weight layers that only a stage or level keeps, so that nothing says whether one is last."""
    rest = [m for m in file.message.layer if m.name not in own]
    names = [f'"{m.name}"' for m in rest if traits_of_type(m.type).is_weight_layer()]
    if not names:
        return []
    return [f"{file.file}: left as they are, since no phase keeps them: {', '.join(names)}"]


def _shown(formats: Mapping[str, Any]) -> str:
    return ", ".join(f"{kind} {_text(fmt)}" for kind, fmt in formats.items()) or "float"


def _text(fmt: object) -> str:
    return "float" if fmt is None else str(fmt)


def _written(file: NetFile, formats_of: Mapping[str, Mapping[str, Any]]) -> NetFile:
    """The net with these formats in its text, but for points of which that says something."""
    document = fresh_document(file)
    for item in document.root.all("layer"):
        found = formats_of.get(text_of(item.block, "name"), {})
        stands = [param.block for param in item.block.all("precision_param")]
        free = {k: f for k, f in found.items() if all(b.first(k) is None for b in stands)}
        _state(item.block, free)
    return from_document(prototxt.parse(document.text(), file.file))


def state_plan(document: prototxt.Document, plan: Plan) -> None:
    """Make the text of a net state the formats of a plan at the points of layers that it has, with
    `backward_weights: QUANTIZED` beside a weight, unless the layer says something of that."""
    for item in document.root.all("layer"):
        name = text_of(item.block, "name")
        _state(item.block, {point.kind: f for point, f in plan.items() if point.layer == name})


def _state(block: Block, found: Mapping[str, Any]) -> None:
    formats = {kind: found[kind] for kind in KINDS if kind in found}
    if not formats:
        return
    stands = [param.block for param in block.all("precision_param")]
    has_own = any(b.first("backward_weights") is not None for b in stands)
    rounds = "weight" in formats and not has_own
    set_points(block, formats, backward_weights="QUANTIZED" if rounds else None)
