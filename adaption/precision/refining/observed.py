"""What calibration data says of a float net's channels: their power, and how far they reach."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adaption.net import Net
from adaption.net.node import Node

__all__ = ["ChannelStats", "observe_channels"]


@dataclass(frozen=True)
class ChannelStats:
    """Sums over samples, per channel (axis 1), float64.

    squares: mean square of a sample. means: mean of a sample. peaks: greatest magnitude of one.
    """

    squares: Tensor
    means: Tensor
    peaks: Tensor
    samples: int

    def with_more(self, other: ChannelStats) -> ChannelStats:
        """Of the samples of both."""
        return ChannelStats(
            self.squares + other.squares,
            self.means + other.means,
            self.peaks + other.peaks,
            self.samples + other.samples,
        )

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
    known: dict[str, ChannelStats | None] = {}  # by blob, of this batch, until it is written again

    def stats(name: str, x: Tensor) -> ChannelStats | None:
        if name not in known:
            known[name] = _stats(x)
        return known[name]

    def observe(node: Node, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        spec = node.spec
        if spec.name in layers and bottoms:
            _add(below, spec.name, stats(spec.bottoms[0], bottoms[0]))
        for name in spec.tops:
            known.pop(name, None)
        if not spec.bottoms:
            for name, top in zip(spec.tops, tops, strict=True):
                _add(above, name, stats(name, top))
        if spec.name in layers:
            _add(above, spec.name, stats(spec.tops[0], tops[0]))

    with torch.no_grad():
        for inputs in batches:
            known.clear()
            net.forward(inputs, observer=observe)
    return below, above


def _stats(x: Tensor) -> ChannelStats | None:
    """Of the samples of a batch; None where they have no channels."""
    if x.dim() < 2:
        return None
    rows = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
    squares = rows.square().mean(2).sum(0).double()
    means, peaks = rows.mean(2).sum(0).double(), rows.abs().amax(2).sum(0).double()
    return ChannelStats(squares, means, peaks, len(x))


def _add(found: dict[str, ChannelStats], name: str, more: ChannelStats | None) -> None:
    if more is not None:
        held = found.get(name)
        found[name] = more if held is None else held.with_more(more)
