"""Top-1 of one net against bits for each rule, and zeros among what its layers read, as tables.

    python scripts/tables/rules.py deploy.prototxt net.caffemodel --data test.npz --limit 1000

measures the net once, then, for each rule and word length, proposes, rewrites, and runs the
low-precision net on the same samples. The second table is of one rule (--sparsity-rule): zeros
among the inputs of the first, middle and last third of the weight layers.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from adaption.cli.options import add_preprocessing_flags, transform_of
from adaption.graph import NetState, build_spec
from adaption.io.caffemodel import read_weights
from adaption.io.netfile import read_net
from adaption.job.feed import Feed, fed_by, feed_from_data
from adaption.net import Net
from adaption.options import JOINS, RunOptions
from adaption.precision.classifiers import Classifiers, find_classifiers
from adaption.precision.evaluate import Run, run_net
from adaption.precision.measure import ActivationObserver, measure_weights
from adaption.precision.propose import propose
from adaption.precision.rewrite import rewrite
from adaption.precision.rules import RULES

BITS = "8,7,6,5,4"


def main() -> int:
    """Print both tables. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("net", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bits", default=BITS, help=f"default {BITS}")
    parser.add_argument("--rules", default=",".join(RULES), help="default: all")
    parser.add_argument("--same-format", choices=JOINS, help="as of adaption propose")
    parser.add_argument("--sparsity-rule", default="adaption")
    parser.add_argument("--limit", type=int, help="samples")
    parser.add_argument("--batch-size", type=int)
    add_preprocessing_flags(parser)
    args = parser.parse_args()
    lengths = [int(bits) for bits in args.bits.split(",")]
    rules = args.rules.split(",")

    file, trained = read_net(args.net), read_weights(args.weights)
    spec = build_spec(file.message, NetState("TEST"), file=file.file)
    options = RunOptions(batch_size=args.batch_size, limit=args.limit)
    feed = feed_from_data(
        spec, args.data, transform_of(args), options, root=args.root, weights=trained
    )
    full = Net(feed.spec, trained)
    scores = find_classifiers(feed.spec, full)
    measured = measure_weights(full, legacy_rule=True)
    watch = ActivationObserver(measured, legacy_rule=True)
    before = run_net(full, feed, scores=scores, observers=[watch])
    runs: dict[tuple[str, int], Run] = {}
    for rule in rules:
        for bits in lengths:
            plan = propose(feed.spec, measured, rule=rule, bits=bits, same_format=args.same_format)
            low = build_spec(rewrite(file, plan).message, NetState("TEST"))
            runs[rule, bits] = run_low(Net(fed_by(low, feed), trained), feed, scores)
            print(f"{rule} {bits}: {share(top1(runs[rule, bits]))}", file=sys.stderr)
    print(accuracies(full.name or args.net.parent.name, before, runs, rules, lengths))
    print()
    print(zeros(before, {b: runs[args.sparsity_rule, b] for b in lengths}))
    return 0


def run_low(net: Net, feed: Feed, scores: Classifiers) -> Run:
    """The low-precision net over the same samples."""
    made = run_net(net, feed, scores=scores)
    made.outputs.clear()
    return made


def accuracies(
    name: str,
    before: Run,
    runs: dict[tuple[str, int], Run],
    rules: list[str],
    lengths: list[int],
) -> str:
    """Top-1 by rule and bits, the mean over the word lengths in the last column."""
    rows = [[f"{name}, {before.samples} samples", *map(str, lengths), "mean"]]
    rows.append(["---"] * len(rows[0]))
    rows.append(["float", *[share(top1(before))] * len(lengths), share(top1(before))])
    for rule in rules:
        found = [top1(runs[rule, bits]) for bits in lengths]
        rows.append([rule, *map(share, found), share(sum(found) / len(found))])
    return table(rows)


def zeros(before: Run, runs: dict[int, Run]) -> str:
    """Zeros among what weight layers read, by thirds of the net; the first layer is left out."""
    layers = list(before.input_zeros)[1:]
    cuts = [round(len(layers) * i / 3) for i in range(4)]
    thirds = [layers[a:b] for a, b in pairwise(cuts)]
    rows = [["zero inputs", "first third", "middle", "last third", "all"], ["---"] * 5]
    for name, run in (("float", before), *((f"{bits} bits", run) for bits, run in runs.items())):
        rows.append([name, *(share(zero_share(run, part)) for part in (*thirds, layers))])
    return table(rows)


def zero_share(run: Run, layers: list[str]) -> float:
    """Share of zeros among all values that these layers read."""
    found = [run.input_zeros[name] for name in layers]
    return sum(zero for zero, _ in found) / max(1, sum(count for _, count in found))


def top1(run: Run) -> float:
    """Top-1 as a fraction."""
    return run.tally.top1 / max(1, run.tally.labelled)


def share(value: float) -> str:
    """A fraction in percent."""
    return f"{100 * value:.1f} %"


def table(rows: list[list[Any]]) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
