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

from adaption.cli.format_flags import add_format_flags, formats_of
from adaption.cli.options import add_output_flags
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
    add_format_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.io.outputs import keep_inputs
    from adaption.precision.propose import propose
    from adaption.report.plan import plan_grid

    made = propose(args.net, args.measurement, formats=formats_of(args))
    keep_inputs([args.out], [args.net, args.measurement])
    made.save(args.out)
    head = made.head()
    if args.json:
        print(json.dumps({**head, "points": made.rows()}, indent=2))
        return 0
    plan_grid(made.net, head["rule"], head["lengths"], made.rows()).print(sys.stdout)
    if not args.quiet:
        for layer, why in made.left_float.items():
            print(f'layer "{one_line(layer)}": {one_line(why)}')
        command = ["adaption", "rewrite", args.net, "--plan", args.out, "-o", "net_lp.prototxt"]
        print(f"next: {shlex.join(command)}")
    return 0
