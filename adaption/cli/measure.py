"""Measure the dynamic range of every tensor of a net: weights, biases, each layer's result, and
with --backward their gradients. Writes a JSON file with one line per tensor (min, max, mean, std,
zeros, percentiles, what saturates at each m, a fine histogram), which `adaption propose` chooses
formats from and which may be edited by hand. --merge puts together what several machines measured.
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

HELP = "measure the ranges of weights, activations and gradients"
EXAMPLE = (
    "  adaption measure deploy.prototxt net.caffemodel --data val_lmdb --crop 227 \\\n"
    "      --mean-value 104,117,123 --limit 1000 -o measured.json --report measured.html\n"
    "  adaption measure --merge part1.json part2.json -o measured.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", nargs="?", help="prototxt of the float net")
    parser.add_argument("weights", nargs="?", help="its caffemodel, binary or HDF5")
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="folder of images, list file, LMDB, LevelDB, HDF5 or npz; without it the net's own"
        " data layer is read",
    )
    parser.add_argument(
        "-o", "--out", required=True, metavar="FILE", help="file for the measurement (JSON)"
    )
    parser.add_argument("--report", metavar="FILE", help="also draw the histograms, as HTML")
    parser.add_argument(
        "--merge", nargs="+", metavar="FILE", help="put these measurements of one net together"
    )
    parser.add_argument("--resume", action="store_true", help="go on where FILE was stopped")
    parser.add_argument(
        "--save-every",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how often FILE is brought up to date (default 30)",
    )
    parser.add_argument(
        "--backward", action="store_true", help="gradients, too; the net needs a loss and labels"
    )
    parser.add_argument(
        "--legacy",
        action="store_true",
        help="also count what the rule adaption-legacy looks at with a threshold",
    )
    parser.add_argument(
        "--every-layer",
        action="store_true",
        help="also between a convolution and the batch norm and scale in place behind it",
    )
    parser.add_argument(
        "--every-value",
        action="store_true",
        help="look at all values; otherwise, of tensors of more than 16384 values per batch, only"
        " count, min and max are of all values and the rest is of a sample",
    )
    add_data_flags(parser, "skip", "device")
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.errors import UsageError
    from adaption.io.outputs import keep_inputs
    from adaption.job import measure, merge_measurements
    from adaption.report.measurement import measurement_grid, write_measurement_report

    keep_inputs([args.report], [args.net, args.weights, args.data, args.out, *(args.merge or ())])
    if args.merge:
        made = merge_measurements(args.merge, args.out)
    elif args.net is None or args.weights is None:
        raise UsageError("net and weights are missing", "give a prototxt and a caffemodel")
    else:
        made = measure(
            args.net,
            args.weights,
            args.data,
            out=args.out,
            resume=args.resume,
            save_every=args.save_every,
            backward=args.backward,
            legacy_rule=args.legacy,
            every_layer=args.every_layer,
            every_value=args.every_value,
            **data_settings(args),
        )
    for notice in made.notices:
        print(f"warning: {notice}", file=sys.stderr)
    rows = list(made.rows())
    if args.report:
        write_measurement_report(args.report, made.net, made.facts(), rows)
    if args.json:
        print(json.dumps({**made.head(), "tensors": rows}, indent=2))
        return 0
    measurement_grid(made.net, made.samples, rows).print(sys.stdout)
    if not args.quiet and args.net:  # measurements that are merged do not say where their net lies
        print(f"next: adaption propose {shlex.join([args.net, args.out])} --bits 8 -o plan.json")
    return 0
