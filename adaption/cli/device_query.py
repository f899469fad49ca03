"""Show what there is to compute on: the CPU, torch with its threads, and the GPUs, as `caffe
device_query` does. Flags may have one dash or two.
"""

from __future__ import annotations

import argparse
import json

from adaption.cli.options import add_caffe_flag, add_output_flags, log_of

HELP = "show the CPU, torch and the GPUs (caffe device_query)"
EXAMPLE = "  adaption device_query --gpu 0,1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_caffe_flag(parser, "gpu", default="all", metavar="IDS", help="all (default), or 0,1")
    add_output_flags(parser)


def run(args: argparse.Namespace) -> int:
    from adaption.report.devices import device_query

    found = device_query(args.gpu, log=log_of(args))
    print(json.dumps(found.to_dict(), indent=2) if args.json else found)
    return 0
