"""Draw loss, accuracy and learning rate of training runs, and list the first, last and best values.
Reads what `adaption train` and Caffe of every age write to standard error, and files of --log-json.
Several logs are compared, or with --join treated as parts of one resumed run.
"""

from __future__ import annotations

import argparse
import json

from adaption.cli.options import add_output_flags

HELP = "draw the curves of training logs, Caffe's too"
EXAMPLE = (
    "  adaption plot-log train.log -o train.svg\n"
    "  adaption plot-log float.log 8bit.log -o both.png --csv tables"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("logs", nargs="+", metavar="LOG", help="training logs")
    parser.add_argument("-o", "--out", metavar="OUT", help="file to draw into: .png, .svg or .html")
    parser.add_argument(
        "--csv",
        metavar="DIR",
        help="folder for LOG.train and LOG.test, tables as Caffe's parse_log.py writes them",
    )
    parser.add_argument("--join", action="store_true", help="the logs are one run, oldest first")
    parser.add_argument(
        "--by", choices=("iterations", "seconds"), default="iterations", help="x axis"
    )
    parser.add_argument("--log-scale", action="store_true", help="logarithmic axis of losses")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.report.plot_log import plot_log

    found = plot_log(
        *args.logs,
        out=args.out,
        csv=args.csv,
        join=args.join,
        by=args.by,
        log_scale=args.log_scale,
    )
    if args.json:
        print(json.dumps(found.to_dict(), indent=2))
        return 0
    print(found.table())
    if not args.quiet:
        for file in found.files:
            print(f"written: {file}")
        if args.out is None:
            print(f"next: adaption plot-log {args.logs[0]} -o {args.logs[0]}.svg")
    return 0
