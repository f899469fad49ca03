"""activation_peak: the blobs of a net that are needed at once, in the bits of what they hold.

A runtime that computes layer by layer has the bottoms and tops of a layer in memory, and whatever
later layers still read. A layer that works in place, hands its bottom on, or changes each value of
a blob that nothing else reads, needs no memory of its own; its blob counts with the bits of what
stands there in the end: a convolution whose result is rounded to 8 bits leaves 8 bits, whatever its
sums took. Runtimes that fuse more layers, or tile, need less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from adaption.errors import AdaptionError
from adaption.graph import NetSpec
from adaption.later import torch
from adaption.layers.shapes import LayerShapes
from adaption.net.plan import layer_formats
from adaption.precision.cost_model import FLOAT_BITS
from adaption.precision.cost_records import bits_at, per_image_shapes

__all__ = ["Peak", "activation_peak"]


@dataclass(frozen=True)
class Peak:
    """The most memory that blobs of one sample take at once, and the layer that runs then."""

    bits: int
    layer: str


@dataclass
class _Buffer:
    count: int
    bits: int
    first: int
    last: int


def activation_peak(
    spec: NetSpec,
    inputs: Mapping[str, Sequence[int]] | None = None,
    *,
    as_float: bool = False,
) -> Peak:
    """The peak of a net for one image, with the bits in force.

    Args:
        inputs: shapes of blobs that data layers make, where data is not at hand.
        as_float: count 32 bits for every value.
    Raises: errors of shapes and formats, with layer.
    """
    shapes, batch = per_image_shapes(spec, {k: tuple(v) for k, v in (inputs or {}).items()})
    buffers: list[_Buffer] = []
    holding: dict[str, _Buffer] = {}  # by blob, as it stands now
    readers = Counter(name for x in shapes for name in dict.fromkeys(x.spec.bottoms))
    for i, x in enumerate(shapes):
        bits = FLOAT_BITS if as_float else _bits_after(x, holding)
        for name in x.spec.bottoms:
            holding[name].last = i
        shared = holding[x.spec.bottoms[0]] if _shares_memory(x, readers) else None
        for name, shape in zip(x.spec.tops, x.tops, strict=True):
            if shared is None:
                buffers.append(_Buffer(-(-prod(shape) // batch), bits, i, i))
                holding[name] = buffers[-1]
            else:
                shared.bits = bits
                holding[name] = shared
    ends = {top for x in shapes for top in x.spec.tops if not readers[top]}
    for name in ends:
        holding[name].last = len(shapes)
    alive = [
        sum(b.count * b.bits for b in buffers if b.first <= i <= b.last) for i in range(len(shapes))
    ]
    at = max(range(len(alive)), key=alive.__getitem__, default=None)
    return Peak(0, "") if at is None else Peak(alive[at], shapes[at].spec.name)


def _bits_after(x: LayerShapes, holding: Mapping[str, _Buffer]) -> int:
    """Bits of a value that a layer gives."""
    try:
        own = bits_at(layer_formats(x.spec), "activation")
    except AdaptionError as error:
        raise error.at(line=x.spec.line, layer=x.spec.name, layer_type=x.spec.type) from None
    if own is not None:
        return own
    if x.spec.bottoms and (x.layer.keeps_codes() or x.layer.is_identity):
        return max(holding[name].bits for name in x.spec.bottoms)
    return FLOAT_BITS


def _shares_memory(x: LayerShapes, readers: Mapping[str, int]) -> bool:
    """Whether the tops lie where the first bottom lies."""
    if not x.spec.bottoms or not x.spec.tops:
        return False
    if x.spec.tops[0] == x.spec.bottoms[0] or x.layer.hands_on():
        return True
    is_one = len(x.spec.bottoms) == len(x.spec.tops) == 1
    if not is_one or prod(x.tops[0]) != prod(x.bottoms[0]):
        return False
    if x.layer.rearranges:
        return _keeps_order(x)
    is_by_value = x.layer.is_identity or x.layer.is_pointwise
    return is_by_value and readers[x.spec.bottoms[0]] == 1


def _keeps_order(x: LayerShapes) -> bool:
    """Whether a layer only gives its bottom another shape; found by letting it move places."""
    places = torch.arange(prod(x.bottoms[0])).view(x.bottoms[0])
    moved = x.layer.forward(places)
    return isinstance(moved, torch.Tensor) and torch.equal(moved.flatten(), places.flatten())
