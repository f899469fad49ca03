"""What calibration data says of a float net's channels: their power, and how far they reach."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from adaption.net import Net
from adaption.net.node import Node

__all__ = ["Observed", "observe_channels"]


@dataclass(frozen=True)
class Observed:
    """Per channel (axis 1), float64, by layer; of a source, by its top.

    power: mean square of the first bottom. variance: mean squared deviation of the first top from
    its mean. peak: the greatest magnitude of the first top in a sample, on average over samples.
    """

    power: Mapping[str, Tensor]
    variance: Mapping[str, Tensor]
    peak: Mapping[str, Tensor]


def observe_channels(
    net: Net,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    powers: Collection[str],
    variances: Collection[str],
    peaks: Collection[str],
) -> Observed:
    """Run the net, and look at the first bottoms of the layers `powers`, and at the first tops of
    the layers `variances` and `peaks`."""
    squares, tops_squares = _Means(_squares), _Means(_squares)
    means, greatest = _Means(_averages), _Means(_peaks)

    def observe(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        spec = node.spec
        if spec.name in powers and bottoms:
            squares.add(spec.name, bottoms[0])
        names = {spec.name: tops[0]} if tops else {}
        if not spec.bottoms:
            names |= dict(zip(spec.tops, tops, strict=True))
        for name, top in names.items():
            if name in variances:
                tops_squares.add(name, top)
                means.add(name, top)
            if name in peaks:
                greatest.add(name, top)

    with torch.no_grad():
        for inputs in batches:
            net.forward(inputs, observer=observe)
    spread = {
        name: (x - means.found(name).square()).clamp_min(0)
        for name, x in tops_squares.all().items()
    }
    return Observed(squares.all(), spread, greatest.all())


@dataclass
class _Means:
    """A quantity of each sample, as a mean over samples. `of`: its sum over the samples of a
    batch, from rows (N, C, values)."""

    of: Callable[[Tensor], Tensor]
    sums: dict[str, Tensor] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, name: str, x: Tensor) -> None:
        if x.dim() < 2:
            return
        more = self.of(x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)).double()
        self.sums[name] = self.sums[name] + more if name in self.sums else more
        self.samples[name] += len(x)

    def found(self, name: str) -> Tensor:
        return self.sums[name] / self.samples[name]

    def all(self) -> dict[str, Tensor]:
        return {name: self.found(name) for name in self.sums}


def _squares(rows: Tensor) -> Tensor:
    return rows.square().mean(2).sum(0)


def _averages(rows: Tensor) -> Tensor:
    return rows.mean(2).sum(0)


def _peaks(rows: Tensor) -> Tensor:
    return rows.abs().amax(2).sum(0)
