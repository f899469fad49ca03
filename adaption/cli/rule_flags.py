"""Flags that say which formats are chosen: word lengths, rule, rounding."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_rule_flags", "rule_settings"]

# Said here and not taken from their modules, which import torch; a test compares.
RULES = ("adaption", "adaption-legacy", "max", "percentile", "sqnr")
ROUNDINGS = {"deterministic": "half_away", "stochastic": "stochastic"}
JOINS = ("concat",)
PLACES = ("before-relu", "after-relu", "after-pooling")


def add_rule_flags(parser: argparse.ArgumentParser) -> None:
    """The settings of `propose`, one flag each."""
    group = parser.add_argument_group("formats")
    group.add_argument(
        "--bits",
        action="append",
        metavar="N|WHAT=N",
        help="word length, 2..24 (default 16): N for all, or for a kind (activation=16), a layer or"
        " pattern (conv1*=12), or both (conv1*:weight=6); may be given several times, the last that"
        " fits counts",
    )
    group.add_argument(
        "--rule",
        default="adaption",
        choices=RULES,
        help="how Qm.f is chosen: up to max-abs, or leaving --threshold beyond (adaption, the"
        " default); as the original computes it (adaption-legacy); max-abs, small tensors with more"
        " bits of fraction (max); up to --percentile (percentile); the best SQNR (sqnr)",
    )
    group.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        help="share of the non-zero values that may lie beyond the range (default 0)",
    )
    group.add_argument(
        "--percentile",
        type=float,
        default=99.9,
        metavar="P",
        help="percent of the non-zero magnitudes that lie within the range (default 99.9)",
    )
    group.add_argument(
        "--rounding",
        default="deterministic",
        choices=tuple(ROUNDINGS),
        help="default deterministic",
    )
    group.add_argument(
        "--round-bias",
        action="store_true",
        help="round biases, too, in the weights' format; --bits bias=N gives them their own",
    )
    group.add_argument(
        "--unsigned",
        action="store_true",
        help="no sign bit for tensors that are never negative",
    )
    group.add_argument(
        "--lpact",
        default=PLACES[0],
        choices=PLACES,
        help="where results are rounded (default before the activation function, as the original)",
    )
    group.add_argument(
        "--same-format",
        choices=JOINS,
        help="concat: results that meet in a Concat get one format, the widest chosen, as most"
        " accelerators need it",
    )


def rule_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of `propose` that the flags stand for."""
    return {
        "bits": args.bits or 16,
        "rule": args.rule,
        "threshold": args.threshold,
        "percentile": args.percentile,
        "rounding": ROUNDINGS[args.rounding],
        "round_bias": args.round_bias,
        "unsigned": args.unsigned,
        "lpact": args.lpact,
        "same_format": args.same_format,
    }
