"""Score a net. With --data: its top-1 and top-5 accuracy on labelled data of any kind; the net may
be a deploy or a train_val prototxt, float or with formats, which are in force then. Without --data:
run it on its own data layers, as `caffe test` does, and average every output over --iterations
batches.
Caffe's lines go to standard error, a table to standard output. Flags may have one dash or two.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace

from adaption.cli.flags import add_flags, flag_of, given, value_of
from adaption.cli.options import (
    add_caffe_flag,
    add_file,
    add_gpu_flag,
    add_output_flags,
    add_preprocessing_flags,
    data_settings,
    data_words,
    device_of,
    file_of,
    log_of,
    preprocessing_given,
    preprocessing_words,
)
from adaption.errors import UsageError, one_line
from adaption.options import COMMON, NET, RunOptions

HELP = "score a net: accuracy on any data, or its outputs on its own data (caffe test)"
EXAMPLE = (
    "  adaption test --model=train_val.prototxt --weights=net.caffemodel --iterations=100\n"
    "  adaption test out/net_lp.prototxt out/net_lp.caffemodel --data val.txt --root images \\\n"
    "      --resize 256x256 --crop 227 --mean-value 104,117,123"
)
BATCHES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser, "model", "net prototxt; without --data one with data layers for phase TEST")
    add_file(parser, "weights", "caffemodel, binary or HDF5")
    parser.add_argument("--data", metavar="DATA", help="as for `adaption quantize`, with labels")
    add_caffe_flag(parser, "iterations", type=int, help=f"batches (default {BATCHES})")
    add_gpu_flag(parser)
    add_flags(parser, RunOptions(), COMMON, *NET, "score", "original_semantics")
    add_preprocessing_flags(parser)
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    return _on_own_data(args) if args.data is None else _on_data(args)


def _on_data(args: argparse.Namespace) -> int:
    from adaption.job.score import score

    own = [] if args.iterations is None else ["iterations"]
    _refuse(args, own, "original_semantics", beside="with --data", fix="leave it out")
    model, weights = file_of(args, "model"), file_of(args, "weights")
    found = score(model, weights, args.data, **data_settings(args))
    for word, texts in (("note", found.notes), ("warning", found.warnings)):
        for text in texts:
            print(f"{word}: {one_line(text)}", file=sys.stderr)
    if args.json:
        print(json.dumps(found.to_dict(), indent=2))
        return 0
    found.grid().print(sys.stdout)
    if not (args.quiet or found.formats):
        data = ["--data", args.data, *preprocessing_words(args), *data_words(args, "limit")]
        command = ["adaption", "quantize", model, weights, *data, "-o", "out"]
        print(f"next: {shlex.join(command)}")
    return 0


def _on_own_data(args: argparse.Namespace) -> int:
    from adaption.io.netfile import read_net
    from adaption.precision.rewrite import low_precision_layers
    from adaption.report.scores import test

    _refuse(
        *(args, preprocessing_given(args), COMMON, "score"),
        beside="without --data",
        fix="name the data with --data; otherwise the net's data layers say what they read",
    )
    options = RunOptions(**value_of(args, RunOptions()).values(*NET, "original_semantics"))
    log, model, weights = log_of(args), file_of(args, "model"), file_of(args, "weights")
    scores = test(
        *(model, weights),
        iterations=BATCHES if args.iterations is None else args.iterations,
        options=replace(options, device=device_of(args, log)),
        log=log,
    )
    for notice in scores.notices:
        print(f"warning: {one_line(notice)}", file=sys.stderr)
    print(json.dumps(scores.to_dict(), indent=2) if args.json else scores.table())
    if not (args.json or args.quiet or low_precision_layers(read_net(model))):
        print(f"next: {shlex.join(['adaption', 'quantize', model, weights, '-o', 'out'])}")
    return 0


def _refuse(args: argparse.Namespace, flags: list[str], *uses: str, beside: str, fix: str) -> None:
    """Raises: UsageError on flags of the other form: `flags`, or RunOptions of the topics `uses`.

    A flag that is given and not used would look as if it had counted. All verbs read a file of
    --config: of its flags, those that do not apply are named in a warning.
    """
    options = given(args, RunOptions)
    said = [f"--{name.replace('_', '-')}" for name in flags]
    said += [flag_of(n, option) for n, option in RunOptions.declared(*uses).items() if n in options]
    if not said:
        return
    fact = f"{', '.join(said)} would count for nothing {beside}"
    if not args.config:
        raise UsageError(fact, fix)
    print(f"warning: {fact}", file=sys.stderr)
