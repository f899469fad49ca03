"""Rewrite net files, and their weights with them, in one call: fold, rewrite, convert, write."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from adaption.errors import FieldError, LayerError, UsageError
from adaption.io import prototxt
from adaption.io.atomic import together
from adaption.io.kinds import is_folder
from adaption.io.netfile import NetFile, from_document, read_net, write_net
from adaption.io.outputs import keep_inputs
from adaption.later import np
from adaption.net import Point
from adaption.numerics import FixedPoint
from adaption.precision.rewrite import (
    backward_through_rounded,
    file_sites,
    matches,
    rewrite,
    uniform_plan,
)
from adaption.precision.sites import excluded_layers

if TYPE_CHECKING:  # what few calls need is imported where they do
    from adaption.io.caffemodel import Weights
    from adaption.options.recipes import RecipeOptions
    from adaption.precision.fold import Folding
    from adaption.precision.proposal import Proposal
    from adaption.recipes import Recipe

__all__ = ["Rewritten", "rewrite_files"]

PathLike = str | os.PathLike[str]


@dataclass
class Rewritten:
    """What `rewrite_files` wrote and did, in plain values.

    layers: by layer and point the format as text. recipe: that wrote them; its warnings.
    """

    files: list[Path] = field(default_factory=list)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    folded: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    recipe: str | None = None
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        files = [os.fspath(path) for path in self.files]
        if self.recipe is not None:
            layers = [{"name": name, **said} for name, said in self.layers.items()]
            rest = {"layers": layers, "warnings": self.warnings}
            return {"recipe": self.recipe, "files": files, **rest}
        return {
            "files": files,
            "layers": self.layers,
            "folded": {name: list(taken) for name, taken in self.folded.items()},
            "notes": self.notes,
        }


def rewrite_files(
    net: PathLike,
    out: PathLike,
    *,
    plan: Proposal | PathLike | None = None,
    weight: FixedPoint | None = None,
    activation: FixedPoint | None = None,
    round_bias: bool = False,
    to_float: bool = False,
    backward_weights: bool = False,
    mask_saturated: bool = False,
    lpact: str | None = None,
    exclude: Sequence[str] = (),
    exclude_first: bool = False,
    exclude_last: bool = False,
    fold: bool = False,
    also: Sequence[tuple[PathLike, PathLike]] = (),
    weights: PathLike | None = None,
    weights_out: PathLike | None = None,
    style: str = "caffe",
    recipe: str | RecipeOptions | Recipe[Any] | None = None,
    strict: bool = False,
    **choices: Any,
) -> Rewritten:
    """Rewrite a net to low precision, or back to float, and its companions by the same plan.

    Args:
        net, out: prototxt to read, and to write.
        plan: plan.json of `propose` or `quantize`; or instead
        weight, activation, round_bias: one format for all weights and one for all results.
        to_float: low-precision types become plain ones, LPAct layers go.
        backward_weights: training sends gradients back through rounded weights; alone, it is set
            in a net that has formats already.
        mask_saturated: training hands no gradient to values beyond the range of their format, in
            all formats of the plan, or of `weight` and `activation`.
        lpact: where results are rounded; see sites.PLACES.
        exclude, exclude_first, exclude_last: weight layers to leave as they are.
        fold: fold batch norm and scale into the weight layer before them (needs `weights`).
        also: more nets over the same layers (train_val beside deploy), each with its output.
        weights, weights_out: caffemodel to read, and to write for the rewritten net.
        style: "caffe" keeps names and layout; "original" writes ADaPTION's (conv_lp_1, act_lp_2,
            relu_3), for chains of layers. `out` may then be a folder: files are called as the
            original calls them, LP_VGG16_16_bit_train.prototxt.
        recipe: as of `rewrite`, in place of a plan and the like; `choices` are its options. Of the
            others only `also` counts, and `weights` where the recipe looks at those that training
            starts from (wrpn: how many start in the zero level).
        strict: with a recipe: what it warns of is an error.
    Raises: UsageError on arguments that do not go together; what `rewrite` and
        `fold_batch_norm` raise.
    """
    if style not in ("caffe", "original"):
        raise FieldError("style", style, "caffe, original")
    fields = {"backward_weights": backward_weights, "mask_saturated": mask_saturated}
    asked = [name for name, is_asked in fields.items() if is_asked]
    if asked and (to_float or style == "original"):
        raise UsageError(
            f"{asked[0]} goes with formats in precision_param, which"
            f" {'a float net' if to_float else 'the original style'} has not",
            "leave out one of both",
        )
    keep_inputs(
        [out, weights_out, *(target for _, target in also)],
        [net, weights, *(one for one, _ in also), plan if _is_file(plan) else None],
    )
    if recipe is not None:
        if mask_saturated:  # an option of its own
            choices["mask_saturated"] = True
        others = {
            "plan": plan, "weight": weight, "activation": activation, "round_bias": round_bias,
            "to_float": to_float, "lpact": lpact, "exclude": exclude, "fold": fold,
            "exclude_first": exclude_first, "exclude_last": exclude_last,
            "weights_out": weights_out, "style": style != "caffe",
            "backward_weights": backward_weights,
        }  # fmt: skip
        from adaption.precision.recipe_rewrite import chosen_recipe

        _refuse_beside_recipe(others)
        return _by_recipe([(net, out), *also], chosen_recipe(recipe, choices), weights, strict)
    if strict or choices:
        beside = ", ".join([*choices, *(["strict"] if strict else [])])
        raise UsageError(f"without a recipe there is no {beside}", 'give recipe="sdfp" or another')
    _check_arguments(
        plan, weight, activation, to_float, fold, backward_weights, weights, weights_out
    )
    made = Rewritten()
    trained = _read(weights)
    nets = [(read_net(a), b) for a, b in ((net, out), *also)]
    if fold:
        from adaption.precision.fold import fold_batch_norm

        assert trained is not None
        foldings = [fold_batch_norm(one, trained) for one, _ in nets]
        nets = [(f.net, target) for f, (_, target) in zip(foldings, nets, strict=True)]
        trained = foldings[0].weights
        _note_folding(made, foldings)
    first = nets[0][0]
    chosen = _plan_of(first, plan, weight, activation, lpact, round_bias, made)
    if mask_saturated:
        if chosen is None:
            raise UsageError(
                "mask_saturated needs formats, and none are given",
                "give them beside it (--plan, --weight, --activation)",
            )
        chosen = chosen.masked()
    sites = [file_sites(one) for one, _ in nets]
    named = excluded_layers([site for of_one in sites for site in of_one], exclude)
    named |= excluded_layers(sites[0], (), exclude_first, exclude_last)
    if named and to_float:
        raise UsageError(
            f"{', '.join(sorted(named))} are to stay as they are, but float takes all layers back",
            "leave out --exclude, or take them back one by one: adaption edit NET"
            " 'LAYER:weight=float'",
        )
    left = [escape(name) for name in sorted(named)]
    results = []
    for i, (one, target) in enumerate(nets):
        low, file = one, Path(target)
        if style == "original":
            from adaption.precision.original.style import original_style

            created = original_style(one, chosen, left, lpact)
            low = from_document(prototxt.parse(created.text, one.file))
            file = file / created.file_name if is_folder(file) else file
        elif chosen is not None:
            low = rewrite(one, chosen, lpact=lpact, exclude=left, partly=i > 0)
            _note_differences(made, one, chosen, left, i)
        elif to_float:
            low = rewrite(one)
        if backward_weights:
            low = backward_through_rounded(low, exclude=left)
        results.append((low, file))
    if chosen is not None:
        from adaption.precision.preprocessing import preprocessing_notes

        if style == "original" and chosen.formats is not None:
            lost = [name for name in fields if getattr(chosen.formats, name)]
            if lost:
                made.notes.append(
                    f"The original style cannot say {' and '.join(lost)} of the plan."
                )
        for one, _ in nets:
            made.notes += preprocessing_notes(chosen.preprocessing, one)
        for point, fmt in chosen.plan.items():
            if not matches(point.layer, left):
                made.layers.setdefault(point.layer, {})[point.kind] = str(fmt)
        if fold and trained is not None:
            _note_saturation(made, trained, chosen, left)
    with together():
        for low, file in results:
            write_net(low, file)
            made.files.append(file)
        if weights_out is not None:
            from adaption.io.caffemodel import write_weights
            from adaption.precision.convert import convert

            assert trained is not None
            layers = convert(trained, results[0][0], by_order=style == "original")
            write_weights(weights_out, layers, name=trained.name)
            made.files.append(Path(weights_out))
    return made


def _is_file(plan: Proposal | PathLike | None) -> TypeGuard[PathLike]:
    return isinstance(plan, str | os.PathLike)


def _read(weights: PathLike | None) -> Weights | None:
    if weights is None:
        return None
    from adaption.io.caffemodel import read_weights

    return read_weights(weights)


def _refuse_beside_recipe(others: Mapping[str, object]) -> None:
    given = [name for name, value in others.items() if value is not None and value and value != ()]
    if given:
        raise UsageError(
            f"a recipe says what to rewrite to; {', '.join(given)} cannot be given beside it",
            "leave it out, or rewrite in two steps",
        )


def _by_recipe(
    pairs: Sequence[tuple[PathLike, PathLike]],
    chosen: RecipeOptions | Recipe[Any],
    weights: PathLike | None,
    strict: bool,
) -> Rewritten:
    from adaption.precision.recipe_rewrite import rewrite_by_recipe
    from adaption.recipes import Recipe

    trained = _read(weights)
    by = rewrite_by_recipe([read_net(a) for a, _ in pairs], chosen, trained)
    if strict and by.warnings:
        raise UsageError(by.warnings[0], file=pairs[0][0])
    made = Rewritten(layers=by.layers, warnings=by.warnings)
    made.recipe = chosen.name if isinstance(chosen, Recipe) else chosen.recipe
    with together():
        for low, (_, target) in zip(by.nets, pairs, strict=True):
            write_net(low, target)
            made.files.append(Path(target))
    return made


def _check_arguments(
    plan: object,
    weight: object,
    activation: object,
    to_float: bool,
    fold: bool,
    backward_weights: bool,
    weights: object,
    weights_out: object,
) -> None:
    ways = [plan is not None, weight is not None or activation is not None, to_float]
    if sum(ways) > 1 or not (any(ways) or fold or backward_weights):
        raise UsageError(
            "a plan, formats for all layers, or float: exactly one says what to rewrite to",
            "give --plan plan.json, or --weight Q2.14 --activation Q3.13, or --to float",
        )
    if (fold or weights_out is not None) and weights is None:
        raise UsageError("weights are needed", "give --weights net.caffemodel")
    if weights is not None and weights_out is None:
        raise UsageError(
            "weights are read, but not written anywhere", "give --weights-out new.caffemodel"
        )


def _plan_of(
    net: NetFile,
    plan: Proposal | PathLike | None,
    weight: FixedPoint | None,
    activation: FixedPoint | None,
    lpact: str | None,
    round_bias: bool,
    made: Rewritten,
) -> Proposal | None:
    if weight is not None or activation is not None:
        chosen = uniform_plan(
            net,
            weight=weight,
            activation=activation,
            lpact=lpact or "before-relu",
            round_bias=round_bias,
        )
    elif plan is not None:
        from adaption.precision.proposal import Proposal

        chosen = plan if isinstance(plan, Proposal) else Proposal.load(plan)
    else:
        return None
    for name, taken in made.folded.items():  # a plan for the net before it was folded
        if chosen.places.get(name) in taken:
            chosen.places[name] = name
    made.notes += [f'Layer "{name}": {why}.' for name, why in chosen.left_float.items()]
    return chosen


def _note_folding(made: Rewritten, foldings: Sequence[Folding]) -> None:
    made.folded = dict(foldings[0].folded)
    for other in foldings[1:]:
        for name, taken in other.folded.items():
            if made.folded.get(name, taken) != taken:
                raise LayerError(
                    f"takes in {', '.join(taken)}, in the first net {', '.join(made.folded[name])}",
                    "give nets over the same layers",
                ).at(file=other.net.file, layer=name)
    made.notes += foldings[0].notes


def _note_differences(
    made: Rewritten, net: NetFile, plan: Proposal, left: Sequence[str], index: int
) -> None:
    """What stays float in a net, and what of the plan a companion net has no layer for."""
    names = {message.name for message in net.message.layer}
    planned = {point.layer for point in plan.plan}
    where = f" of {net.file}" if index else ""
    for site in file_sites(net):
        name = site.weight.name
        if matches(name, left):
            made.notes.append(f'Layer "{name}"{where} stays as it is, as asked.')
        elif name not in planned:
            made.notes.append(f'Layer "{name}"{where} stays as it is: the plan does not name it.')
    if index:
        gone = sorted(planned - names)
        if gone:
            made.notes.append(f"{net.file} has no layers {', '.join(gone)} of the plan.")


def _note_saturation(
    made: Rewritten, weights: Weights, plan: Proposal, left: Sequence[str]
) -> None:
    """Folding changes the range of weights: say where a plan for others does not hold them."""
    for name in made.folded:
        fmt = plan.plan.get(Point(name, "weight"))
        layer = weights.get(name)
        if fmt is None or layer is None or matches(name, left):
            continue
        values = np.abs(layer.blobs[0].array())
        beyond = int((values > fmt.max_value + fmt.lsb / 2).sum())
        if beyond:
            made.notes.append(
                f'Layer "{name}": {beyond} of {values.size} folded weights lie beyond {fmt}.'
            )
