"""Which layers of a net a walk has to run, and how long their blobs are needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod

from adaption.net.node import Node

__all__ = ["Step", "bytes_held", "steps_to"]


@dataclass(frozen=True)
class Step:
    """One layer of a walk.

    point: name of the activation point that rounds its first top; "" where none does.
    held: blobs that somebody still reads behind it, and results that nobody reads.
    """

    node: Node
    point: str
    held: frozenset[str]


def steps_to(
    nodes: Sequence[Node], weights: Collection[str], points: Mapping[str, str]
) -> list[Step]:
    """The layers that weight layers and rounded results depend on, in order.

    Args:
        nodes: of the net, Split layers included.
        weights: names of the weight layers that are wanted.
        points: by place, the name of the point that rounds there; a place is the name of a layer,
            or of an input blob.
    """
    needed: set[str] = set()
    made: list[Step] = []
    for node in reversed(nodes):
        spec = node.spec
        own = [spec.name, *(spec.tops if not spec.bottoms else ())]
        point = next((points[name] for name in own if name in points), "")
        if not (point or spec.name in weights or needed.intersection(spec.tops)):
            continue
        made.append(Step(node, point, frozenset(needed)))
        if not spec.is_input:  # input blobs are there from the start
            needed -= set(spec.tops)
        needed |= set(spec.bottoms)
    return _keeping_ends(made[::-1])


def _keeping_ends(steps: Sequence[Step]) -> list[Step]:
    """The steps, with results that no step reads held to the last."""
    ends: frozenset[str] = frozenset()
    made = []
    for step in steps:
        ends -= set(step.node.spec.tops)
        made.append(replace(step, held=step.held | ends))
        if not step.held.intersection(step.node.spec.tops):
            ends |= set(step.node.spec.tops)
    return made


def bytes_held(steps: Sequence[Step], shapes: Mapping[str, Sequence[int]]) -> list[int]:
    """Per step the most memory that blobs of one net take at once, from that step to the last.

    A blob is given up piece by piece while the layer that reads it last runs, so that bottoms and
    tops are not there at once.
    """

    def size(names: Collection[str]) -> int:
        return sum(4 * prod(shapes[name]) for name in names)

    own = [size(step.held | set(step.node.spec.tops)) for step in steps]
    return list(accumulate(reversed(own), max))[::-1]
