"""Time a net layer by layer, forward and backward, as `caffe time` does; its lines go to standard
error, a table to standard output. Flags may have one dash or two.
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
    add_gpu_flag,
    add_input_flag,
    add_output_flags,
    device_of,
    file_of,
    input_shapes_of,
    log_of,
)
from adaption.errors import one_line
from adaption.options import NET, RunOptions

HELP = "time a net's layers, forward and backward (caffe time)"
EXAMPLE = (
    "  adaption time --model=train_val.prototxt --iterations=10\n"
    "  adaption time deploy.prototxt net.caffemodel --phase TEST"
)
DEFAULTS = RunOptions(phase="TRAIN")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser, "model", "net prototxt")
    add_file(parser, "weights", "caffemodel; without it the weights are the fillers'")
    add_caffe_flag(parser, "iterations", type=int, default=50, help="passes (default 50)")
    add_gpu_flag(parser)
    add_input_flag(parser)
    add_flags(parser, DEFAULTS, "phase", *NET, "original_semantics")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.report.timing import time

    log, model = log_of(args), file_of(args, "model")
    timing = time(
        model,
        file_of(args, "weights", required=False),
        iterations=args.iterations,
        options=replace(value_of(args, DEFAULTS), device=device_of(args, log)),
        input_shapes=input_shapes_of(args),
        log=log,
    )
    for notice in timing.notices:
        print(f"warning: {one_line(notice)}", file=sys.stderr)
    print(json.dumps(timing.to_dict(), indent=2) if args.json else timing.table())
    if not (args.json or args.quiet):
        print(f"next: {shlex.join(['adaption', 'inspect', model])}")
    return 0
