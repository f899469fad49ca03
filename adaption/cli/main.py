"""`adaption VERB ...`: find the verb, run it, turn errors into one message and an exit code.

Exit codes: see boundary.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from adaption._version import __version__
from adaption.cli.boundary import guarded

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

__all__ = ["main"]

VERBS = (
    "convert",
    "cost",
    "create",
    "device_query",
    "draw",
    "edit",
    "export",
    "extract",
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
    "widen",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; see `adaption --help`. Returns the exit code."""
    verb = ""

    def run() -> int:
        nonlocal verb
        from adaption.io.limits import memory_limit

        args = _parser().parse_args(argv)
        verb = args.verb
        with memory_limit(args.memory_limit):
            code: int = args.run(args)
        return code

    return guarded(run, lambda: f"adaption {verb}".rstrip())


def _parser() -> argparse.ArgumentParser:
    import argparse  # within the guard: Ctrl-C may come at any moment

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
    import argparse

    parser = verbs.add_parser(
        name,
        help=module.HELP,
        description=(module.__doc__ or "").strip(),
        epilog=f"example:\n{module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument(
        "--memory-limit",
        metavar="SIZE",
        help="the most that one array, image or blob may take: 8G (default: see SECURITY.md)",
    )
    parser.set_defaults(run=module.run)
