"""Accuracy, flipped predictions and sparsity of one net at several word lengths, as a table.

    python scripts/tables/bits.py deploy.prototxt net.caffemodel --data test.npz -o out

takes the flags of `adaption quantize` but --bits (several, with commas between) and runs the whole
main job for each; the results lie in out/16, out/12, ... A word length that is done is not redone.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from adaption.cli import main as cli

BITS = "16,12,10,8,6"
HEAD = ("bits", "Top-1", "change", "Top-5", "flipped", "output SQNR", "zero weights", "zero inputs")


def main() -> int:
    """Run what is missing, print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--bits", default=BITS, help=f"default {BITS}")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args, rest = parser.parse_known_args()
    rows = []
    for bits in args.bits.split(","):
        folder = args.out / bits
        if not (folder / "summary.json").exists():
            code = cli.main(["quantize", *rest, "--bits", bits, "-o", str(folder)])
            if code > 1:
                return code
        rows.append(json.loads((folder / "summary.json").read_text("utf-8")))
    print(table(rows))
    return 0


def table(summaries: list[dict[str, Any]]) -> str:
    """A Markdown table: the float net first, then one row per summary."""
    first = summaries[0]
    rows = []
    if first["accuracy"]:
        full = first["accuracy"]["float"]
        before = first["sparsity"]
        rows.append(["float", share(full["top1"]), "", share(full["top5"]), "", ""])
        rows[0] += [share(before["weights_before"]), share(before["activations_before"])]
    for s in summaries:
        accuracy, flips, zeros = s["accuracy"], s["flipped_predictions"], s["sparsity"]
        row = [str(s["bits"])]
        if accuracy:
            low, full = accuracy["quantized"], accuracy["float"]
            row += [share(low["top1"]), f"{100 * (low['top1'] - full['top1']):+.2f}"]
            row.append(share(low["top5"]))
        else:
            row += ["", "", ""]
        row.append(f"{flips['count']} of {flips['samples']}" if flips else "")
        sqnr = [v for v in s["output_sqnr_db"].values() if v is not None]
        row.append(f"{min(sqnr):.1f} dB" if sqnr else "exact")
        row += [share(zeros["weights_after"]), share(zeros["activations_after"])]
        rows.append(row)
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def share(value: float | None) -> str:
    """A fraction in percent; empty when there is none."""
    return "" if value is None else f"{100 * value:.2f} %"


if __name__ == "__main__":
    sys.exit(main())
