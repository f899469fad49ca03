"""Make a fixed-point version of a float net: measure the ranges of weights and activations, choose
Qm.f per layer, rewrite the prototxt, convert the weights, compare both nets on the data, export
ONNX, prove that what was written computes the same, and write a report.

OUT gets net_lp.prototxt, net_lp.caffemodel, net_lp.onnx, plan.json, summary.json, report.html.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from adaption.cli.flags import add_flags, value_of
from adaption.cli.format_flags import (
    add_format_flags,
    add_refinement_flags,
    formats_of,
    refinement_of,
)
from adaption.cli.options import (
    add_calibration_flags,
    add_data_flags,
    add_fold_flag,
    add_output_flags,
    add_preprocessing_flags,
    calibration_settings,
    data_settings,
)
from adaption.errors import one_line
from adaption.options import COMMON, Budget, Tuning

HELP = "make a fixed-point version of a net, prove it right, and report"
EXAMPLE = (
    "  adaption quantize deploy.prototxt net.caffemodel --data val.txt --root images \\\n"
    "      --resize 256x256 --crop 227 --mean-value 104,117,123 --bits 16 -o out\n"
    "  adaption quantize deploy.prototxt net.caffemodel --data val_lmdb --int8 --best \\\n"
    "      --bits 'conv1=float' --calibration train_lmdb --calibration-limit 500 -o out\n"
    "  adaption quantize deploy.prototxt net.caffemodel --data val_lmdb --plan plan.json -o out"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="prototxt of the float net (deploy or train_val)")
    parser.add_argument("weights", help="its caffemodel, binary or HDF5")
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="folder of images (with or without class folders), list file, LMDB, LevelDB, HDF5 or"
        " npz; without it the net's own data layer is read",
    )
    add_calibration_flags(
        parser,
        "data that formats come from, prepared in the same way: accuracy is then stated on"
        " samples that took no part (default: --data serves for both)",
    )
    parser.add_argument("-o", "--out", required=True, metavar="OUT", help="folder for the results")
    parser.add_argument(
        "--plan",
        metavar="FILE",
        help="take these formats, as `adaption propose` writes them and an editor changes them, in"
        " place of chosen ones; they are scored, exported and proved as others are. --refine or"
        " --correct-bias beside it fits weights to these formats",
    )
    add_format_flags(parser, COMMON)
    budget = parser.add_argument_group(
        "budget: find the word length of each layer's weights, see adaption search"
    )
    add_flags(budget, Budget())
    budget.add_argument(
        "--search-state",
        metavar="DIR",
        help="keep what the search has measured here; a later call, also with another budget or"
        " after an interruption, goes on from it",
    )
    add_refinement_flags(parser)
    add_flags(parser.add_argument_group("tuning, on calibration data"), Tuning())
    add_fold_flag(parser)
    parser.add_argument(
        "--onnx",
        choices=("float", "qdq", "integer"),
        help="style of net_lp.onnx, see adaption export (default float; with --int8 qdq)",
    )
    parser.add_argument(
        "--reference",
        metavar="DIR",
        help="keep the float net's pass over the data here; several calls share it",
    )
    parser.add_argument(
        "--sensitivity",
        action="store_true",
        help="also measure what rounding each point alone does to the output, as adaption"
        " sensitivity does: a table in report and summary; one pass over the data per point",
    )
    add_data_flags(parser, "score", "device")
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.job import calibration_note, quantize
    from adaption.job.tune import tuning_note
    from adaption.report import print_summary
    from adaption.report.advice import verify_command

    result = quantize(
        args.net,
        args.weights,
        args.data,
        out=args.out,
        formats=formats_of(args),
        refinement=refinement_of(args),
        tuning=value_of(args, Tuning()),
        fold=args.fold_batch_norm,
        budget=value_of(args, Budget()),
        search_state=args.search_state,
        plan=args.plan,
        onnx=args.onnx or ("qdq" if args.int8 else "float"),
        reference=args.reference,
        sensitivity=args.sensitivity,
        command=["adaption", *args.words],
        **calibration_settings(args),
        **data_settings(args),
    )
    for notice in result.notices:
        print(f"warning: {one_line(notice)}", file=sys.stderr)
    if args.json:
        print(json.dumps(result.summary, indent=2))
    else:
        print_summary(result.summary)
        print(calibration_note(result.summary["calibration"]))
        if "tuning" in result.summary:
            print(tuning_note(result.summary["tuning"]))
        if not args.quiet:
            print(f"report: {result.folder / 'report.html'}")
            print(f"next: {shlex.join(verify_command(result.summary))}")
    for check in result.summary["verification"]:
        if not check["ok"]:
            print(f"verification failed: {check['what']}: {check['detail']}", file=sys.stderr)
    for warning in result.summary["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    return 0 if result.is_verified and result.is_met else 1
