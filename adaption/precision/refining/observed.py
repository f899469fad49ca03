"""What calibration data says of a float net's channels: their power, and how far they reach."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adaption.net import Net
from adaption.net.node import Node

__all__ = ["ChannelStats", "observe_channels"]


@dataclass
class ChannelStats:
    """Sums over samples, per channel (axis 1), float64.

    squares: mean square of a sample. means: mean of a sample. peaks: greatest magnitude of one.
    """

    squares: Tensor
    means: Tensor
    peaks: Tensor
    samples: int

    @property
    def power(self) -> Tensor:
        """Mean square."""
        return self.squares / self.samples

    @property
    def variance(self) -> Tensor:
        """Mean squared deviation from the mean."""
        return (self.power - (self.means / self.samples).square()).clamp_min(0)

    @property
    def peak(self) -> Tensor:
        """The greatest magnitude in a sample, on average over samples."""
        return self.peaks / self.samples


def observe_channels(
    net: Net, batches: Iterable[Mapping[str, Tensor]], layers: Collection[str]
) -> tuple[dict[str, ChannelStats], dict[str, ChannelStats]]:
    """Run the net, and look at the bottoms and tops of some layers.

    Args:
        layers: names; of a source, its tops count by their own names.
    Returns: of first bottoms, by layer; of first tops, by layer, or by blob of a source.
    """
    below: dict[str, ChannelStats] = {}
    above: dict[str, ChannelStats] = {}

    def observe(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        if not node.spec.bottoms:
            for name, top in zip(node.spec.tops, tops, strict=True):
                _add(above, name, top)
        if node.spec.name in layers:
            _add(above, node.spec.name, tops[0])
            if bottoms:
                _add(below, node.spec.name, bottoms[0])

    with torch.no_grad():
        for inputs in batches:
            net.forward(inputs, observer=observe)
    return below, above


def _add(found: dict[str, ChannelStats], name: str, x: Tensor) -> None:
    if x.dim() < 2:
        return
    rows = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
    squares = rows.square().mean(2).sum(0).double()
    means, peaks = rows.mean(2).sum(0).double(), rows.abs().amax(2).sum(0).double()
    held = found.get(name)
    if held is None:
        found[name] = ChannelStats(squares, means, peaks, len(x))
        return
    held.squares += squares
    held.means += means
    held.peaks += peaks
    held.samples += len(x)
