"""A weight layer with the affine layers behind it: how much an output counts, where it is shifted.

Batch norm and scale that are not folded are part of the layer's sum. They say how much an error of
each output counts behind them, and their addends take a shift where the layer itself has no bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adaption.graph import NetSpec
from adaption.net.node import Node
from adaption.precision.sites import Wiring

__all__ = ["Sum", "sums_of"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sum:
    """nodes: a weight layer, then the affine layers that follow it alone, statistics fixed.
    ends_rectified: whether ReLU alone reads the result, directly or behind Dropout and the like,
    and no weight layer comes later."""

    nodes: tuple[Node, ...]
    ends_rectified: bool = False

    def slope(self, outputs: int) -> Array:
        """What each output is multiplied by behind the weight layer."""
        made = np.ones(outputs)
        for node in self.nodes[1:]:
            made = made * node.layer.slope_and_shift(blobs_of(node), outputs)[0]
        return made

    def offset(self, outputs: int) -> Array:
        """What each output is where all that the weight layer reads is 0."""
        own = blobs_of(self.nodes[0])[1:]
        made = own[0].reshape(-1).astype(np.float64) if own else np.zeros(outputs)
        for node in self.nodes[1:]:
            slope, shift = node.layer.slope_and_shift(blobs_of(node), outputs)
            made = made * slope + shift
        return made

    def shifted(self, shift: Array) -> tuple[Node, Mapping[int, Array]] | None:
        """The first layer with an addend, and its blobs such that each output of the weight layer
        counts for `shift` more; None where there is no addend."""
        for node in self.nodes:
            blobs = blobs_of(node)
            if node is not self.nodes[0]:
                shift = shift * node.layer.slope_and_shift(blobs, len(shift))[0]
            changed = node.layer.shifted(blobs, shift)
            if changed is not None:
                return node, changed
        return None


def sums_of(spec: NetSpec, nodes: Mapping[str, Node]) -> dict[str, Sum]:
    """The sum of each weight layer of a net.

    Args:
        nodes: of the net, by layer name.
    """
    wiring = Wiring(spec)
    found = {}
    for i, item in enumerate(spec.layers):
        if not wiring[i].is_weight_layer():
            continue
        chain, last = [nodes[item.name]], i
        for behind in wiring.following(i, lambda x: x.is_foldable):
            if wiring[behind].why_not_folded(spec.phase) or not wiring[i].sums_to_channels():
                break
            chain.append(nodes[spec.layers[behind].name])
            last = behind
        ends_rectified = wiring[i].sums_to_channels() and not wiring.reaches_weights(i)
        if ends_rectified:
            ends_rectified = _is_rectified(wiring, last) and len(item.tops) == 1
        found[item.name] = Sum(tuple(chain), ends_rectified)
    return found


def _is_rectified(wiring: Wiring, index: int) -> bool:
    """Whether what a layer makes is read by ReLU alone, and is no result of the net itself."""
    for behind in wiring.following(index, lambda x: x.hands_on() or x.rectifies()):
        if wiring[behind].rectifies():
            return True
        if len(wiring.spec.layers[behind].tops) > 1:
            return False
    return False


def blobs_of(node: Node) -> list[Array]:
    """A layer's blobs in full precision, as float64; the weights of a weight layer stay float32,
    since they can be a hundred million."""
    wide = [blob.tensor.detach() for blob in node.masters]
    first = 1 if node.layer.is_weight_layer() else 0
    return [x.numpy() for x in wide[:first]] + [x.double().numpy() for x in wide[first:]]
