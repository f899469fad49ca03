"""Which channels of a net can come times a factor of their own without changing what it computes.

A weight layer makes channels; each reader of a channel can divide its weights for it by what the
layer multiplies them with, as long as all that lies in between is homogeneous: ReLU, pooling, sums
(whose bottoms then share a factor), concatenations. What a layer does to channels it is asked: it
is given channels times factors, and its tops show which factor each of them comes times.
Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
2019 (arXiv 1906.04721), section 4.1, from pairs of layers to any graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adaption.net import Net
from adaption.net.node import Node

__all__ = ["Channels", "Ports", "channels_of"]

Ids = npt.NDArray[np.int64]
FIXED = 0  # of channels that keep their scale


@dataclass(frozen=True)
class Ports:
    """A layer that can take up factors, and the classes of its channels.

    below, above: (channels,) of its bottom and its top. groups: of a weight layer.
    """

    node: Node
    below: Ids
    above: Ids
    groups: int = 1


@dataclass
class Channels:
    """Classes of channels that have one factor in common, by number; class 0 has the factor 1.

    blobs: by blob, as its last layer in place leaves it, the class of each channel.
    tops: the same by layer, for its first top.
    ports: weight layers and affine layers, in order.
    """

    blobs: dict[str, Ids] = field(default_factory=dict)
    tops: dict[str, Ids] = field(default_factory=dict)
    ports: list[Ports] = field(default_factory=list)
    count: int = 1


def channels_of(net: Net, shared: Collection[str]) -> Channels:
    """The classes of a net's channels.

    Args:
        net: float, phase TEST, at the shape that is to be asked for; one sample is enough.
        shared: layers whose parameters others use, too.
    """
    builder = _Builder(shared)
    for node in net.nodes:
        shapes = [net.blobs[name].shape for name in node.spec.tops]
        builder.take(node, [net.blobs[name].shape for name in node.spec.bottoms], shapes)
    for name in net.outputs:
        builder.fix(builder.made.blobs.get(name))
    return builder.settled()


class _Builder:
    """Goes through the layers; classes that meet become one."""

    def __init__(self, shared: Collection[str]) -> None:
        self.shared = shared
        self.made = Channels()
        self.parents = [FIXED]

    def take(
        self, node: Node, bottoms: Sequence[Sequence[int]], tops: Sequence[Sequence[int]]
    ) -> None:
        below = [self.made.blobs[name] for name in node.spec.bottoms]
        above = self._above(node, below, bottoms, tops)
        self.made.blobs.update(zip(node.spec.tops, above, strict=True))
        if above:
            self.made.tops[node.spec.name] = above[0]

    def _above(
        self,
        node: Node,
        below: list[Ids],
        bottoms: Sequence[Sequence[int]],
        tops: Sequence[Sequence[int]],
    ) -> list[Ids]:
        layer, spec = node.layer, node.spec
        if spec.is_split or layer.hands_on() or (layer.hands_scale_on() and _keeps_values(node)):
            return [below[0]] * len(spec.tops)
        is_own = spec.name not in self.shared and len(spec.bottoms) == 1
        if is_own and layer.is_weight_layer() and layer.sums_to_channels() and len(tops[0]) > 1:
            above = self._new(tops[0][1])
            picks = torch.zeros(1, dtype=torch.int64)
            groups = len(layer.columns(torch.zeros(*bottoms[0]), picks))
            self.made.ports.append(Ports(node, below[0], above, groups))
            return [above]
        if is_own and layer.channel_factors and not layer.why_not_folded("TEST"):
            above = below[0]
            if layer.channel_factors == "free":
                above = self._new(len(below[0]))
            elif layer.channel_factors == "ended":
                above = np.full_like(below[0], FIXED)
            self.made.ports.append(Ports(node, below[0], above))
            return [above]
        if bottoms and layer.hands_scale_on() and not layer.no_gradient and not layer.takes_blobs:
            found = self._asked(node, below, bottoms, tops)
            if found is not None:
                return found
        for ids in below:
            self.fix(ids)
        return [np.full(_width(shape), FIXED) for shape in tops]

    def _asked(
        self,
        node: Node,
        below: list[Ids],
        bottoms: Sequence[Sequence[int]],
        tops: Sequence[Sequence[int]],
    ) -> list[Ids] | None:
        """The classes of the tops, as the layer shows them; None where it mixes channels."""
        if any(len(shape) < 2 for shape in bottoms):
            return None
        sources = [np.arange(_width(shape)) for shape in bottoms]
        apart = [ids + offset for ids, offset in zip(sources, _offsets(bottoms), strict=True)]
        found = _mapped(node, bottoms, apart, tops)
        if found is not None:
            every = np.concatenate(below)
            return [every[ids] for ids in found]
        if len({_width(shape) for shape in bottoms}) > 1:
            return None
        found = _mapped(node, bottoms, sources, tops)
        if found is None:
            return None
        for ids in below[1:]:
            for one, other in zip(below[0], ids, strict=True):
                self._unite(int(one), int(other))
        return [below[0][ids] for ids in found]

    # -- classes -----------------------------------------------------------------------------

    def fix(self, ids: Ids | None) -> None:
        """Channels that keep their scale."""
        for one in np.unique(ids) if ids is not None else ():
            self._unite(FIXED, int(one))

    def _new(self, count: int) -> Ids:
        first = len(self.parents)
        self.parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _root(self, one: int) -> int:
        while self.parents[one] != one:
            self.parents[one] = self.parents[self.parents[one]]
            one = self.parents[one]
        return one

    def _unite(self, one: int, other: int) -> None:
        low, high = sorted((self._root(one), self._root(other)))
        self.parents[high] = low  # the class 0 stays the root of its own

    def settled(self) -> Channels:
        """All classes numbered anew, those that became one with one number."""
        roots = np.array([self._root(i) for i in range(len(self.parents))])
        kept, numbers = np.unique(roots, return_inverse=True)
        made = self.made
        return Channels(
            {name: numbers[ids] for name, ids in made.blobs.items()},
            {name: numbers[ids] for name, ids in made.tops.items()},
            [replace(p, below=numbers[p.below], above=numbers[p.above]) for p in made.ports],
            len(kept),
        )


def _keeps_values(node: Node) -> bool:
    """Whether each value of the top is made of the one in its place."""
    return len(node.spec.bottoms) == 1 and node.layer.kind in ("activation", "rounding")


def _width(shape: Sequence[int]) -> int:
    return shape[1] if len(shape) > 1 else 1


def _offsets(shapes: Sequence[Sequence[int]]) -> list[int]:
    widths = [_width(shape) for shape in shapes]
    return [sum(widths[:i]) for i in range(len(widths))]


def _mapped(
    node: Node,
    bottoms: Sequence[Sequence[int]],
    numbers: Sequence[Ids],
    tops: Sequence[Sequence[int]],
) -> list[Ids] | None:
    """Which of the numbered bottom channels each top channel is made of, as factors show.

    Args:
        numbers: of the channels of each bottom; equal ones come times one factor.
    """
    generator = torch.Generator().manual_seed(0)
    count = 1 + max(int(ids.max()) for ids in numbers)
    factors = torch.rand(count, generator=generator, dtype=torch.float64) + 0.5
    plain = [torch.rand(*s, generator=generator, dtype=torch.float64) + 0.5 for s in bottoms]
    scaled = [
        x * factors[torch.from_numpy(ids)].view(-1, *[1] * (x.dim() - 2))
        for x, ids in zip(plain, numbers, strict=True)
    ]
    order = factors.argsort()
    found = []
    try:
        results = zip(_tops(node, plain), _tops(node, scaled), strict=True)
        for before, after in results:
            if before.dim() < 2:
                return None
            ratio = (after / before).transpose(0, 1).flatten(1)
            at = torch.searchsorted(factors[order], ratio[:, 0] * (1 - 1e-9))
            own = order[at.clamp_max(count - 1)]
            if not torch.allclose(ratio, factors[own].unsqueeze(1), rtol=1e-9, atol=0):
                return None
            found.append(own.numpy())
    except RuntimeError:  # a layer that computes in float32 alone
        return None
    return found if [len(ids) for ids in found] == [_width(shape) for shape in tops] else None


def _tops(node: Node, bottoms: Sequence[Tensor]) -> Iterator[Tensor]:
    blobs = [blob.tensor.detach().double() for blob in node.masters]
    if node.layer.same_tops_as_bottoms:
        for x in bottoms:
            yield node.layer.run(node.runtime, x, *blobs)
        return
    made = node.layer.run(node.runtime, *bottoms, *blobs)
    yield from made if isinstance(made, tuple | list) else [made]
