"""The file that a verb writes: -o in every verb, and by its place where that was the first form."""

from __future__ import annotations

import argparse

from adaption.errors import UsageError

__all__ = ["add_out", "out_of"]


def add_out(parser: argparse.ArgumentParser, help: str) -> None:
    """Flag -o, and the same by its place; read it with `out_of`."""
    parser.add_argument("-o", "--out", metavar="FILE", help=help)
    parser.add_argument("out_by_place", nargs="?", metavar="OUT", help="the same without a flag")


def out_of(args: argparse.Namespace) -> str:
    """The file to write. Raises: UsageError when it is missing, or given twice."""
    found = [out for out in (args.out, args.out_by_place) if out is not None]
    if len(found) != 1:
        what = "the file to write is given twice" if found else "missing: -o FILE"
        raise UsageError(what, "name the file to write once: -o FILE")
    return str(found[0])
