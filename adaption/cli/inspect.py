"""Show what is in a prototxt, a caffemodel, or both: layers, shapes, parameters, MACs, and what is
supported. Files of every age and fork can be inspected, also where layers are unknown.
"""

from __future__ import annotations

import argparse
import json
import sys

from adaption.cli.options import (
    add_input_flag,
    add_net_flags,
    add_output_flags,
    shape_of,
    stages_of,
)

HELP = "show what is in these files: layers, shapes, parameters, MACs"
EXAMPLE = "  adaption inspect deploy.prototxt net.caffemodel"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a prototxt, a caffemodel, or both; or a solver, which is shown with its nets",
    )
    parser.add_argument(
        "--phase",
        choices=("TRAIN", "TEST"),
        help="default TEST, or TRAIN where only that has the data layer",
    )
    add_net_flags(parser)
    add_input_flag(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.report.inspect import inspect

    found = inspect(
        *args.files,
        phase=args.phase,
        level=args.level,
        stages=stages_of(args),
        dialect=args.dialect,
        inputs=dict(shape_of(text) for text in args.input),
        end=args.end,
        python_modules=args.allow_python,
    )
    if args.json:
        print(json.dumps(found.to_dict(), indent=2))
        return 0
    print(found.table())
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0
