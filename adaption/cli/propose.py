"""Choose Qm.f for every weight layer's weights and result from a measurement, and write the plan:
one line per point with the format, the reason, the range, and what the format does to the values
measured (saturated and flushed shares, SQNR). `adaption rewrite` and `adaption edit` read it; it
may be edited by hand.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from adaption.cli.options import add_output_flags
from adaption.cli.rule_flags import add_rule_flags, rule_settings
from adaption.errors import one_line

HELP = "choose fixed-point formats from a measurement"
EXAMPLE = (
    "  adaption propose deploy.prototxt measured.json --rule sqnr \\\n"
    "      --bits 8 --bits activation=16 --bits 'conv1*:weight=6' -o plan.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of the float net")
    parser.add_argument("measurement", help="what `adaption measure` wrote")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="plan to write (JSON)")
    parser.add_argument(
        "--original-semantics",
        action="store_true",
        help="with --rule adaption-legacy: take the weights' format from the bias, and activations"
        " after all layers in place, as the original's helper does",
    )
    add_rule_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.io.outputs import keep_inputs
    from adaption.precision.propose import propose
    from adaption.report.plan import plan_grid

    made = propose(
        args.net,
        args.measurement,
        original_semantics=args.original_semantics,
        **rule_settings(args),
    )
    keep_inputs([args.out], [args.net, args.measurement])
    made.save(args.out)
    if args.json:
        print(json.dumps({**made.head(), "points": made.rows()}, indent=2))
        return 0
    plan_grid(made.net, made.rule, made.lengths, made.rows()).print(sys.stdout)
    if not args.quiet:
        for layer, why in made.left_float.items():
            print(f'layer "{one_line(layer)}": {one_line(why)}')
        command = ["adaption", "rewrite", args.net, "--plan", args.out, "-o", "net_lp.prototxt"]
        print(f"next: {shlex.join(command)}")
    return 0
