"""Find the precision of every tensor of training (weights, activations, gradients, accumulators)
from one float run, by the criteria of Sakr and Shanbhag (2019): train NET in float, measure noise
gains, count mismatches on samples held out, and write the net with all formats and the solver that
trains it in fixed point.

DIR gets net.prototxt, solver.prototxt, float.prototxt, float.caffemodel, report.json, report.html.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from adaption.cli.flags import add_flags, value_of
from adaption.cli.options import (
    add_also_flag,
    add_caffe_flag,
    add_gpu_flag,
    add_output_flags,
    also_of,
    device_of,
    log_of,
)
from adaption.options import RunOptions

HELP = "find the precision of every tensor of training, from one float run"
EXAMPLE = (
    "  adaption assign train_val.prototxt --solver solver.prototxt -o assigned --check \\\n"
    "      --also deploy.prototxt assigned/deploy.prototxt\n"
    "  adaption assign train_val.prototxt --solver solver.prototxt -o assigned --check --resume"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("net", help="train_val prototxt of the float net")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder for the results")
    add_caffe_flag(
        parser, "solver", required=True, metavar="FILE", help="solver; NET takes its net's place"
    )
    parser.add_argument(
        "--held-out",
        metavar="NET",
        help="net whose phase TEST reads the samples on which mismatches are counted (default: the"
        " last tenth of the training source, left out of training)",
    )
    how = parser.add_argument_group("method")
    how.add_argument(
        "--p-m", type=float, default=0.01, metavar="SHARE",
        help="greatest share of mismatches by rounding weights and activations (default 0.01)",
    )  # fmt: skip
    how.add_argument(
        "--bqn", choices=("exact", "svd"), default="exact",
        help="step of activation gradients: by the whole squared Jacobian (default), or by its"
        " greatest singular value, as in the paper",
    )  # fmt: skip
    how.add_argument(
        "--legacy-gc", action="store_true",
        help="ranges of gradients as in the authors' program, wider",
    )  # fmt: skip
    how.add_argument(
        "--input-bits", type=int, metavar="N",
        help="leave the input at N bits (default: round it like every activation)",
    )  # fmt: skip
    how.add_argument(
        "--gain-samples", type=int, default=500, metavar="N",
        help="training samples for noise gains (default 500)",
    )  # fmt: skip
    how.add_argument(
        "--gain-estimate", choices=("mean", "median"), default="mean",
        help="over samples (default mean, the definition)",
    )  # fmt: skip
    how.add_argument(
        "--lr-min", type=float, metavar="RATE",
        help="smallest learning rate (default: of the solver's iterations)",
    )  # fmt: skip
    run = parser.add_argument_group("runs")
    run.add_argument(
        "--check", action="store_true",
        help="train the fixed-point net, and with one bit more and one less everywhere",
    )  # fmt: skip
    run.add_argument("--resume", action="store_true", help="go on where a call was stopped")
    add_also_flag(run, "kept in step (deploy.prototxt)")
    run.add_argument("--seed", type=int, help="of all runs (default: the solver's, else 1)")
    add_gpu_flag(run)
    add_flags(run, RunOptions(), "dialect", "python_modules")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.job import assign
    from adaption.report.assigned import assigned_grid, costs_grid, runs_grid

    options = value_of(args, RunOptions())
    try:
        made = assign(
            args.net,
            solver=args.solver,
            out=args.out,
            held_out=args.held_out,
            p_m=args.p_m,
            bqn=args.bqn,
            legacy_gc=args.legacy_gc,
            input_bits=args.input_bits,
            gain_samples=args.gain_samples,
            gain_estimate=args.gain_estimate,
            lr_min=args.lr_min,
            also=also_of(args),
            check=args.check,
            resume=args.resume,
            seed=args.seed,
            device=device_of(args, log_of(args)),
            dialect=options.dialect,
            python_modules=options.python_modules,
            quiet=args.quiet or args.json,
        )
    except KeyboardInterrupt:
        print("adaption assign: interrupted; the same call with --resume goes on", file=sys.stderr)
        return 130
    for notice in made.notices:
        print(f"warning: {notice}", file=sys.stderr)
    if args.json:
        print(json.dumps(made.report, indent=2))
        return 0
    for grid in (assigned_grid(made.report), costs_grid(made.report), runs_grid(made.report)):
        print(f"{grid.plain()}\n")
    for note in made.report["notes"]:
        print(f"note: {note}")
    if not args.quiet:
        print(f"report: {made.folder / made.report['files']['html']}")
        print(f"next: {shlex.join(made.command)}")
    return 0
