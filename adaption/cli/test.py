"""Score a net on its own data layers, as `caffe test` does: the mean of every output over batches.
Caffe's lines go to standard error, a table to standard output. Flags may have one dash or two.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace

from adaption.cli.flags import add_flags, value_of
from adaption.cli.options import (
    add_caffe_flag,
    add_file,
    add_output_flags,
    device_of,
    file_of,
    log_of,
)
from adaption.errors import one_line
from adaption.options import NET, RunOptions

HELP = "score a net on its own data (caffe test)"
EXAMPLE = "  adaption test --model=train_val.prototxt --weights=net.caffemodel --iterations=100"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser, "model", "net prototxt with data layers for phase TEST")
    add_file(parser, "weights", "caffemodel, binary or HDF5")
    add_caffe_flag(parser, "iterations", type=int, default=50, help="batches (default 50)")
    add_caffe_flag(parser, "gpu", default="", metavar="ID", help="compute on this GPU")
    add_flags(parser, RunOptions(), *NET, "original_semantics")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.report.scores import test

    log, model, weights = log_of(args), file_of(args, "model"), file_of(args, "weights")
    scores = test(
        *(model, weights),
        iterations=args.iterations,
        options=replace(value_of(args, RunOptions()), device=device_of(args, log)),
        log=log,
    )
    for notice in scores.notices:
        print(f"warning: {one_line(notice)}", file=sys.stderr)
    print(json.dumps(scores.to_dict(), indent=2) if args.json else scores.table())
    if not (args.json or args.quiet):
        print(f"next: {shlex.join(['adaption', 'quantize', model, weights, '-o', 'out'])}")
    return 0
