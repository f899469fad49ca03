"""Flags that say which formats are chosen: word lengths, rule, rounding."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_rule_flags", "rule_settings"]

# Said here and not taken from their modules, which import torch; a test compares.
RULES = ("adaption", "adaption-legacy", "max", "percentile", "sqnr")
ROUNDINGS = {
    "deterministic": "half_away",
    "stochastic": "stochastic",
    "half-even": "half_even",
}
JOINS = ("concat",)
PLACES = ("before-relu", "after-relu", "after-pooling")


def add_rule_flags(parser: argparse.ArgumentParser) -> None:
    """The settings of `propose`, one flag each."""
    group = parser.add_argument_group("formats")
    group.add_argument(
        "--int8",
        action="store_true",
        help="formats for integer hardware and ONNX int8, which computes the same in every form:"
        " --bits 8 --rounding half-even --product-bias --every-bottom --same-format concat, unless"
        " said otherwise",
    )
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
        choices=tuple(ROUNDINGS),
        help="deterministic (the default): ties away from zero; half-even: results with ties to"
        " even, as ONNX's QuantizeLinear rounds",
    )
    group.add_argument(
        "--round-bias",
        action="store_true",
        help="round biases, too, in the weights' format; --bits bias=N gives them their own",
    )
    group.add_argument(
        "--product-bias",
        action="store_true",
        help="round biases to the grid of their layer's products, in 32 bits, as integer hardware"
        " holds them",
    )
    group.add_argument(
        "--every-bottom",
        action="store_true",
        help="also round what else weight layers read: inputs, sums of branches, averages, ...",
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
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="LAYER",
        help="leave this weight layer in float; a name or a pattern such as 'loss*' (may be given"
        " several times)",
    )
    group.add_argument("--exclude-first", action="store_true", help="leave the first weight layer")
    group.add_argument("--exclude-last", action="store_true", help="leave the last weight layer")


def rule_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of `propose` that the flags stand for."""
    rounding = args.rounding or ("half-even" if args.int8 else "deterministic")
    bits = args.bits or []
    if args.int8 or not bits:
        bits = [8 if args.int8 else 16, *bits]
    return {
        "bits": bits,
        "rule": args.rule,
        "threshold": args.threshold,
        "percentile": args.percentile,
        "rounding": ROUNDINGS[rounding],
        "round_bias": args.round_bias,
        "product_bias": args.product_bias or (args.int8 and not args.round_bias),
        "every_bottom": args.every_bottom or args.int8,
        "unsigned": args.unsigned,
        "lpact": args.lpact,
        "same_format": args.same_format or ("concat" if args.int8 else None),
        "exclude": args.exclude,
        "exclude_first": args.exclude_first,
        "exclude_last": args.exclude_last,
    }
