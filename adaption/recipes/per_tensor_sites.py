"""Which tensors of a net per-tensor fixed point rounds, and at which points.

In the paper the activation A_l is what weight layer l reads, and its gradient comes from behind the
activation function of the layer before. In a Caffe net that is the top of a Clip (or whatever else
computes new values), before pooling and other layers that only move values; the net's input has no
layer that could round it, so that its readers do, at their bottom.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from adaption.net.plan import Point
from adaption.recipes.base import LayerView

__all__ = ["Site", "Tensors", "tensors_of"]


@dataclass(frozen=True)
class Site:
    """One activation tensor.

    layer: that computes it, or of an input the first that reads it.
    points: where it is rounded: its top, or of an input the bottom of each layer that reads it.
    readers: weight layers that read it.
    makers: weight layers whose result becomes it; none of an input.
    """

    layer: str
    points: tuple[Point, ...]
    readers: tuple[str, ...]
    makers: tuple[str, ...] = ()

    @property
    def is_input(self) -> bool:
        return self.points[0].kind == "bottom"

    @property
    def gradient(self) -> Point | None:
        """Where its gradient is rounded; None where no gradient comes."""
        return None if self.is_input or not self.makers else Point(self.layer, "activation_grad")


@dataclass(frozen=True)
class Tensors:
    """The weight layers of a net in order, and the activations they read.

    results: by weight layer, the points of the gradients from which its weight's is computed: that
        of the activation its result becomes, or of its own top where it goes to a loss.
    """

    weight_layers: tuple[str, ...]
    sites: tuple[Site, ...]
    results: dict[str, tuple[Point, ...]] = field(default_factory=dict)

    def read_by(self, layer: str) -> tuple[Site, ...]:
        """What a weight layer reads."""
        return tuple(site for site in self.sites if layer in site.readers)

    @property
    def gradients(self) -> tuple[Point, ...]:
        """The points of all activation gradients, each once, in the order of the layers."""
        found = [site.gradient for site in self.sites if site.gradient is not None]
        found += [point for points in self.results.values() for point in points]
        return tuple(dict.fromkeys(found))


def tensors_of(layers: Sequence[LayerView]) -> Tensors:
    """The tensors of a net, from the view of its layers (of a net that trains)."""
    return _Reader(layers).read()


class _Reader:
    def __init__(self, layers: Sequence[LayerView]) -> None:
        self.layers = layers
        self.sources: list[list[int]] = []  # who made each bottom, by layer
        self.readers: defaultdict[int, list[int]] = defaultdict(list)
        latest: dict[str, int] = {}
        for i, item in enumerate(layers):
            self.sources.append([latest[name] for name in item.bottoms])
            for source in self.sources[-1]:
                self.readers[source].append(i)
            latest.update(dict.fromkeys(item.tops, i))

    def read(self) -> Tensors:
        weight_layers = [i for i, item in enumerate(self.layers) if self._has_weight(item)]
        reads = {i: self._read_by(i) for i in weight_layers}
        places = sorted({p for found in reads.values() for p in found if p is not None})
        makers = {place: self._makers(place, places) for place in places}
        results = {i: tuple(self._results(i, places)) for i in weight_layers}
        sites = [*self._inputs([i for i in weight_layers if None in reads[i]])]
        for place in places:
            name = self.layers[place].name
            readers = tuple(self.layers[i].name for i in weight_layers if place in reads[i])
            made_by = tuple(self.layers[i].name for i in makers[place])
            sites.append(Site(name, (Point(name, "activation"),), readers, made_by))
        return Tensors(
            tuple(self.layers[i].name for i in weight_layers),
            tuple(sites),
            {self.layers[i].name: points for i, points in results.items()},
        )

    def _has_weight(self, item: LayerView) -> bool:
        return item.is_weight_layer and "weight" in item.kinds

    def _passes_on(self, index: int) -> bool:
        """Whether a layer moves, joins, picks or pools what others have computed."""
        layer = self.layers[index].layer
        if layer.rectifies():
            return False
        return layer.keeps_codes() or layer.kind == "pooling"

    def _read_by(self, index: int) -> list[int | None]:
        """The layers whose tops a weight layer reads, before pooling and the like.

        None alone: data of which at least a part comes from outside; it can be rounded at the
        layer's own bottom only.
        """
        found: list[int | None] = []
        queue = list(self.sources[index])
        if not self.layers[index].layer.same_tops_as_bottoms:
            del queue[1:]
        seen = set(queue)
        while queue:
            here = queue.pop(0)
            if self.layers[here].layer.is_source:
                return [None]
            if self._passes_on(here):
                new = [i for i in self.sources[here] if i not in seen]
                seen.update(new)
                queue += new
            else:
                found.append(here)
        return found

    def _inputs(self, readers: Sequence[int]) -> Iterator[Site]:
        """What comes from outside, a site for each blob that is read."""
        by_blob: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for i in readers:
            by_blob[tuple(self._behind_splits(source) for source in self.sources[i])].append(i)
        for found in by_blob.values():
            names = tuple(self.layers[i].name for i in found)
            yield Site(names[0], tuple(Point(name, "bottom") for name in names), names)

    def _behind_splits(self, index: int) -> int:
        while self.layers[index].layer.hands_on() and len(self.layers[index].tops) > 1:
            (index,) = self.sources[index]
        return index

    def _makers(self, place: int, places: Sequence[int]) -> list[int]:
        """The weight layers whose results an activation is computed from: those behind the
        activations before it, or where there are none, all nearest ones."""
        if self._has_weight(self.layers[place]):
            return [place]
        for ends in (set(places) - {place}, set[int]()):
            found = [i for i in self._before(place, ends) if self._has_weight(self.layers[i])]
            if found:
                return sorted(found)
        return []

    def _before(self, place: int, ends: set[int]) -> set[int]:
        """All layers before one, not beyond weight layers and `ends`."""
        found: set[int] = set()
        queue = list(self.sources[place])
        while queue:
            here = queue.pop()
            if here in found or here in ends:
                continue
            found.add(here)
            if not self._has_weight(self.layers[here]):
                queue += self.sources[here]
        return found

    def _results(self, index: int, places: Sequence[int]) -> Iterator[Point]:
        """Where the gradient comes from that a weight layer gets: activations, or a loss."""
        if index in places:
            yield Point(self.layers[index].name, "activation_grad")
            return
        found: list[int] = []
        to_loss = False
        queue, seen = [index], {index}
        while queue:
            for reader in self.readers[queue.pop(0)]:
                layer = self.layers[reader].layer
                if reader in seen or self._has_weight(self.layers[reader]):
                    continue
                seen.add(reader)
                to_loss = to_loss or layer.is_loss
                if reader in places:
                    found.append(reader)
                else:
                    queue.append(reader)
        if to_loss or not found:
            yield Point(self.layers[index].name, "activation_grad")
        for place in sorted(found):
            yield Point(self.layers[place].name, "activation_grad")
