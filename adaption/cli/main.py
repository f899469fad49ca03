"""`adaption VERB ...`: find the verb, run it, turn errors into one message and an exit code.

Exit codes: see boundary.py.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from adaption._version import __version__
from adaption.cli.boundary import guarded

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from adaption.cli.parser import Parser

__all__ = ["main", "verb_parsers"]

VERBS = (
    "assign",
    "completion",
    "convert",
    "cost",
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
    "search",
    "sensitivity",
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
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in words[:1] if word in VERBS), "")

    def run() -> int:
        from adaption.io.limits import memory_limit

        if not words:
            print(_overview())
            return 0
        parser = _parser((verb,) if verb else VERBS)  # flags of other verbs take their time
        if verb:
            _use_config(verb_parsers(parser)[verb], verb, words[1:])
        args = parser.parse_args(words)
        args.words = words
        with memory_limit(args.memory_limit):
            code: int = args.run(args)
        return code

    code = guarded(run, lambda: f"adaption {verb}".rstrip())
    if argv is None and "torch" not in sys.modules:
        gc.freeze()  # the process ends: what is left is not searched for cycles
    return code


def verb_parsers(parser: Parser | None = None) -> dict[str, Parser]:
    """The parser of each verb, by name."""
    import argparse

    actions = (parser or _parser())._actions
    (verbs,) = (a for a in actions if isinstance(a, argparse._SubParsersAction))
    return dict(verbs.choices)


def _parser(names: Sequence[str] = VERBS) -> Parser:
    from adaption.cli.parser import Parser  # within the guard: Ctrl-C may come at any moment

    parser = Parser(
        prog="adaption",
        description="Fixed-point versions of Caffe nets: measure, rewrite, convert, verify.",
        epilog="`adaption` alone lists the verbs in the order of the work; `adaption VERB --help`"
        " tells more and gives an example.",
    )
    parser.add_argument("--version", action="version", version=f"adaption {__version__}")
    # With its prog given, argparse formats no usage line to find it.
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)
    for name in names:
        _add_verb(verbs, name, _module(name))
    return parser


def _module(verb: str) -> ModuleType:
    return import_module(f"adaption.cli.{verb.replace('-', '_')}")


def _overview() -> str:
    from adaption.cli.overview import overview

    return overview({verb: _module(verb).HELP for verb in VERBS})


def _use_config(parser: Parser, verb: str, words: list[str]) -> None:
    """Take defaults from the file that --config names, if it is given."""
    import argparse

    if not any(word.startswith("--config") for word in words):
        return
    from adaption.cli.config import use_config

    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config")
    path = finder.parse_known_args(words)[0].config
    if path is not None:
        use_config(parser, verb, path, VERBS)


def _add_verb(verbs: argparse._SubParsersAction[Parser], name: str, module: ModuleType) -> None:
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
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file with flags: KEY = VALUE, at the top or in a table [VERB]",
    )
    parser.set_defaults(run=module.run, parser=parser)
