"""Flags that say which formats are chosen: those of `Formats`, and its preset."""

from __future__ import annotations

import argparse

from adaption.cli.flags import add_flags, flags_for, given
from adaption.options import INT8, Formats

__all__ = ["add_format_flags", "formats_of"]


def add_format_flags(parser: argparse.ArgumentParser, *uses: str) -> None:
    """A flag for each field of Formats, or for those of `uses`."""
    group = parser.add_argument_group("formats")
    group.add_argument(
        "--int8",
        action="store_true",
        help="formats for integer hardware and ONNX int8, which computes the same in every form:"
        f" {flags_for(Formats, INT8)}, unless said otherwise",
    )
    add_flags(group, Formats(), *uses)


def formats_of(args: argparse.Namespace) -> Formats:
    """The value that the flags stand for. Raises: FieldError, UsageError."""
    return Formats.over(INT8 if args.int8 else {}, **given(args, Formats))
