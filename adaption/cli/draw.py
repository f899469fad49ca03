"""Draw a net: layers as boxes coloured by kind, blobs as arrows with their shapes; low-precision
layers have a strong border and show their Qm.f.

The suffix of OUT decides what is written: .svg, .png and .pdf need graphviz' program `dot`;
.dot (graphviz) and .mmd (Mermaid) are text and need nothing.
"""

from __future__ import annotations

import argparse
import json

from adaption.cli.flags import add_flags, value_of
from adaption.cli.options import add_input_flag, add_output_flags, input_shapes_of
from adaption.cli.out import add_out, out_of
from adaption.options import RunOptions

HELP = "draw a net as SVG, PNG, PDF, DOT or Mermaid"
EXAMPLE = "  adaption draw deploy.prototxt -o net.svg --rankdir TB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt; layers of unknown types are drawn, too")
    add_out(parser, "file to write: .svg, .png, .pdf, .dot or .mmd")
    parser.add_argument(
        "--phase",
        choices=("TRAIN", "TEST", "ALL"),
        default="TEST",
        help="layers of which phase are drawn (default TEST)",
    )
    add_flags(parser, RunOptions(), "state")
    add_input_flag(parser)
    parser.add_argument(
        "--rankdir",
        choices=("LR", "TB", "RL", "BT"),
        default="LR",
        help="direction of the data: left to right (default), top to bottom, ...",
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    args.out = out_of(args)
    from adaption.report.draw import draw

    drawing = draw(
        args.net,
        args.out,
        phase=None if args.phase == "ALL" else args.phase,
        inputs=input_shapes_of(args),
        rankdir=args.rankdir,
        **value_of(args, RunOptions()).values("state"),
    )
    if args.json:
        print(json.dumps({**drawing.to_dict(), "file": args.out}, indent=2))
        return 0
    print(f"{args.out}: {len(drawing.boxes)} boxes, {len(drawing.arrows)} arrows")
    if not args.quiet and args.out.endswith((".dot", ".gv")):
        print(f"next: dot -Tsvg {args.out} -o {args.out.rpartition('.')[0]}.svg")
    return 0
