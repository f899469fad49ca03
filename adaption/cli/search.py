"""Find the word length of each layer's weights that a budget allows: the fewest bits that cost at
most --max-drop points of accuracy, or the most accurate net within --max-size or --max-macbits.
Each layer is rounded alone in each word length; bits are cut where that adds the least error per
bit saved; candidates are refined and scored on calibration samples that give no formats.

OUT gets search.json, search.html, plan.json and quantize.toml, with which quantize makes the net.
What has been measured is kept in OUT/state: a call that was interrupted goes on there, and one with
another budget is quick. Calls with --max-drop or --curve and calls without them need a folder each,
since other samples give formats.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from adaption.cli.flags import add_flags, value_of
from adaption.cli.format_flags import (
    add_format_flags,
    add_refinement_flags,
    formats_of,
    refinement_of,
)
from adaption.cli.options import (
    CALIBRATION,
    add_calibration_flags,
    add_data_flags,
    add_fold_flag,
    add_output_flags,
    add_preprocessing_flags,
    calibration_settings,
    data_settings,
    data_words,
    preprocessing_words,
    words_of,
)
from adaption.errors import one_line
from adaption.options import COMMON, Budget

HELP = "find the fewest bits per layer under a budget"
EXAMPLE = (
    "  adaption search deploy.prototxt net.caffemodel --data val_lmdb --calibration train_lmdb \\\n"
    "      --calibration-limit 2000 --int8 --best --max-drop 0.5 -o search\n"
    "  adaption quantize deploy.prototxt net.caffemodel --data val_lmdb -o out \\\n"
    "      --calibration train_lmdb --calibration-limit 2000 --config search/quantize.toml"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of the float net (deploy or train_val)")
    parser.add_argument("weights", help="its caffemodel, binary or HDF5")
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="as for `adaption quantize`: what was found is scored on it",
    )
    add_calibration_flags(
        parser,
        "data that formats come from and word lengths are judged on, prepared in the same way;"
        " --max-drop and --curve need it",
    )
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="folder for the results")
    budget = parser.add_argument_group("budget", "at least one limit is needed")
    add_flags(budget, Budget())
    budget.add_argument(
        "--curve",
        type=int,
        default=0,
        metavar="N",
        help="also score N points of the path, evenly spread, for the plot (default 0)",
    )
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="keep what has been measured here, and take it from here (default OUT/state)",
    )
    add_format_flags(parser, COMMON)
    add_refinement_flags(parser)
    add_fold_flag(parser)
    add_data_flags(parser, "score", "device")
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.job.calibration import calibration_note
    from adaption.job.search import search
    from adaption.report.searched import curve_grid, searched_grid, verdict

    found = search(
        args.net,
        args.weights,
        args.data,
        out=args.out,
        budget=value_of(args, Budget()),
        formats=formats_of(args),
        refinement=refinement_of(args),
        fold=args.fold_batch_norm,
        curve=args.curve,
        state=args.state,
        **calibration_settings(args),
        **data_settings(args),
    )
    if args.json:
        print(json.dumps(found.report, indent=2))
        return 0 if found.is_met else 1
    searched_grid(found.report).print(sys.stdout)
    if found.report["curve"]:
        curve_grid(found.report).print(sys.stdout)
    for line in verdict(found.report):
        print(one_line(line))
    print(calibration_note(found.report["calibration"]))
    if not args.quiet:
        print(f"report: {found.folder / 'search.html'}")
        words = ["adaption", "quantize", args.net, args.weights]
        words += [*words_of(args, "data", *CALIBRATION), *preprocessing_words(args)]
        words += data_words(args)
        words += ["--config", str(Path(args.out) / "quantize.toml"), "-o", "out"]
        print(f"next: {shlex.join(words)}")
    return 0 if found.is_met else 1
