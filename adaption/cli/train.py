"""Train with a Caffe solver, as `caffe train` does: its log lines go to standard error, tests and
snapshots are made on the way. Ctrl-C writes a snapshot and ends with exit code 130; --snapshot goes
on from there. Flags may have one dash or two.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from typing import TYPE_CHECKING

from adaption.cli.again import words_again
from adaption.cli.flags import add_flags, value_of
from adaption.cli.options import (
    add_caffe_flag,
    add_file,
    add_output_flags,
    devices_of,
    file_of,
    log_of,
)
from adaption.errors import UsageError
from adaption.options import NET, RunOptions

if TYPE_CHECKING:
    from adaption.solver import Teacher, TrainResult

HELP = "train with a Caffe solver (caffe train)"
EXAMPLE = (
    "  adaption train --solver=solver.prototxt --weights=float.caffemodel --log-json run.jsonl\n"
    "  adaption train --solver=solver.prototxt --snapshot=net_iter_1000.solverstate\n"
    "  torchrun --nproc-per-node 2 -m adaption train --solver=solver.prototxt"
)

EFFECTS = ("stop", "snapshot", "none")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser, "solver", "solver prototxt")
    add_caffe_flag(
        parser, "weights", metavar="A,B", help="caffemodels to start from, loaded in turn"
    )
    add_caffe_flag(parser, "snapshot", metavar="FILE", help=".solverstate to go on from")
    add_caffe_flag(
        parser,
        "gpu",
        default="",
        metavar="ID",
        help="compute on this GPU; on several (0,1 or all) with a process and a share of the data"
        " each. torchrun starts processes on several machines",
    )
    add_caffe_flag(
        parser, "iterations", type=int, metavar="N", help="train up to N instead of max_iter"
    )
    add_caffe_flag(parser, "phase", choices=("TRAIN",), help="understood, as under Caffe")
    for signal, default in (("sigint", "stop"), ("sighup", "snapshot")):
        add_caffe_flag(
            parser,
            f"{signal}_effect",
            choices=EFFECTS,
            default=default,
            help=f"on {signal.upper()} (default {default}); stop writes a snapshot, too",
        )
    parser.add_argument(
        "--log-json", metavar="FILE", help="one JSON object per line; appended to on --snapshot"
    )
    parser.add_argument(
        "--seed", type=int, help="of all random numbers (default: the solver's random_seed)"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="what the solver's precision_policy warns of is an error",
    )
    parser.add_argument(
        "--stop-on-nan",
        action="store_true",
        help="end with exit code 1, and no snapshot, when a displayed loss or output is NaN",
    )
    parser.add_argument(
        "--reestimate-batch-norm",
        type=int,
        default=0,
        metavar="N",
        help="at the end, compute the statistics of batch norm anew from N training batches: after"
        " a short run with moving_average_fraction 0.999 they lag behind the weights",
    )
    teaching = parser.add_argument_group("a teacher (distillation; off without --teacher)")
    teaching.add_argument(
        "--teacher",
        nargs=2,
        metavar=("NET", "WEIGHTS"),
        help="a trained net, as a rule the float one, whose class scores share in the loss: it is"
        " run on every batch",
    )
    teaching.add_argument(
        "--teacher-weight", type=float, metavar="W", help="its share of the loss (default 0.7)"
    )
    teaching.add_argument(
        "--teacher-temperature",
        type=float,
        metavar="T",
        help="scores are divided by T before they are compared (default 2)",
    )
    add_flags(parser, RunOptions(), *NET, "original_semantics")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.report.training_progress import TrainingProgress
    from adaption.solver import train
    from adaption.solver.distributed import place

    is_first = place()[0] == 0  # of the processes that torchrun started, one speaks
    args.quiet = args.quiet or not is_first
    solver = file_of(args, "solver")
    log = log_of(args)
    progress = [] if args.quiet or args.json else [TrainingProgress()]
    for shown in progress:
        log = shown.above(log)
    options = value_of(args, RunOptions())
    result = train(
        solver,
        weights=args.weights.split(",") if args.weights else None,
        snapshot=args.snapshot,
        iterations=args.iterations,
        level=options.level,
        stages=options.stages or [""],  # as Caffe splits an empty flag; its log has it
        sigint_effect=args.sigint_effect,
        sighup_effect=args.sighup_effect,
        seed=args.seed,
        original_semantics=options.original_semantics,
        devices=devices_of(args),
        net_options=options.values("layers"),
        strict=args.strict,
        stop_on_nan=args.stop_on_nan,
        reestimate_batch_norm=args.reestimate_batch_norm,
        teacher=_teacher(args),
        log=log,
        log_json=args.log_json,
        listeners=progress,
    )
    if args.json and is_first:
        print(json.dumps(result.to_dict(), indent=2))
    elif not args.quiet and (hint := _hint(args, solver, result)):
        print(f"next: {shlex.join(['adaption', *hint])}")
    if result.diverged is not None:
        return 1
    return 130 if result.stopped else 0


def _teacher(args: argparse.Namespace) -> Teacher | None:
    """Raises: UsageError on settings of a teacher that is not given; FieldError."""
    from adaption.solver import Teacher

    given = {"weight": args.teacher_weight, "temperature": args.teacher_temperature}
    said = {name: value for name, value in given.items() if value is not None}
    if args.teacher is None and said:
        raise UsageError(
            f"--teacher-{next(iter(said))} is given without --teacher",
            "name the teacher: --teacher deploy.prototxt float.caffemodel",
        )
    return None if args.teacher is None else Teacher(*args.teacher, **said)


def _hint(args: argparse.Namespace, solver: str, result: TrainResult) -> list[str]:
    """What to type next: go on, look at the curves, or at the weights."""
    state = "" if result.snapshot is None else os.fspath(result.snapshot)
    if result.stopped and state and result.diverged is None:
        first = ["train", f"--solver={solver}", f"--snapshot={state}"]
        return [*first, *words_again(args, "solver", "weights", "snapshot")]
    if args.log_json is not None:
        return ["plot-log", args.log_json, "-o", f"{args.log_json}.svg"]
    return ["inspect", state.replace(".solverstate", ".caffemodel")] if state else []
