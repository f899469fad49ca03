"""Print a chain of layers as a net descriptor, ADaPTION's short strings: 64C3S1p1 A ReLU 2P2 ...
(docs/reference/descriptors.md). `adaption create` makes a prototxt of it again.
"""

from __future__ import annotations

import argparse
import json
import shlex

from adaption.cli.options import add_output_flags
from adaption.errors import one_line

HELP = "print a net as a descriptor: 64C3S1p1 A ReLU 2P2 4096F ..."
EXAMPLE = "  adaption extract VGG16_deploy.prototxt --mode train -o vgg16.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of a chain of layers")
    parser.add_argument(
        "--mode",
        default="deploy",
        choices=("deploy", "train"),
        help="train ends in Accuracy and loss (default deploy)",
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="also write it, as a JSON list")
    parser.add_argument(
        "--original-semantics", action="store_true", help="with the gaps of the original's extract"
    )
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.io.atomic import atomic_write
    from adaption.io.outputs import keep_inputs
    from adaption.precision.original.extract import extract

    made = extract(args.net, args.mode, original_semantics=args.original_semantics)
    keep_inputs([args.out], [args.net])
    if args.out is not None:
        with atomic_write(args.out, "w") as file:
            file.write(json.dumps(made, indent=1) + "\n")
    if args.json:
        print(json.dumps({"net": args.net, "mode": args.mode, "descriptor": made}))
        return 0
    print(one_line(" ".join(made)))
    if not args.quiet and args.out is not None:
        print(f"next: adaption create NAME --file {shlex.quote(args.out)} --weight Q2.14 -o .")
    return 0
