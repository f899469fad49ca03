"""`adaption VERB ...`: find the verb, run it, turn errors into one message and an exit code.

Exit codes: 0 done, 1 a check that was asked for failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from adaption._version import __version__
from adaption.errors import AdaptionError

__all__ = ["main"]

VERBS = (
    "convert",
    "create",
    "device_query",
    "draw",
    "edit",
    "export",
    "extract",
    "freeze",
    "inspect",
    "measure",
    "plot-log",
    "propose",
    "quantize",
    "rescale",
    "rewrite",
    "sparsity",
    "test",
    "time",
    "train",
    "upgrade",
    "verify",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; see `adaption --help`. Returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except AdaptionError as error:
        print(f"adaption {args.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"adaption {args.verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="adaption",
        description="Fixed-point versions of Caffe nets: measure, rewrite, convert, verify.",
        epilog="`adaption VERB --help` tells more and gives an example.",
    )
    parser.add_argument("--version", action="version", version=f"adaption {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        _add_verb(verbs, name, import_module(f"adaption.cli.{name.replace('-', '_')}"))
    return parser


def _add_verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, module: ModuleType
) -> None:
    parser = verbs.add_parser(
        name,
        help=module.HELP,
        description=(module.__doc__ or "").strip(),
        epilog=f"example:\n{module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
