"""Inference passes: a layer and what runs in place behind it, in one go.

The same bits as layer by layer, so that codes do not depend on who looks: each value goes through
the same operations. What is saved is memory, passes over it, and all that is the same for every
pass: what follows from blobs alone is computed when they change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from adaption.net.as_one import AsOne
from adaption.net.node import Node
from adaption.net.plan import LayerFormats

__all__ = ["InPlaceChain"]

Step = Callable[[Tensor], Tensor]


@dataclass
class InPlaceChain(AsOne):
    """A layer whose top is its own, then what runs in place on that."""

    _stamps: object = None  # of all blobs behind the last pass
    _pack: Tensor | None = None  # of a convolution that comes first
    _size: tuple[int, ...] = ()  # of its bottom
    _steps: list[Step] = field(default_factory=list)
    _shape: tuple[int, ...] = ()  # of the top that the steps are for

    def __getstate__(self) -> dict[str, Any]:
        """For a copy, which prepares its own: steps hold the blobs of this net."""
        return vars(self) | {"_stamps": None, "_pack": None, "_steps": []}

    @cached_property
    def _is_steady(self) -> bool:
        """Whether the first layer is a convolution that only its blobs can change."""
        head = self.nodes[0]
        formats = [head.format_of(i) for i in range(len(head.masters))]
        is_random = any(fmt is not None and fmt.is_random for fmt in formats)
        return head.convolver is not None and head.formats.bottom is None and not is_random

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
        with torch.no_grad():
            is_as_before = self._stamps == self._stamps_now()
            top = self._again(xs[0]) if is_as_before else None
            if top is None:
                (top,) = self.nodes[0].forward(xs, record=False)
                self._pack, self._size = self._pack_now, xs[0].shape
            if not is_as_before or top.shape != self._shape:
                self._steps, self._shape = list(self._prepared(top)), top.shape
            for step in self._steps:
                top = step(top)
            if not is_as_before:
                self._stamps = self._stamps_now()
        return top

    def _again(self, x: Tensor) -> Tensor | None:
        """The first layer's top, where all but the values of `x` is as in the last pass."""
        head, convolver = self.nodes[0], self.nodes[0].convolver
        is_packed = self._pack is not None and self._pack_now is self._pack
        if not (self._is_steady and is_packed and x.shape == self._size):
            return None
        assert convolver is not None
        if not convolver.takes(x):
            return None
        top = convolver.again(x)
        if head.formats.activation is not None:
            head.points.round_("activation", top)
        return top

    @property
    def _pack_now(self) -> Tensor | None:
        convolver = self.nodes[0].convolver
        return None if convolver is None else convolver.pack

    def _stamps_now(self) -> object:
        """Equal as long as the blobs are."""
        stamps = [blob.stamp_at_rest() for node in self.nodes for blob in node.blobs]
        return self.nodes[0].runtime.training, stamps

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
    if node.formats == LayerFormats():
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
