"""The part of a net that one blob is computed from."""

from __future__ import annotations

from adaption.errors import LayerError
from adaption.graph.spec import NetSpec

__all__ = ["leading_to"]


def leading_to(spec: NetSpec, blob: str) -> NetSpec:
    """The layers that a blob, as the net leaves it, is computed from; in the net's order.

    Losses, accuracies and branches that lead elsewhere are left out, and inputs that only they
    read. Raises: LayerError when no layer makes the blob.
    """
    makers: list[list[int]] = []  # who made each bottom, by layer
    latest: dict[str, int] = {}
    for i, item in enumerate(spec.layers):
        makers.append([latest[name] for name in item.bottoms if name in latest])
        latest.update(dict.fromkeys(item.tops, i))
    if blob not in latest:
        raise LayerError(f'has no layer that makes blob "{blob}"').at(file=spec.file)
    needed: set[int] = set()
    queue = [latest[blob]]
    while queue:
        here = queue.pop()
        if here not in needed:
            needed.add(here)
            queue += makers[here]
    return spec.with_layers(tuple(spec.layers[i] for i in sorted(needed)))
