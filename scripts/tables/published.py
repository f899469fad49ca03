"""A published fixed-point net beside our own: same float net, same images, Top-1 side by side.

    python scripts/tables/published.py deploy.prototxt float.caffemodel.h5 quantized.caffemodel \\
        --data cifar10_test_jpeg.npz --channel-order RGB --mean-file cifar10_mean.binaryproto

The published file holds weights and biases on their grids and says nothing of activations. Rows:
the float net; the published weights, activations float; our weights, activations float; our weights
with the published biases; then our weights with activations rounded as each rule chooses.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from adaption.cli.options import add_preprocessing_flags, transform_of
from adaption.graph import NetState, build_spec
from adaption.io.caffemodel import read_weights
from adaption.io.netfile import read_net
from adaption.job.feed import fed_by, feed_from_data
from adaption.net import Net
from adaption.options import RunOptions
from adaption.precision.classifiers import find_classifiers
from adaption.precision.evaluate import run_net
from adaption.precision.measure import ActivationObserver, measure_weights
from adaption.precision.propose import propose
from adaption.precision.rewrite import rewrite
from adaption.precision.rules import RULES


def main() -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("net", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("published", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--limit", type=int, help="samples")
    add_preprocessing_flags(parser)
    args = parser.parse_args()
    file = read_net(args.net)
    full_weights, published = read_weights(args.weights), read_weights(args.published)
    spec = build_spec(file.message, NetState("TEST"), file=file.file)
    feed = feed_from_data(
        spec, args.data, transform_of(args), RunOptions(limit=args.limit), weights=full_weights
    )
    full = Net(feed.spec, full_weights)
    scores = find_classifiers(feed.spec, full)
    measured = measure_weights(full, legacy_rule=True)
    watch = ActivationObserver(measured, legacy_rule=True)

    def show(name: str, net: Net, observers: tuple[object, ...] = ()) -> None:
        run = run_net(net, feed, scores=scores, observers=observers)  # type: ignore[arg-type]
        print(f"| {name} | {100 * run.tally.top1 / run.tally.labelled:.2f} % |", flush=True)

    print(f"| {full.name}, weights / activations | Top-1 |\n| --- | --- |")
    show("float", full, (watch,))
    show("published / float", Net(feed.spec, published))
    plan = propose(feed.spec, measured, bits=args.bits, rule="max")
    plan.choices = {point: c for point, c in plan.choices.items() if point.kind == "weight"}
    weights_only = fed_by(build_spec(rewrite(file, plan).message, NetState("TEST")), feed)
    ours = Net(weights_only, full_weights)
    show("max / float", ours)
    differing = sum(differing_codes(ours, published).values())
    with_biases = Net(weights_only, full_weights)
    for node in with_biases.nodes:
        theirs = published.get(node.spec.name)
        if theirs is not None and len(node.masters) > 1:
            bias = torch.from_numpy(theirs.blobs[1].copy())
            node.masters[1].tensor.detach().copy_(bias.view_as(node.masters[1].tensor))
    show("max, published biases / float", with_biases)
    weights = {point: c for point, c in plan.choices.items() if point.kind == "weight"}
    for rule in RULES:
        made = propose(feed.spec, measured, bits=args.bits, rule=rule)
        made = replace(made, choices=made.choices | weights)
        low = fed_by(build_spec(rewrite(file, made).message, NetState("TEST")), feed)
        show(f"max / {rule}", Net(low, full_weights))
    print(f"\nweights whose code differs from the published one: {differing}")
    return 0


def differing_codes(net: Net, published: object) -> dict[str, int]:
    """Rounded weights that are not the published ones, by layer."""
    found = {}
    for node in net.nodes:
        theirs = published.get(node.spec.name)  # type: ignore[attr-defined]
        if theirs is not None and theirs.blobs:
            want = torch.from_numpy(theirs.blobs[0].copy())
            rounded = node.quantized_blobs()[0]
            found[node.spec.name] = int((rounded != want.view_as(rounded)).sum())
    return found


if __name__ == "__main__":
    sys.exit(main())
