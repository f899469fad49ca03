"""Inference passes: a layer and what runs in place behind it, in one go.

The same bits as layer by layer, so that codes do not depend on who looks: each value goes through
the same operations. What is saved is memory, passes over it, and all that is the same for every
pass: what follows from blobs alone is computed when they change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest

import torch
from torch import Tensor

from adaption.net.node import Node
from adaption.net.plan import LayerFormats

__all__ = ["InPlaceChain"]

Step = Callable[[Tensor], Tensor]


@dataclass
class InPlaceChain:
    """A layer whose top is its own, then what runs in place on that."""

    nodes: list[Node]
    _made_of: object = None
    _steps: list[Step] = field(default_factory=list)

    @property
    def bottoms(self) -> Sequence[str]:
        return self.nodes[0].spec.bottoms

    @property
    def top(self) -> str:
        return self.nodes[0].spec.tops[0]

    def can_run(self, xs: Sequence[Tensor]) -> bool:
        return True

    def laid_out(self, xs: Sequence[Tensor]) -> list[Tensor]:
        """The bottoms in the memory layout that the first layer reads."""
        convolver = self.nodes[0].convolver
        if convolver is None or not convolver.takes(xs[0]):
            return list(xs)
        return [x.contiguous(memory_format=torch.channels_last) for x in xs]

    def run(self, xs: Sequence[Tensor]) -> Tensor:
        """The top of the last layer, given the bottoms of the first."""
        (top,) = self.nodes[0].forward(xs, record=False)
        with torch.no_grad():
            made_of = self._stamps(top)
            if made_of != self._made_of:
                self._steps, self._made_of = list(self._prepared(top)), made_of
            for step in self._steps:
                top = step(top)
        return top

    def _stamps(self, top: Tensor) -> object:
        """Equal as long as the steps stay as they are."""
        blobs = [blob.stamp() for node in self.nodes[1:] for blob in node.masters]
        return top.shape, self.nodes[0].runtime.training, blobs

    def _prepared(self, top: Tensor) -> Iterator[Step]:
        """What is done to `top`, one after the other."""
        is_positive = False
        for node, follower in zip_longest(self.nodes[1:], self.nodes[2:]):
            if node.layer.top_is_free:  # batch norm, scale
                yield _in_place(node, top)
                continue
            if not node.layer.is_identity and not is_positive:
                yield torch.relu_
            is_positive = (
                node.layer.is_identity and follower is not None and follower.layer.rectifies()
            )
            if node.formats.activation is not None:
                yield partial(_rounded, node, then_relu=is_positive)
            elif is_positive:
                yield torch.relu_


def _in_place(node: Node, top: Tensor) -> Step:
    """The layer on its own memory, its blobs as they are now."""
    layer = node.layer
    if node.formats == LayerFormats() and len(node.spec.bottoms) == 1:
        blobs = [blob.tensor.detach() for blob in node.masters]
        prepared = layer.prepared(node.runtime, top, *blobs)
        if prepared is not None:
            return prepared

    def run(x: Tensor) -> Tensor:
        (y,) = node.forward([x], record=False, may_overwrite=True)
        return y

    return run


def _rounded(node: Node, x: Tensor, *, then_relu: bool) -> Tensor:
    node.points.round_("activation", x, then_relu=then_relu)
    return x
