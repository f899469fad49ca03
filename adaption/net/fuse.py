"""Inference passes: a layer and what runs in place behind it, in one operation.

Where nobody looks at the values in between, a convolution of a float net takes batch norm and scale
into its filters and bias (in float64, rounded once), and ReLU into the same pass over memory; the
filters are packed once for oneDNN. Results differ from the layers run one by one as float32 sums in
another order do. In a net that rounds they do not differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from adaption.layers.batch_norm import BatchNorm, statistics
from adaption.layers.convolution import Convolution
from adaption.layers.relu import ReLU
from adaption.layers.scale import Scale
from adaption.net.as_one import AsOne
from adaption.net.convolver import Convolver
from adaption.net.in_place_chain import InPlaceChain
from adaption.net.node import Node
from adaption.net.plan import LayerFormats

__all__ = ["Chain", "find_chains"]


@dataclass
class Chain(AsOne):
    """A convolution, then at most one batch norm, one scale and one ReLU, all in place."""

    convolver: Convolver
    _stamps: list[object] = field(default_factory=list)  # of all parameters
    _is_finite: bool = True

    @property
    def has_relu(self) -> bool:
        return isinstance(self.nodes[-1].layer, ReLU)

    def can_run(self, xs: Sequence[Tensor]) -> bool:
        """False where a numpy view of a parameter is out, so that it may change unseen, and where
        one holds NaN or infinity: folded, or before oneDNN's ReLU, NaN would not come through."""
        if not self.convolver.takes(xs[0]):
            return False
        if any(blob.is_exposed for node in self.nodes for blob in node.blobs):
            return False
        masters = [blob for node in self.nodes for blob in node.masters]
        stamps = [blob.stamp() for blob in masters]
        if stamps != self._stamps:
            self._is_finite = all(bool(blob.tensor.isfinite().all()) for blob in masters)
            self._stamps = stamps
        return self._is_finite

    def laid_out(self, xs: Sequence[Tensor]) -> list[Tensor]:
        """The bottoms in the memory layout that the convolution reads."""
        return [x.contiguous(memory_format=torch.channels_last) for x in xs]

    @property
    def before_relu(self) -> Node:
        """The last layer but for a ReLU at the end: the one whose top is the whole sum."""
        return self.nodes[-2] if self.has_relu else self.nodes[-1]

    def run(self, xs: Sequence[Tensor], *, relu: bool = True) -> Tensor:
        """The top of the last layer, given the bottoms of the first; `relu` False: before ReLU."""
        return self.convolver.run(xs[0], self._stamps, self._folded, relu=relu and self.has_relu)

    def _folded(self) -> tuple[Tensor, Tensor | None]:
        """Filters and bias of the convolution with batch norm and scale folded in."""
        blobs = [blob.tensor for blob in self.nodes[0].masters]
        weight, bias = blobs[0].detach(), blobs[1].detach() if len(blobs) > 1 else None
        affine = [n for n in self.nodes[1:] if isinstance(n.layer, BatchNorm | Scale)]
        if not affine:
            return weight, bias
        slope = torch.ones(weight.shape[0], dtype=torch.float64)
        shift = torch.zeros_like(slope) if bias is None else bias.double()
        for node in affine:
            values = [b.tensor.detach().double() for b in node.masters]
            if isinstance(node.layer, BatchNorm):
                mean, variance, eps = statistics(values, node.layer.eps)
                a = (variance + eps).rsqrt()
                slope, shift = slope * a, (shift - mean) * a
                if node.layer.has_scale_bias:
                    slope, shift = slope * values[3], shift * values[3] + values[4]
            else:
                slope, shift = slope * values[0], shift * values[0]
                if len(values) > 1:
                    shift = shift + values[1]
        folded = weight.double() * slope.view(-1, 1, 1, 1)
        return folded.float(), shift.float()


def find_chains(nodes: Sequence[Node]) -> dict[int, Chain | InPlaceChain]:
    """The chains of a net, by the index of their first layer.

    Where a sum in another order meets a rounding tie a code flips, and whether somebody looks at
    the values in between must not decide that. So in a net in which anything is rounded nothing is
    folded, and every convolution has one algorithm for all passes.
    """
    if any(node.formats != LayerFormats() for node in nodes):
        for node in nodes:
            if isinstance(node.layer, Convolution) and _can_start(node):
                node.convolver = Convolver(node.layer)
        return _in_place_chains(nodes, {})
    found: dict[int, Chain] = {}
    for i, node in enumerate(nodes):
        if not _can_start(node):
            continue
        chain = [node]
        for follower in nodes[i + 1 :]:
            if not _is_in_place_on(follower, node.spec.tops[0]) or not _fits(follower, chain):
                break
            chain.append(follower)
            if isinstance(follower.layer, ReLU):
                break
        assert isinstance(node.layer, Convolution)
        found[i] = Chain(chain, Convolver(node.layer))
    return _in_place_chains(nodes, found)


def _in_place_chains(
    nodes: Sequence[Node], folded: Mapping[int, Chain]
) -> dict[int, Chain | InPlaceChain]:
    """`folded`, and the chains of the layers that are in none of those."""
    found: dict[int, Chain | InPlaceChain] = {**folded}
    behind = 0  # index of the first layer behind the last chain
    for i, node in enumerate(nodes):
        if i in found:
            behind = i + len(found[i].nodes)
        if i < behind or not node.layer.top_is_free or len(node.spec.tops) != 1:
            continue
        chain = [node]
        for follower in nodes[i + 1 :]:
            if not _is_in_place_on(follower, node.spec.tops[0]) or not _is_in_memory(follower):
                break
            chain.append(follower)
        if len(chain) > 1:
            found[i] = InPlaceChain(chain)
            behind = i + len(chain)
    return found


def _is_in_memory(node: Node) -> bool:
    if node.formats.bottom is not None:  # its view of the bottom is other memory
        return False
    layer = node.layer
    return layer.is_identity or layer.top_is_free or layer.rectifies()


def _can_start(node: Node) -> bool:
    layer = node.layer
    return (
        type(layer) is Convolution
        and len(node.spec.bottoms) == 1
        and layer.axis == 1
        and len(node.masters[0].shape) == 4
        and layer.geometry(4).is_even
    )


def _is_in_place_on(node: Node, blob: str) -> bool:
    return node.spec.bottoms == (blob,) and node.spec.tops == (blob,)


def _fits(node: Node, chain: list[Node]) -> bool:
    """Whether a layer can join: one slope and shift per channel, each kind of layer once."""
    layer = node.layer
    if any(isinstance(n.layer, type(layer)) for n in chain):
        return False
    if isinstance(layer, ReLU):
        return layer.rectifies()
    channels = chain[0].masters[0].shape[0]
    if isinstance(layer, BatchNorm):
        training = node.runtime.training if layer.use_global_stats is None else False
        return not training and layer.use_global_stats is not False
    if isinstance(layer, Scale):
        return layer.axis == 1 and node.masters[0].shape == (channels,)
    return False
