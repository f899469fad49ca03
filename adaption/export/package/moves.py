"""What a layer that only moves values moves where, for the C program."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from adaption.exact.program import Apply
from adaption.layers.base import Shape

__all__ = ["Move", "moves_of"]

Move = tuple[int, int, int, int]  # bottom, place there, place in the top, count


def moves_of(shapes: Sequence[Shape], op: Apply) -> list[list[Move] | None]:
    """What a layer moves where, found by letting it move the places themselves; None where a top
    is not made of its bottoms' values. `shapes` are those of its bottoms."""
    starts = np.cumsum([0, *(prod(s) for s in shapes)])
    places = [
        torch.arange(start, start + prod(s)).view(s)
        for s, start in zip(shapes, starts[:-1], strict=True)
    ]
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randperm(int(starts[-1]), generator=generator)
    with torch.no_grad():
        made = _tuple(op.form.forward(*places))
        again = _tuple(op.form.forward(*(mixed[p] for p in places)))
    return [
        _ranges(y[0].flatten().numpy(), starts, shapes) if torch.equal(mixed[y], z) else None
        for y, z in zip(made, again, strict=True)
    ]


def _ranges(
    places: np.ndarray[Any, Any], starts: np.ndarray[Any, Any], shapes: Sequence[Shape]
) -> list[Move] | None:
    """Places of one sample as ranges; None when they reach into other samples."""
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    moves: list[Move] = []
    for begin, end in zip([0, *breaks], [*breaks, len(places)], strict=True):
        while begin < end:  # a range may run on into the next bottom
            source = int(np.searchsorted(starts, places[begin], side="right")) - 1
            place = int(places[begin] - starts[source])
            room = prod(shapes[source][1:]) - place
            if room <= 0:
                return None
            count = min(int(end - begin), room)
            moves.append((source, place, int(begin), count))
            begin += count
    return moves


def _tuple(made: Any) -> tuple[Any, ...]:
    return tuple(made) if isinstance(made, tuple | list) else (made,)
