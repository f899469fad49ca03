"""Convert weights between the plain layout (W, b) and that of low-precision layers (W, rounded W,
b, rounded b), as the layers of a net ask for; the net is not run. `--baked` writes rounded weights
in the plain layout, for tools that know nothing of low-precision layers.
"""

from __future__ import annotations

import argparse
import json
import shlex

from adaption.cli.options import add_output_flags
from adaption.errors import one_line

HELP = "convert a caffemodel between plain and low-precision layout"
EXAMPLE = (
    "  adaption convert net.caffemodel net_lp.prototxt -o net_lp.caffemodel\n"
    "  adaption convert VGG16.caffemodel LP_VGG16_16_bit_train.prototxt --by-order \\\n"
    "      -o HP_VGG16_v2.caffemodel --sparsity-files ."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", help="caffemodel to read, binary or HDF5")
    parser.add_argument("net", help="prototxt of the net the new weights are for")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="caffemodel to write")
    parser.add_argument(
        "--by-order",
        action="store_true",
        help="pair layers by their order, not their names (conv1_1 with conv_lp_1)",
    )
    parser.add_argument(
        "--baked",
        action="store_true",
        help="two blobs per layer, rounded by the net's formats, under plain layer types",
    )
    parser.add_argument(
        "--sparsity-files",
        metavar="DIR",
        help="also write sparsity_hp.txt and sparsity_lp.txt: percent of zero weights per layer",
    )
    parser.add_argument(
        "--original-semantics",
        action="store_true",
        help="rounded blobs as unrounded copies, as the original's convert_weights leaves them",
    )
    parser.add_argument(
        "--dummy",
        metavar="FILE",
        help="with --original-semantics: the weights that the original overwrote, and whose zeros"
        " its sparsity_lp.txt counts",
    )
    parser.add_argument("--seed", type=int, default=0, help="for stochastic rounding (default 0)")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.precision.convert import convert_file

    made = convert_file(
        args.weights,
        args.net,
        args.out,
        by_order=args.by_order,
        baked=args.baked,
        sparsity_folder=args.sparsity_files,
        dummy=args.dummy,
        seed=args.seed,
        original_semantics=args.original_semantics,
    )
    files = [args.out, *map(str, made.sparsity_files)]
    if args.json:
        values = {
            "mapping": dict(made.mapping),
            "left_out": list(made.left_out),
            "missing": list(made.missing),
            "files": files,
        }
        print(json.dumps(values, indent=2))
        return 0
    if not args.quiet:
        for old, new in made.mapping.items():
            print(one_line(f"{old} -> {new}"))
    for name in made.left_out:
        print(f'note: layer "{one_line(name)}" of the file is left out, the net has no such layer')
    for name in made.missing:
        print(f'note: layer "{one_line(name)}" of the net gets no weights')
    if not args.quiet:
        print("\n".join(f"written: {path}" for path in files))
        print(f"next: adaption inspect {shlex.join([args.net, args.out])}")
    return 0
