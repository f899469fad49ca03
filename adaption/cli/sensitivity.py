"""Find the layers to blame: round one point of a float net at a time (weights, biases, results of
each layer) and compare the output with the float net's: SQNR, flipped predictions, accuracy, the
worst first. The formats are those that `adaption quantize` chooses with the same flags; every point
takes one pass over the data, so --limit helps.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from adaption.cli.format_flags import add_format_flags, format_words, formats_of
from adaption.cli.options import (
    add_data_flags,
    add_fold_flag,
    add_output_flags,
    add_preprocessing_flags,
    data_settings,
    data_words,
    preprocessing_words,
    words_of,
)
from adaption.errors import one_line
from adaption.options import COMMON

HELP = "what rounding each layer alone does to the output, worst first"
EXAMPLE = (
    "  adaption sensitivity deploy.prototxt net.caffemodel --data val_lmdb --bits 6 \\\n"
    "      --limit 200 -o sensitivity.json --plot sensitivity.svg"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of the float net")
    parser.add_argument("weights", help="its caffemodel")
    parser.add_argument("--data", metavar="DATA", help="as for `adaption quantize`")
    parser.add_argument("-o", "--out", metavar="FILE", help="write the figures, as JSON")
    parser.add_argument("--plot", metavar="FILE.svg", help="also draw them")
    add_format_flags(parser, COMMON)
    add_fold_flag(parser)
    add_data_flags(parser, "score", "device")
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.errors import UsageError
    from adaption.io.atomic import atomic_write
    from adaption.io.outputs import keep_inputs
    from adaption.job import sensitivity
    from adaption.report.sensitivity import sensitivity_grid, sensitivity_svg

    if args.plot is not None and not args.plot.endswith(".svg"):
        raise UsageError(f"--plot {args.plot} is no .svg file", "name the file sensitivity.svg")
    keep_inputs([args.out, args.plot], [args.net, args.weights, args.data, args.mean_file])
    found = sensitivity(
        args.net,
        args.weights,
        args.data,
        formats=formats_of(args),
        fold=args.fold_batch_norm,
        **data_settings(args),
    ).to_dict()
    text = json.dumps(found, indent=2)
    for path, content in ((args.out, f"{text}\n"), (args.plot, sensitivity_svg(found))):
        if path:
            with atomic_write(path, "w") as out:
                out.write(content)
    for note in found["notes"]:
        print(f"note: {one_line(note)}", file=sys.stderr)
    if args.json:
        print(text)
        return 0
    sensitivity_grid(found).print(sys.stdout)
    layers = [point["layer"] for point in found["points"] if point["type"] != "input"]
    if not args.quiet and layers:
        command = ["adaption", "quantize", args.net, args.weights, *words_of(args, "data")]
        command += [*preprocessing_words(args), *data_words(args, "limit"), *format_words(args)]
        command += [*words_of(args, "fold_batch_norm"), "--exclude", layers[0], "-o", "out"]
        print(f"next: {shlex.join(command)}")
    return 0
