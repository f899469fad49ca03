"""Rewrite a float prototxt to low precision: Convolution and InnerProduct become LPConvolution and
LPInnerProduct, and an LPAct rounds each result. Only the lines that change are touched. Formats
come from a proposal (plan.json of adaption propose or quantize), are one for all layers, or those
of a recipe (`--recipe`); the net then trains as with the recipe's precision_policy in the solver.
`--to float` takes them back.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from adaption.cli.flags import add_flags, given
from adaption.cli.options import add_also_flag, add_output_flags, also_of
from adaption.cli.recipe_flags import add_recipe_flags, recipe_of, taken_from_recipe
from adaption.errors import UsageError, one_line
from adaption.options import Formats
from adaption.options.formats import ROUNDING_WORDS, of_weights, rounding_named

HELP = "rewrite a float prototxt to low precision, and back"
EXAMPLE = (
    "  adaption rewrite deploy.prototxt -o deploy_lp.prototxt --weight Q2.14 --activation Q9.7 \\\n"
    "      --also train_val.prototxt train_val_lp.prototxt\n"
    "  adaption rewrite deploy_lp.prototxt -o deploy.prototxt --to float\n"
    "  adaption rewrite train_val.prototxt -o sdfp.prototxt --recipe sdfp --bits 4 \\\n"
    "      --bias-weight -1 --bias-activation -1 --bias-gradient -1\n"
    "  adaption rewrite train_val.prototxt -o train_val_w2a4.prototxt --recipe wrpn \\\n"
    "      --weight-bits 2 --activation-bits 4 --also deploy.prototxt deploy_w2a4.prototxt"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt to rewrite (deploy or train_val)")
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="FILE",
        help="prototxt to write; with --style original also a folder",
    )
    parser.add_argument(
        "--style",
        default="caffe",
        choices=("caffe", "original"),
        help="names and layout: as they are (default), or ADaPTION's (conv_lp_1, act_lp_2, ...)",
    )
    how = parser.add_argument_group("formats (one of: a proposal, formats for all layers, float)")
    how.add_argument("--plan", metavar="FILE", help="plan.json of propose or quantize")
    how.add_argument("--weight", metavar="Qm.f", help="format of all weights, m with the sign")
    how.add_argument("--activation", metavar="Qm.f", help="format of all results")
    add_flags(how, Formats(), "round_bias", round_bias="round biases, too")
    how.add_argument(
        "--rounding",
        metavar=f"{{{','.join(ROUNDING_WORDS)}}}",
        help="ties away from zero (default), at random, or results to even, as ONNX rounds",
    )
    add_flags(
        how,
        Formats(),
        "backward_weights",
        backward_weights="training sends gradients back through the rounded weights, which few bits"
        " need; alone, for a net that has formats",
    )
    how.add_argument("--to", choices=("float",), help="float: back to plain layers")
    recipes = parser.add_argument_group("recipes (in place of formats and layers)")
    add_recipe_flags(recipes, {"mask_saturated": "without a recipe: in all formats that are given"})
    recipes.add_argument(
        "--strict", action="store_true", help="what the recipe warns of is an error"
    )
    where = parser.add_argument_group("layers")
    add_flags(
        where,
        Formats(),
        "lpact",
        lpact="where results are rounded (default: as the plan says; before the ReLU, as ADaPTION)",
    )
    where.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="LAYER",
        help="leave this weight layer as it is; a name or a pattern such as 'loss*'",
    )
    where.add_argument("--exclude-first", action="store_true", help="leave the first weight layer")
    where.add_argument("--exclude-last", action="store_true", help="leave the last weight layer")
    where.add_argument(
        "--fold-batch-norm",
        action="store_true",
        help="fold BatchNorm, Scale and Bias into the weight layer before them; needs --weights",
    )
    files = parser.add_argument_group("files that stay in step")
    add_also_flag(files, "rewritten by the same plan (train_val.prototxt)")
    files.add_argument("--weights", metavar="FILE", help="caffemodel of the net")
    files.add_argument("--weights-out", metavar="FILE", help="caffemodel to write for the result")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.numerics import FixedPoint
    from adaption.precision.rewrite_files import rewrite_files

    if args.recipe is not None and args.rounding is not None:
        raise UsageError(
            "--rounding is of --weight and --activation, and a recipe is asked for",
            "leave it out; recipes have flags of their own",
        )
    rounding = rounding_named(args.rounding or "deterministic")
    weight, activation = (
        None if text is None else FixedPoint.q(text, way)
        for text, way in ((args.weight, of_weights(rounding)), (args.activation, rounding))
    )
    mask_saturated = bool(taken_from_recipe(args, "mask_saturated"))
    made = rewrite_files(
        args.net,
        args.out,
        plan=args.plan,
        weight=weight,
        activation=activation,
        to_float=args.to == "float",
        mask_saturated=mask_saturated,
        **given(args, Formats),
        exclude=args.exclude,
        exclude_first=args.exclude_first,
        exclude_last=args.exclude_last,
        fold=args.fold_batch_norm,
        also=also_of(args),
        weights=args.weights,
        weights_out=args.weights_out,
        style=args.style,
        recipe=recipe_of(args),
        strict=args.strict,
    )
    for warning in made.warnings:
        print(f"warning: {one_line(warning)}", file=sys.stderr)
    if args.json:
        print(json.dumps(made.to_dict(), indent=2))
        return 0
    for layer, points in made.layers.items():
        print(one_line(f"{layer}: " + ", ".join(f"{kind} {q}" for kind, q in points.items())))
    for layer, taken in made.folded.items():
        print(one_line(f"{layer}: takes in {', '.join(taken)}"))
    for note in made.notes:
        print(f"note: {one_line(note)}")
    if not args.quiet:
        print("\n".join(f"written: {path}" for path in made.files))
        files = [str(made.files[0]), *([args.weights_out] if args.weights_out else [])]
        print(f"next: adaption inspect {shlex.join(files)}")
    return 0
