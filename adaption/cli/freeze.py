"""Make a net for inference of one whose formats move: shared exponents (S-DFP), formats that a
policy chose (--state), stochastic rounding. The net runs over data as it was trained; each shared
exponent becomes the one that most batches had, stochastic rounding becomes half to even, and points
of gradients are left out. Every export takes the result. Both accuracies are told.

DIR gets frozen.prototxt and frozen.caffemodel.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from adaption.cli.options import (
    add_also_flag,
    add_data_flags,
    add_output_flags,
    add_preprocessing_flags,
    also_of,
    data_settings,
)
from adaption.errors import one_line

HELP = "make formats that move with the tensors static, for inference"
EXAMPLE = (
    "  adaption freeze train_val_sdfp.prototxt net_iter_1000.caffemodel -o frozen \\\n"
    "      --also deploy.prototxt deploy_frozen.prototxt\n"
    "  adaption freeze train_val.prototxt net_iter_1000.caffemodel \\\n"
    "      --state net_iter_1000.solverstate --limit 1000 -o frozen"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt that was trained (train_val or deploy)")
    parser.add_argument("weights", help="its caffemodel, binary or HDF5")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--state",
        metavar="FILE",
        help=".solverstate of the same snapshot: its formats count where the net says nothing;"
        " needed where a precision_policy chose them",
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="folder of images, list file, LMDB, LevelDB, HDF5 or npz; without it the net's own"
        " TEST data layer is read, in batches of its size",
    )
    add_also_flag(parser, "which gets the same formats (deploy.prototxt)")
    parser.add_argument(
        "--bits",
        type=int,
        metavar="N",
        help="give weight layers that are float (first and last ones) formats of N bits, too, so"
        " that all of the net is in integers",
    )
    add_data_flags(parser, "score")
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.job import freeze
    from adaption.report.plan import frozen_grid

    made = freeze(
        args.net,
        args.weights,
        args.data,
        out=args.out,
        state=args.state,
        also=also_of(args),
        bits=args.bits,
        **data_settings(args),
    )
    values = made.to_dict()
    if args.json:
        print(json.dumps(values, indent=2))
        return 0
    frozen_grid(values).print(sys.stdout)
    for note in made.notes:
        print(f"note: {one_line(note)}")
    if not args.quiet:
        print("\n".join(f"written: {path}" for path in (made.net, made.weights, *made.also)))
        files = shlex.join([str(made.net), str(made.weights)])
        print(f"next: adaption export {files} --to onnx --style qdq -o frozen.onnx")
    return 0
