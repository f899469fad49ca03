"""What searched word lengths save against the same word length everywhere, both refined.

    python scripts/tables/search.py SHARED -o out [--only resnet20] [--bits 4,3] [--limit 2000]
        [--distill 4096]

SHARED holds models/ and data/, as for refine.py: activations of 8 bits, weights of --int8 --best in
one word length, and in word lengths searched with 25 % fewer weight bits (quantize --max-size).
Both are calibrated on the same samples, and scored on others. With --distill both nets are then
fine-tuned to the float net's scores, on at most so many samples of the calibration data, without
labels; this adds three columns. What is done is not done again. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from adaption.options import BEST, INT8

sys.path.insert(0, str(Path(__file__).resolve().parent))

import refine as published
from distill import BATCH, distilled

FEWER = 0.25  # weight bits
ROOM = 0.2  # points that the searched net may be worse
BITS = {"resnet20": (8, 6, 5, 4, 3), "squeezenet": (8, 6, 5, 4)}
HEAD = (
    *("net", "weights, bits", "samples", "float", "uniform", "searched", "difference"),
    *("target", "weight bits", "flipped, uniform", "flipped, searched"),
)
HEAD_DISTILLED = ("uniform, distilled", "searched, distilled", "difference")


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
    parser.add_argument(
        "--distill", type=int, help="distil the float net into both, with at most so many samples"
    )
    args = parser.parse_args()
    if args.distill is not None and args.distill < BATCH:
        parser.error(f"--distill {args.distill}: {BATCH} samples at least make a batch")
    return published.print_table(
        (*HEAD, *HEAD_DISTILLED) if args.distill else HEAD,
        (
            row(args, name, bits)
            for name in (args.only.split(",") if args.only else BITS)
            for bits in (map(int, args.bits.split(",")) if args.bits else BITS[name])
        ),
    )


def row(args: argparse.Namespace, name: str, bits: int) -> list[str]:
    """One row of the table, over all of its splits of the data."""
    uniform, searched = [], []
    for number, split in enumerate(published.splits(args, name)):
        state = args.out / f"{name}_{number}_state"
        of_split = partial(published.quantized, args, name, number, split)
        choices = {**INT8, **BEST, "bits": [8, f"weight={bits}"]}
        one = of_split(f"{name}_{number}_{bits}", choices)
        uniform.append(one)
        weights = sum(layer["weight"]["count"] for layer in one["layers"] if layer["weight"])
        most = one["cost"]["quantized"]["parameter_bits"] - FEWER * bits * weights
        choices |= {"bits": 8, "max_size": int(most) // 8, "search_state": state}
        searched.append(of_split(f"{name}_{number}_{bits}_less", choices))
    samples = sum(s["accuracy"]["samples"] for s in uniform)

    def share(found: list[dict[str, Any]], side: str) -> float:
        hits = sum(s["accuracy"][side]["top1"] * s["accuracy"]["samples"] for s in found)
        return 100 * float(hits) / float(samples)

    def flipped(found: list[dict[str, Any]]) -> str:
        count = sum(s["flipped_predictions"]["count"] for s in found)
        return f"{100 * count / samples:.2f} %"

    before, after = share(uniform, "quantized"), share(searched, "quantized")
    average = [s["search"]["average_bits"] for s in searched]
    fewer = 1 - sum(average) / len(average) / bits
    is_met = after - before >= -ROOM - 1e-9 and fewer >= FEWER - 1e-9
    return [
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
        *(_distilled_cells(args, name, bits, [s["accuracy"]["samples"] for s in uniform])),
    ]


def _distilled_cells(
    args: argparse.Namespace, name: str, bits: int, counts: Sequence[int]
) -> Iterator[str]:
    """Top-1 of both nets after distillation, and the difference; nothing without --distill."""
    if not args.distill:
        return
    found = []
    for less in ("", "_less"):
        hits = 0.0
        for number, count in enumerate(counts):
            folder = published.folder_of(args, name, f"{name}_{number}_{bits}{less}")
            hits += count * distilled(args, name, number, folder)["after"]
        found.append(hits / sum(counts))
    yield from (f"{x:.2f}" for x in found)
    yield f"{found[1] - found[0]:+.2f}"


if __name__ == "__main__":
    sys.exit(main())
