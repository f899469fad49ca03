"""What searched word lengths save against the same word length everywhere, both refined.

    python scripts/tables/search.py SHARED -o out [--only resnet20] [--bits 4,3] [--limit 2000]
        [--tune 4096]

SHARED holds models/ and data/, as for refine.py: activations of 8 bits, weights of --int8 --best in
one word length, and in word lengths searched with 25 % fewer weight bits (quantize --max-size).
Both are calibrated on the same samples, and scored on others. With --tune both are made once more,
with at most so many calibration samples, and tuned to the float net's scores (quantize --tune 10
--tune-mirror); this adds three columns. What is done is not done again. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from adaption.options import BEST, INT8

sys.path.insert(0, str(Path(__file__).resolve().parent))

import refine as published

FEWER = 0.25  # weight bits
ROOM = 0.2  # points that the searched net may be worse
BITS = {"resnet20": (8, 6, 5, 4, 3), "squeezenet": (8, 6, 5, 4)}
HEAD = (
    *("net", "weights, bits", "samples", "float", "uniform", "searched", "difference"),
    *("target", "weight bits", "flipped, uniform", "flipped, searched"),
)
HEAD_TUNED = ("uniform, tuned", "searched, tuned", "difference")
PASSES = 10


def main() -> int:
    """Quantize what is missing, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path, metavar="SHARED")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", help="nets, with commas between")
    parser.add_argument("--bits", help="uniform word lengths, with commas between")
    parser.add_argument("--limit", type=int, help="score so many samples of CIFAR-10")
    parser.add_argument("--tune", type=int, help="tune both, on at most so many samples")
    args = parser.parse_args()
    return published.print_table(
        (*HEAD, *HEAD_TUNED) if args.tune else HEAD,
        (
            row(args, name, bits)
            for name in (args.only.split(",") if args.only else BITS)
            for bits in (map(int, args.bits.split(",")) if args.bits else BITS[name])
        ),
    )


def row(args: argparse.Namespace, name: str, bits: int) -> list[str]:
    """One row of the table, over all of its splits of the data."""
    uniform, searched = pair(args, name, bits)
    samples = sum(s["accuracy"]["samples"] for s in uniform)

    def share(found: list[dict[str, Any]], side: str = "quantized") -> float:
        hits = sum(s["accuracy"][side]["top1"] * s["accuracy"]["samples"] for s in found)
        return 100 * float(hits) / float(samples)

    def flipped(found: list[dict[str, Any]]) -> str:
        count = sum(s["flipped_predictions"]["count"] for s in found)
        return f"{100 * count / samples:.2f} %"

    before, after = share(uniform), share(searched)
    average = [s["search"]["average_bits"] for s in searched]
    fewer = 1 - sum(average) / len(average) / bits
    is_met = after - before >= -ROOM - 1e-9 and fewer >= FEWER - 1e-9
    cells = [
        name,
        f"{bits} / {', '.join(f'{x:.2f}' for x in average)}",
        f"{samples:,}",
        f"{share(uniform, 'float'):.2f}",
        f"{before:.2f}",
        f"{after:.2f}",
        f"{after - before:+.2f}",
        f">= -{ROOM:.2f}{'' if is_met else ' (missed)'}",
        f"-{100 * fewer:.1f} %",
        flipped(uniform),
        flipped(searched),
    ]
    if args.tune:
        more = {"calibration_limit": args.tune, "tune": PASSES, "tune_mirror": True}
        tuned = [share(found) for found in pair(args, name, bits, f"_tuned_{args.tune}", more)]
        cells += [*(f"{x:.2f}" for x in tuned), f"{tuned[1] - tuned[0]:+.2f}"]
    return cells


def pair(
    args: argparse.Namespace,
    name: str,
    bits: int,
    mark: str = "",
    more: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Summaries with one word length and with searched ones, one per split.

    Args:
        mark: of the folders. more: further choices.
    """
    uniform, searched = [], []
    for number, split in enumerate(published.splits(args, name)):
        state = args.out / f"{name}_{number}{mark}_state"
        of_split = partial(published.quantized, args, name, number, split)
        choices = {**INT8, **BEST, **more, "bits": [8, f"weight={bits}"]}
        one = of_split(f"{name}_{number}_{bits}{mark}", choices)
        uniform.append(one)
        weights = sum(layer["weight"]["count"] for layer in one["layers"] if layer["weight"])
        most = one["cost"]["quantized"]["parameter_bits"] - FEWER * bits * weights
        choices |= {"bits": 8, "max_size": int(most) // 8, "search_state": state}
        searched.append(of_split(f"{name}_{number}_{bits}_less{mark}", choices))
    return uniform, searched


if __name__ == "__main__":
    sys.exit(main())
