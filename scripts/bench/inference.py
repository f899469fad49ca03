"""How long is a forward pass at batch 1, against eager torch in NCHW on the same layers?

    python scripts/bench/inference.py net.prototxt [more.prototxt ...] [--threads 2] [--rounds 10]
                                      [--cpu] [--rounding half_even]

Weights are random. "eager" calls torch's own operators layer by layer on contiguous NCHW tensors;
"float" is our net; "low precision" is our net with 8-bit weights and activations, weights rounded
once. The three run in turn, round by round; ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
import turns

from adaption.graph import NetState, build_spec, input_shapes, with_inputs
from adaption.io.netfile import read_net
from adaption.net import Net
from adaption.precision.measure import measure_net
from adaption.precision.propose import propose
from adaption.precision.rewrite import rewrite


class OneBatch:
    """One random sample per input."""

    def __init__(self, net: Net) -> None:
        generator = torch.Generator().manual_seed(0)
        self.blobs = {n: torch.randn(net.blobs[n].shape, generator=generator) for n in net.inputs}
        self.names = ["0"]


def main() -> None:
    """Print one table, a row per net."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="+", type=Path)
    parser.add_argument("--rounding", default="half_away", choices=("half_away", "half_even"))
    turns.add_options(parser, rounds=10)
    args = parser.parse_args()
    print(turns.start(args))
    print("net                    eager ms  float ms  low ms  float/eager  low/float")
    for path in args.nets:
        print(row(path, args), flush=True)


def row(path: Path, args: argparse.Namespace) -> str:
    """The figures of one net."""
    file = read_net(path)
    spec = build_spec(file.message, NetState(), file=file.file)
    one = {name: (1, *shape[1:]) for name, shape in input_shapes(spec).items()}
    net = Net(with_inputs(spec, one), seed=0)
    batch = OneBatch(net)
    proposal = propose(net.spec, measure_net(net, [batch]), bits=8, rounding=args.rounding)
    low_spec = build_spec(rewrite(file, proposal).message, NetState())
    low = Net(with_inputs(low_spec, one), seed=0)
    seconds = turns.take_turns(
        [
            lambda: eager(net, batch),
            lambda: net.forward(batch.blobs),
            lambda: low.forward(batch.blobs),
        ],
        args,
    )
    plain, full, rounded = (statistics.median(each) * 1e3 for each in seconds)
    return (
        f"{path.stem[:22]:22} {plain:8.1f} {full:9.1f} {rounded:7.1f}"
        f" {turns.ratio(seconds[1], seconds[0]):12.2f} {turns.ratio(seconds[2], seconds[1]):10.2f}"
    )


@torch.no_grad()
def eager(net: Net, batch: OneBatch) -> None:
    """Torch's operators on contiguous tensors, without our net's bookkeeping."""
    values = dict(batch.blobs)
    for node in net.nodes:
        if node.spec.type == "Input":
            continue
        bottoms = [values[b] for b in node.spec.bottoms]
        blobs = [b.tensor for b in node.masters]
        if node.layer.same_tops_as_bottoms:
            tops = [node.layer.run(node.runtime, x, *blobs) for x in bottoms]
        else:
            made = node.layer.run(node.runtime, *bottoms, *blobs)
            tops = list(made) if isinstance(made, tuple | list) else [made]
        values.update(zip(node.spec.tops, tops, strict=True))


if __name__ == "__main__":
    main()
