"""Bring a net prototxt, a solver prototxt or a caffemodel of any age (V0, V1, input fields, solver
enums) to today's form, as Caffe's upgrade tools do.
"""

from __future__ import annotations

import argparse
import json

from adaption.cli.options import add_output_flags
from adaption.cli.out import add_out, out_of
from adaption.errors import one_line

HELP = "bring a legacy net, solver or caffemodel to today's form"
EXAMPLE = "  adaption upgrade old.prototxt -o new.prototxt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="net prototxt, solver prototxt or caffemodel")
    add_out(parser, "file to write")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    args.out = out_of(args)
    from adaption.io.upgrade_file import upgrade

    notes = upgrade(args.file, args.out)
    if args.json:
        print(json.dumps({"file": args.file, "out": args.out, "upgrades": notes}, indent=2))
    elif not args.quiet:
        print("\n".join(map(one_line, notes or ["nothing to upgrade"])))
        print(f"written: {args.out}")
    return 0
