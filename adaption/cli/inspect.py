"""Show what is in a prototxt, a caffemodel, or both: layers, shapes, parameters, MACs, and what is
supported. Files of every age and fork can be inspected, also where layers are unknown.
"""

from __future__ import annotations

import argparse
import json
import sys

from adaption.cli.flags import add_caffe_flag, add_flags, value_of
from adaption.cli.options import add_input_flag, add_output_flags, input_shapes_of
from adaption.errors import one_line
from adaption.options import NET, RunOptions
from adaption.options.run import PHASES

HELP = "show what is in these files: layers, shapes, parameters, MACs"
EXAMPLE = "  adaption inspect deploy.prototxt net.caffemodel"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a prototxt, a caffemodel, or both; or a solver, which is shown with its nets",
    )
    add_caffe_flag(
        parser,
        "phase",
        choices=PHASES,
        help="default TEST, or TRAIN where only that has the data layer",
    )
    add_flags(parser, RunOptions(), *NET)
    add_input_flag(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.report.inspect import inspect

    options = value_of(args, RunOptions())
    found = inspect(*args.files, phase=args.phase, inputs=input_shapes_of(args), options=options)
    if args.json:
        print(json.dumps(found.to_dict(), indent=2))
        return 0
    print(found.table())
    for warning in found.warnings:
        print(f"warning: {one_line(warning)}", file=sys.stderr)
    return 0
