"""Flags that say which formats are chosen: those of `Formats`, and its preset."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from adaption.cli.flags import add_flags, flags_for, given, words_for
from adaption.options import BEST, INT8, Formats, Options, Refinement

__all__ = [
    "add_format_flags",
    "add_refinement_flags",
    "format_words",
    "formats_of",
    "refinement_of",
]


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


def add_refinement_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for each field of Refinement, and the preset."""
    group = parser.add_argument_group("refining, on calibration data")
    best = (
        f"{flags_for(Formats, _of(Formats, BEST))} {flags_for(Refinement, _of(Refinement, BEST))}"
    )
    group.add_argument(
        "--best",
        action="store_true",
        help=f"the most accurate net without training: {best}, unless said otherwise; goes with"
        " --int8",
    )
    add_flags(group, Refinement())


def formats_of(args: argparse.Namespace) -> Formats:
    """The value that the flags stand for. Raises: FieldError, UsageError."""
    preset = dict(INT8) if args.int8 else {}
    if getattr(args, "best", False):
        preset |= _of(Formats, BEST)
    return Formats.over(preset, **given(args, Formats))


def format_words(args: argparse.Namespace) -> list[str]:
    """The flags of `add_format_flags` that were given, for the command to type next."""
    return [*(["--int8"] if args.int8 else []), *words_for(Formats, given(args, Formats))]


def refinement_of(args: argparse.Namespace) -> Refinement:
    """The value that the flags stand for. Raises: FieldError."""
    return Refinement(**({**_of(Refinement, BEST)} if args.best else {}) | given(args, Refinement))


def _of(kind: type[Options], preset: Mapping[str, Any]) -> dict[str, Any]:
    """What a preset says of one class of option values."""
    return {name: value for name, value in preset.items() if name in kind.declared()}
