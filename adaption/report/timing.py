"""How long a net takes, layer by layer. Caffe: time() in tools/caffe.cpp."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import torch

from adaption.errors import FieldError
from adaption.glog import Log, silent
from adaption.io.limits import Size, within_limit
from adaption.io.netfile import NetFile
from adaption.net import Net
from adaption.net.building_log import build_logged, show_device
from adaption.net.node import Node
from adaption.options import NET, RunOptions, takes_options
from adaption.report.format import percent, significant
from adaption.report.tables import Grid

__all__ = ["LayerTime", "Timing", "time"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class LayerTime:
    """Mean times of one layer, in milliseconds; backward is 0 where nothing is computed."""

    name: str
    type: str
    forward_ms: float
    backward_ms: float


@dataclass(frozen=True)
class Timing:
    """Mean times of one forward and backward pass, in milliseconds; `total_ms` is of all passes."""

    net: str
    phase: str
    iterations: int
    initial_loss: float
    layers: tuple[LayerTime, ...]
    forward_ms: float
    backward_ms: float
    total_ms: float
    notices: tuple[str, ...] = ()  # what is unknown in the prototxt, and what was taken for it

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"format": "adaption.timing/1", **asdict(self)}

    def table(self) -> str:
        """One line per layer with its share of the time of all layers."""
        whole = sum(x.forward_ms + x.backward_ms for x in self.layers) or 1.0
        rows = [
            (
                *(layer.name, layer.type),
                *(significant(layer.forward_ms), significant(layer.backward_ms)),
                percent((layer.forward_ms + layer.backward_ms) / whole, 1, unit=""),
            )
            for layer in self.layers
        ]
        rows.append(("all", "", significant(self.forward_ms), significant(self.backward_ms), "100"))
        columns = ("layer", "type", "forward ms", "backward ms", "%")
        title = f"{self.net or 'net'}: {self.phase}, mean of {self.iterations} iterations"
        return Grid(columns, rows, title, text_columns=2).plain()


@takes_options(options=("phase", *NET, "original_semantics", "device"))
@within_limit
def time(
    net: PathLike | NetFile,
    weights: PathLike | None = None,
    *,
    iterations: int = 50,
    options: RunOptions = RunOptions(phase="TRAIN"),
    seed: int | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    log: Log = silent,
    memory_limit: Size | None = None,
    **choices: Any,
) -> Timing:
    """Time every layer's forward and backward pass, each layer on its own, as Caffe does.

    One pass that is not counted goes before. Input blobs hold zeros.

    Args:
        iterations: passes to take the mean of.
        options: how the net is built and run; see RunOptions.
        seed, input_shapes: as of Net.
        log: gets Caffe's lines, `glog.info` writes them.
        memory_limit: the most that one array, image or blob may take, as in "8G".
        choices: fields of RunOptions as keywords (dialect, end, device, ...).
    Raises: AdaptionError when the net cannot be built or run.
    """
    if iterations < 1:
        raise FieldError("iterations", iterations, "1 or more")
    show_device(options.device, log)
    net_options = options.for_net("phase", "original_semantics", "device")
    built = build_logged(net, weights, log=log, seed=seed, input_shapes=input_shapes, **net_options)
    with torch.enable_grad():
        log("caffe.cpp:355", "Performing Forward")
        built.forward()
        initial_loss = built.loss()
        log("caffe.cpp:360", f"Initial loss: {initial_loss:g}")
        log("caffe.cpp:361", "Performing Backward")
        built.backward()
        log("caffe.cpp:369", "*** Benchmark begins ***")
        log("caffe.cpp:370", f"Testing for {iterations} iterations.")
        watch = _Watch(built, now := _clock(options.device))
        start = now()
        for i in range(iterations):
            took = watch.run()
            log("caffe.cpp:398", f"Iteration: {i + 1} forward-backward time: {took:g} ms.")
        total = now() - start
    timing = watch.timing(iterations, options.phase, initial_loss, total)
    _show(timing, log)
    return timing


class _Watch:
    """Sums of the times of a net's passes, by place of the layer."""

    def __init__(self, net: Net, now: Callable[[], float]) -> None:
        self.net = net
        self.now = now
        self.place = {id(node): i for i, node in enumerate(net.nodes)}
        self.forward = [0.0] * len(net.nodes)
        self.backward = [0.0] * len(net.nodes)
        self.whole = [0.0, 0.0]
        self._last = 0.0

    def run(self) -> float:
        """One forward and backward pass; returns its time in milliseconds."""
        start = self._last = self.now()
        self.net.forward(observer=lambda node, bottoms, tops: self._lap(self.forward, node))
        middle = self._last = self.now()
        self.net.backward(observer=lambda node: self._lap(self.backward, node))
        end = self.now()
        self.whole[0] += middle - start
        self.whole[1] += end - middle
        return end - start

    def _lap(self, sums: list[float], node: Node) -> None:
        now = self.now()
        sums[self.place[id(node)]] += now - self._last
        self._last = now

    def timing(self, count: int, phase: str, initial_loss: float, total: float) -> Timing:
        layers = tuple(
            LayerTime(node.spec.name, node.spec.type, forward / count, backward / count)
            for node, forward, backward in zip(
                self.net.nodes, self.forward, self.backward, strict=True
            )
        )
        forward, backward = (x / count for x in self.whole)
        return Timing(
            *(self.net.name, phase, count, initial_loss, layers, forward, backward, total),
            notices=tuple(self.net.notices),
        )


def _clock(device: str) -> Callable[[], float]:
    """A clock in milliseconds; work that was handed to a GPU counts as done when it is."""

    def now() -> float:
        if device != "cpu":
            torch.cuda.synchronize(device)
        return perf_counter() * 1e3

    return now


def _show(timing: Timing, log: Log) -> None:
    log("caffe.cpp:401", "Average time per layer: ")
    for layer in timing.layers:
        log("caffe.cpp:404", f"{layer.name:>10}\tforward: {layer.forward_ms:g} ms.")
        log("caffe.cpp:407", f"{layer.name:>10}\tbackward: {layer.backward_ms:g} ms.")
    log("caffe.cpp:412", f"Average Forward pass: {timing.forward_ms:g} ms.")
    log("caffe.cpp:414", f"Average Backward pass: {timing.backward_ms:g} ms.")
    both = timing.total_ms / timing.iterations
    log("caffe.cpp:416", f"Average Forward-Backward: {both:g} ms.")
    log("caffe.cpp:418", f"Total Time: {timing.total_ms:g} ms.")
    log("caffe.cpp:419", "*** Benchmark ends ***")
