"""Count the zeros of a net over data, and with --plan those of its quantized form: per layer among
the weights, in the result before and after the activation function, and in what the layer reads,
which tell the MACs a zero-skipping accelerator saves, and the size of the feature map in NullHop's
compressed form.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from adaption.cli.options import (
    add_data_flags,
    add_output_flags,
    add_preprocessing_flags,
    data_settings,
)

HELP = "zeros per layer, before and after quantization, and what they save"
EXAMPLE = (
    "  adaption sparsity deploy.prototxt net.caffemodel --data val_lmdb --plan plan.json \\\n"
    "      --limit 100 -o sparsity.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of the float net")
    parser.add_argument("weights", help="its caffemodel")
    parser.add_argument("--data", metavar="DATA", help="as for `adaption measure`")
    parser.add_argument("--plan", metavar="FILE", help="plan.json of propose or quantize")
    parser.add_argument("-o", "--out", metavar="FILE", help="write the figures, as JSON")
    add_data_flags(parser)
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.io.atomic import atomic_write
    from adaption.io.outputs import keep_inputs
    from adaption.job import sparsity
    from adaption.report.sparsity import sparsity_grid

    keep_inputs([args.out], [args.net, args.weights, args.data, args.plan, args.mean_file])
    found = sparsity(
        args.net,
        args.weights,
        args.data,
        plan=args.plan,
        **data_settings(args),
    ).to_dict()
    text = json.dumps(found, indent=2)
    if args.out:
        with atomic_write(args.out, "w") as out:
            out.write(f"{text}\n")
    if args.json:
        print(text)
        return 0
    sparsity_grid(found).print(sys.stdout)
    if not args.quiet:
        plan = args.plan or "plan.json"
        command = ["adaption", "rewrite", args.net, "--plan", plan, "-o", "net_lp.prototxt"]
        print(f"next: {shlex.join(command)}")
    return 0
