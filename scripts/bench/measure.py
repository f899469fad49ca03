"""What does measuring cost, against a plain forward pass of our float net?

    python scripts/bench/measure.py net.prototxt [more.prototxt ...] [--batch N] [--rounds 10]

Weights and data are random. Plain passes and measuring passes, as `adaption measure` does them, run
in turn, so that a drifting machine meets both; the ratio is the median of the ratios of neighbours.
On a busy machine `--cpu` counts processor time instead. The weights are measured once, before.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from adaption.graph import NetState, build_spec, input_shapes, with_inputs
from adaption.io.netfile import read_net
from adaption.job.feed import suitable_batch
from adaption.net import Net
from adaption.precision.measure import ActivationObserver, Measurement, measure_weights

TARGET = 1.25
WARM_UP = 3  # batches; those behind them take samples of the final size
CLOCKS = {False: time.perf_counter, True: time.process_time}


def main() -> None:
    """Print one table, a row per net."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, help="default: what `adaption measure` would take")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cpu", action="store_true", help="processor time instead of the clock")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{platform.machine()}, {args.threads} threads, torch {torch.__version__},")
    print(f"{args.rounds} rounds; target {TARGET}")
    print("net                    batch  plain ms  measured ms  ratio  values     weights ms")
    for path in args.nets:
        print(row(path, args.batch, args.rounds, CLOCKS[args.cpu]), flush=True)


@torch.no_grad()
def row(path: Path, batch: int | None, rounds: int, clock: Callable[[], float]) -> str:
    """The figures of one net."""
    file = read_net(path)
    spec = build_spec(file.message, NetState(), file=file.file)
    batch = batch or suitable_batch(spec)
    shapes = {name: (batch, *shape[1:]) for name, shape in input_shapes(spec).items()}
    net = Net(with_inputs(spec, shapes), seed=0)
    generator = torch.Generator().manual_seed(0)
    inputs = {n: torch.randn(net.blobs[n].shape, generator=generator) for n in net.inputs}
    start = clock()
    made = measure_weights(net)
    weights = clock() - start
    observer = ActivationObserver(made, every_value=False)
    plain, measured = [], []
    for turn in range(rounds + WARM_UP):
        start = clock()
        net.forward(inputs)
        between = clock()
        net.forward(inputs, observer=observer, fused=True)
        observer.finish()
        end = clock()
        made.batches += 1  # later batches take smaller samples
        if turn >= WARM_UP:
            plain.append(between - start)
            measured.append(end - between)
    ratio = statistics.median(m / p for p, m in zip(plain, measured, strict=True))
    values = count(made) // (rounds + WARM_UP)
    return (
        f"{name_of(path)[:22]:22} {batch:5} {statistics.median(plain) * 1e3:8.1f}"
        f" {statistics.median(measured) * 1e3:12.1f} {ratio:6.2f} {values:10,}"
        f" {weights * 1e3:9.1f}"
    )


def name_of(path: Path) -> str:
    """The file's name, or its folder's where it is the usual one."""
    return path.parent.name if path.stem == "deploy" else path.stem


def count(made: Measurement) -> int:
    """Values of all activations."""
    return sum(stats.count for point, stats in made.points.items() if point.kind == "activation")


if __name__ == "__main__":
    main()
