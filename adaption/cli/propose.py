"""Choose Qm.f for every weight layer's weights and result from a measurement, and write the plan:
one line per point with the format, the reason, the range, and what the format does to the values
measured (saturated and flushed shares, SQNR). `adaption rewrite` and `adaption edit` read it; it
may be edited by hand.

With --recipe sdfp: choose the biases of shared exponents for words of --bits from a measurement
with --backward, by the SQNR of each class of tensors; -o may be left out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from adaption.cli.flags import flags_for, given
from adaption.cli.format_flags import add_format_flags, formats_of
from adaption.cli.options import add_output_flags
from adaption.errors import UsageError, one_line
from adaption.options import Formats
from adaption.options.recipes.sdfp import SdfpOptions

HELP = "choose fixed-point formats from a measurement"
EXAMPLE = (
    "  adaption propose deploy.prototxt measured.json --rule sqnr \\\n"
    "      --bits 8 --bits activation=16 --bits 'conv1*:weight=6' -o plan.json\n"
    "  adaption propose train_val.prototxt gradients.json --recipe sdfp --bits 4"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of the float net")
    parser.add_argument("measurement", help="what `adaption measure` wrote")
    parser.add_argument("-o", "--out", metavar="FILE", help="plan to write (JSON)")
    recipe = parser.add_argument_group("recipes (in place of formats; --bits is one number)")
    recipe.add_argument("--recipe", metavar="NAME", help="sdfp: biases of its exponents")
    recipe.add_argument(
        "--first-last",
        metavar="{float,quantized}",
        help="whether first and last weight layers count (default float: they do not)",
    )
    add_format_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.io.outputs import keep_inputs
    from adaption.precision.flushing import flushing
    from adaption.precision.propose import propose
    from adaption.report.plan import flushing_lines, plan_grid

    if args.recipe is not None:
        return _biases(args)
    if args.first_last is not None:
        raise UsageError("--first-last is a flag of --recipe", "leave it out, or give --recipe")
    if args.out is None:
        raise UsageError("-o is missing", "name the plan to write: -o plan.json")
    made = propose(args.net, args.measurement, formats=formats_of(args))
    keep_inputs([args.out], [args.net, args.measurement])
    made.save(args.out)
    head, found = made.head(), flushing(args.net, args.measurement, made)
    flushed = None if found is None else found.to_dict()
    if args.json:
        print(json.dumps({**head, "flushed_weights": flushed, "points": made.rows()}, indent=2))
        return 0
    plan_grid(made.net, head["rule"], head["lengths"], made.rows()).print(sys.stdout)
    if flushed is not None:
        print(*flushing_lines(flushed), sep="\n")
    if not args.quiet:
        for layer, why in made.left_float.items():
            print(f'layer "{one_line(layer)}": {one_line(why)}')
        command = ["adaption", "rewrite", args.net, "--plan", args.out, "-o", "net_lp.prototxt"]
        print(f"next: {shlex.join(command)}")
    return 0


def _biases(args: argparse.Namespace) -> int:
    from adaption.io.outputs import keep_inputs
    from adaption.precision.bias_proposal import propose_biases
    from adaption.report.plan import bias_grid

    formats = given(args, Formats)
    bits = formats.pop("bits", None)
    if formats or args.int8:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in formats) or "--int8"
        raise UsageError(f"{named} is not for --recipe {args.recipe}", "leave it out")
    if bits is not None and len(bits) > 1:
        raise UsageError("--bits is given several times", "a recipe takes one number")
    choices = {"bits": bits and bits[0], "first_last": args.first_last}
    made = propose_biases(
        args.net,
        args.measurement,
        recipe=args.recipe,
        **{name: value for name, value in choices.items() if value is not None},
    )
    keep_inputs([args.out], [args.net, args.measurement])
    if args.out is not None:
        made.save(args.out)
    if args.json:
        print(json.dumps(made.to_dict(), indent=2))
        return 0
    bias_grid(made.to_dict()).print(sys.stdout)
    if not args.quiet:
        flags = flags_for(SdfpOptions, made.rewriting())
        net = shlex.quote(args.net)
        print(f"next: adaption rewrite {net} --recipe sdfp {flags} -o sdfp.prototxt")
    return 0
