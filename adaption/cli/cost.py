"""What computing and training a net costs, with the bits in force in its prototxt.

Compute: MACs * (weight bits + activation bits), against the float net (WRPN). Memory in training
and in inference by batch size. And what a training iteration costs by Sakr and Shanbhag: bits of
weights (C_W), of activations (C_A) and of gradients to communicate (C_C), and full adders of
multipliers (C_M). Activation bits are those of the activation that a layer reads, where it is
rounded, before pooling; 32 where it is float. No weights are made.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from adaption.cli.flags import add_flags, value_of
from adaption.cli.options import (
    add_input_flag,
    add_output_flags,
    shape_of,
)
from adaption.options import NET, RunOptions

HELP = "compute cost, memory and training cost of a net, by its formats"
EXAMPLE = (
    "  adaption cost wide_lp.prototxt --against deploy.prototxt --batch 1,8,32 --plot cost.svg"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt, float or with formats")
    parser.add_argument(
        "--against", metavar="NET", help="the net whose cost in float counts as 1 (default: NET)"
    )
    parser.add_argument(
        "--batch", default="1,8,32", metavar="N,N", help="batch sizes to count memory for"
    )
    parser.add_argument(
        "--cost-index",
        choices=("physical", "paper"),
        default="physical",
        help="whose gradient C_M and C_A count: that of a layer's output, which its backward"
        " products read (default), or of its input, as the published figures have it",
    )
    parser.add_argument("--plot", metavar="FILE.svg", help="also draw it")
    add_flags(parser, RunOptions(), "phase", *NET)
    add_input_flag(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.errors import FieldError, UsageError
    from adaption.io.atomic import atomic_write
    from adaption.report.cost import cost

    sizes = args.batch.split(",")
    if not all(n.isdecimal() and int(n) for n in sizes):
        raise FieldError("--batch", args.batch, "numbers from 1 on, with commas between")
    if args.plot is not None and not args.plot.endswith(".svg"):
        raise UsageError(f"--plot {args.plot} is no .svg file", "name the file cost.svg")
    found = cost(
        args.net,
        against=args.against,
        batch=[int(n) for n in sizes],
        cost_index=args.cost_index,
        options=value_of(args, RunOptions()),
        inputs=dict(shape_of(text) for text in args.input),
    )
    if args.plot is not None:
        from adaption.report.cost_plot import cost_svg

        with atomic_write(args.plot, "w") as file:
            file.write(cost_svg(found))
    if args.json:
        print(json.dumps(found.to_dict(), indent=2))
        return 0
    print(found.table())
    if not args.quiet:
        if args.plot is not None:
            print(f"written: {args.plot}")
        wide = f"{Path(args.net).stem}_wide.prototxt"
        hint = ["widen", args.net, "-o", wide, "--factor", "2"]
        if args.against is not None:
            hint = ["inspect", args.net]
        print(f"next: adaption {shlex.join(hint)}")
    return 0
