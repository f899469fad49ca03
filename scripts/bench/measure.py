"""What measuring costs, against a plain forward pass of our float net.

Weights and data are random. Plain passes and measuring passes, as `adaption measure` does them, run
in turn in one process. The weights are measured once, before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from figures import Figure
from nets import Given, left_out, nets, open_given
from turns import Settings, ratios, spread_of

from adaption.graph import NetState, build_spec
from adaption.io.netfile import read_net
from adaption.job.feed import suitable_batch
from adaption.precision.measure import ActivationObserver, Measurement, measure_weights

ROWS = ("measure",)
TARGET = 1.15
WARM_UP = 3  # batches; those behind them take samples of the final size
MOST = {True: 4, False: 64}  # samples of a batch


def figures(settings: Settings, rows: tuple[str, ...]) -> Iterator[Figure]:
    """One row per net."""
    for given in nets(settings):
        if left_out(given, settings):
            yield Figure.skipped(rows[0], given.name, "left out by --quick")
        else:
            yield of_net(rows[0], given, settings)


@torch.no_grad()
def of_net(row: str, given: Given, settings: Settings) -> Figure:
    file = read_net(given.path)
    spec = build_spec(file.message, NetState(), file=file.file)
    batch = min(suitable_batch(spec), MOST[settings.quick])
    net = open_given(given, batch)
    generator = torch.Generator().manual_seed(0)
    inputs = {n: torch.randn(net.blobs[n].shape, generator=generator) for n in net.inputs}
    made = measure_weights(net)
    observer = ActivationObserver(made, every_value=False)
    plain, measured = [], []
    for turn in range(settings.rounds_or(10, 4) + WARM_UP):
        start = time.perf_counter()
        net.forward(inputs)
        between = time.perf_counter()
        net.forward(inputs, observer=observer, fused=True)
        observer.finish()
        end = time.perf_counter()
        made.batches += 1  # later batches take smaller samples
        if turn >= WARM_UP:
            plain.append(between - start)
            measured.append(end - between)
    return Figure(
        row,
        f"{given.name}, batch {batch}",
        f"{spread_of(measured).median * 1e3:.0f} ms",
        f"plain pass {spread_of(plain).median * 1e3:.0f} ms",
        ratios(measured, plain),
        target=TARGET,
        note=f"{count(made) // made.batches:,} values a batch",
    )


def count(made: Measurement) -> int:
    """Values of all activations."""
    return sum(stats.count for point, stats in made.points.items() if point.kind == "activation")
