"""Cross-layer equalization: the same float net, with channels that fill their tensors' ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaption.net import Net, Point
from adaption.numerics import FixedPoint
from adaption.precision.refining.channels import FIXED, Channels, Ports, channels_of
from adaption.precision.refining.factors import Problem, Result, WeightLayer, find_factors
from adaption.precision.refining.observed import Observed, observe_channels
from adaption.precision.refining.sums import Sum, blobs_of

__all__ = ["Equalized", "equalize"]

Array = npt.NDArray[np.float64]
Weights = npt.NDArray[Any]  # float32 or float64
TINY = 1e-30
PIECE = 1 << 22  # weights that are held in float64 at once
MARGIN = 0.05  # octaves kept from the least factor that a layer can take up


@dataclass(frozen=True)
class Equalized:
    """blobs: by layer, of the same net with factors for its channels. channels: how many have one
    of their own. octaves: the greatest, up or down."""

    blobs: dict[str, list[Tensor]]
    channels: int
    octaves: float


def equalize(
    net: Net,
    formats: Mapping[Point, FixedPoint],
    places: Mapping[str, str],
    groups: Sequence[Collection[str]],
    sums: Mapping[str, Sum],
    batches: Iterable[Mapping[str, Tensor]],
    shared: Collection[str] = (),
) -> Equalized:
    """Find factors for the channels of a net, and the weights that take them up.

    Args:
        net: float, phase TEST; it keeps its weights.
        formats: word lengths by weight and activation point.
        places: by the name of an activation point, the layer or input blob whose top it rounds.
        groups: names of activation points that get one format, each a set.
        sums: by weight layer, its node with the affine ones behind it.
        batches: input blobs of calibration samples.
        shared: layers whose parameters others use, too.
    """
    channels = channels_of(net, shared)
    ends = {of_sum.nodes[-1].spec.name for of_sum in sums.values()}
    seen = observe_channels(
        net, batches, powers=sums, variances=ends, peaks=frozenset(places.values())
    )
    stated = _Statement(channels, formats, sums, seen)
    octaves = find_factors(stated.problem(places, groups))
    factors = torch.exp2(octaves).numpy()
    made = {}
    for ports in channels.ports:
        own = _with_factors(ports, factors[ports.below], factors[ports.above])
        if own is not None:
            made[ports.node.spec.name] = own
    return Equalized(made, channels.count - 1, float(octaves.abs().max()))


def _with_factors(ports: Ports, below: Array, above: Array) -> list[Tensor] | None:
    """The blobs of a layer that take up factors; None where all are 1."""
    if (below == 1).all() and (above == 1).all():
        return None
    layer, blobs = ports.node.layer, blobs_of(ports.node)
    if layer.is_weight_layer():
        made = np.empty(_by_channel(ports, blobs[0]).shape, np.float32)
        ends = above.reshape(ports.groups, -1, 1, 1), below.reshape(ports.groups, 1, -1, 1)
        for part, apart in _pieces(ports, blobs[0]):
            made[:, part] = apart * (ends[0][:, part] / ends[1])
        rows: Weights = made.reshape(len(above), -1)
        changed: dict[int, Weights] = {0: layer.from_output(rows, blobs[0].shape)}
        changed |= {i: blob * above for i, blob in enumerate(blobs) if i}
    else:
        changed = dict(layer.with_factors(blobs, below, above))
    tensors = [blob.tensor.detach() for blob in ports.node.masters]
    return [
        torch.from_numpy(changed[i]).float() if i in changed else x for i, x in enumerate(tensors)
    ]


def _by_channel(ports: Ports, weight: Weights) -> Weights:
    """Weights as (groups, outputs, input channels, weights of one output and one channel)."""
    rows = ports.node.layer.by_output(weight)
    per_group = len(ports.below) // ports.groups
    return rows.reshape(ports.groups, len(rows) // ports.groups, per_group, -1)


def _pieces(ports: Ports, weight: Weights) -> Iterator[tuple[slice, Array]]:
    """The weights as `_by_channel` has them, some outputs at a time, in float64."""
    apart = _by_channel(ports, weight)
    step = max(1, PIECE * apart.shape[1] // max(1, apart.size))
    for start in range(0, apart.shape[1], step):
        part = slice(start, start + step)
        yield part, np.ascontiguousarray(apart[:, part], np.float64)


@dataclass(frozen=True)
class _Statement:
    """A net as a problem of factors."""

    channels: Channels
    formats: Mapping[Point, FixedPoint]
    sums: Mapping[str, Sum]
    seen: Observed

    def problem(self, places: Mapping[str, str], groups: Sequence[Collection[str]]) -> Problem:
        classes = self.channels.count
        weights = [p for p in self.channels.ports if p.node.layer.is_weight_layer()]
        counted = np.zeros(classes)  # how much the squared error of a channel counts
        layers = []
        for ports in reversed(weights):
            layers.append(self._layer(ports, counted))
        return Problem(
            classes,
            layers,
            self._results(places, groups),
            torch.from_numpy(self._least()),
            _bundles(self.channels),
        )

    def _layer(self, ports: Ports, counted: Array) -> WeightLayer:
        """One layer; adds to `counted` what its inputs count."""
        name = ports.node.spec.name
        weight = blobs_of(ports.node)[0]
        end = self.sums[name].nodes[-1].spec.name
        spread = max(float(self.seen.variance[end].sum()), TINY)
        ids = self.channels.tops[end]
        of_end = np.where((ids != FIXED) & (counted[ids] > 0), counted[ids], 1 / spread)
        slope = self.sums[name].slope(len(ids)) ** 2
        counts = slope * of_end
        *sizes, taps = _by_channel(ports, weight).shape
        grouped = (ports.groups, -1)
        peaks, squares = np.empty(sizes), np.zeros((2, ports.groups, sizes[-1]))
        for part, apart in _pieces(ports, weight):
            peaks[:, part] = np.abs(apart).max(3)
            of_part = (apart**2).sum(3)
            for total, weighting in zip(squares, (slope, counts), strict=True):
                total += np.einsum("gr,grj->gj", weighting.reshape(grouped)[:, part], of_part)
        np.add.at(counted, ports.below, squares[0].ravel() / spread)
        power = self.seen.power[name].numpy() * taps
        form = self.formats.get(Point(name, "weight"))
        return WeightLayer(
            below=torch.from_numpy(ports.below.reshape(grouped)),
            above=torch.from_numpy(ports.above.reshape(grouped)),
            peaks=torch.from_numpy(np.log2(peaks.clip(TINY))),
            squares=torch.from_numpy(squares[1]),
            power=torch.from_numpy(power.reshape(grouped)),
            counts=torch.from_numpy(counts.reshape(grouped)),
            bits=None if form is None else form.word_length - form.is_signed,
        )

    def _results(
        self, places: Mapping[str, str], groups: Sequence[Collection[str]]
    ) -> list[Result]:
        found = []
        for number, (name, place) in enumerate(places.items()):
            form = self.formats.get(Point(name, "activation"))
            ids = self.channels.tops.get(place, self.channels.blobs.get(place))
            peaks = self.seen.peak.get(place)
            if form is None or peaks is None or ids is None or len(ids) != len(peaks):
                continue
            own = next((-1 - i for i, group in enumerate(groups) if name in group), number)
            bits = form.word_length - form.is_signed
            reach = peaks.clamp_min(TINY).log2()
            found.append(Result(torch.from_numpy(ids), reach, bits, own))
        return found

    def _least(self) -> Array:
        made = np.full(self.channels.count, -np.inf)
        for ports in self.channels.ports:
            least = ports.node.layer.least_factors(blobs_of(ports.node))
            bound = np.log2(np.broadcast_to(least, ports.below.shape).clip(TINY)) + MARGIN
            np.maximum.at(made, ports.below, bound)
        return made


def _bundles(channels: Channels) -> list[Tensor]:
    """Classes that one layer makes, or several whose classes overlap, each set once."""
    found: list[set[int]] = []
    for ports in channels.ports:
        own = set(map(int, ports.above)) - {FIXED}
        if own:
            meeting = [one for one in found if one & own]
            found = [one for one in found if not one & own] + [own.union(*meeting)]
    return [torch.tensor(sorted(one)) for one in found]
