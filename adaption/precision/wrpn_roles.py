"""What WRPN does with each layer of a net: whose weights it rounds, which ReLUs it replaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from adaption.graph import NetSpec
from adaption.layers.base import Layer, traits_of
from adaption.options.recipes.wrpn import FLOAT_BITS, WrpnFormats
from adaption.recipes.base import LayerView
from adaption.recipes.view import view_of_spec

__all__ = ["CLIPPED", "KEPT", "ROUNDED", "Roles"]

ROUNDED, CLIPPED, KEPT = "rounded", "clipped", "kept"


@dataclass
class Roles:
    """The layers of one net, and what becomes of them.

    `decided` maps names to ROUNDED, CLIPPED or KEPT: of weight layers their weights, of activation
    functions their results. What is decided already, for the same layers of another net, stays.
    """

    spec: NetSpec
    options: WrpnFormats
    decided: dict[str, str]

    def __post_init__(self) -> None:
        self.views: Sequence[LayerView] = view_of_spec(self.spec).layers
        self._sources: list[list[int]] = []
        self._readers: defaultdict[int, list[int]] = defaultdict(list)
        latest: dict[str, int] = {}
        for i, view in enumerate(self.views):
            self._sources.append([latest[b] for b in view.bottoms])
            for source in self._sources[-1]:
                self._readers[source].append(i)
            latest.update(dict.fromkeys(view.tops, i))
        for i, view in enumerate(self.views):
            if view.is_weight_layer:
                self.decided.setdefault(view.name, self._weight(view))
            elif view.layer.kind == "activation":
                self.decided.setdefault(view.name, self._activation(i))

    @property
    def weight_layers(self) -> list[int]:
        return [i for i, view in enumerate(self.views) if view.is_weight_layer]

    def role(self, index: int) -> str | None:
        """What was decided about a layer; None of layers that WRPN does not touch."""
        return self.decided.get(self.views[index].name)

    def _weight(self, view: LayerView) -> str:
        is_end = view.is_first or view.is_last
        leaves = is_end and self.options.first_last == "float"
        return KEPT if leaves or self.options.weight_bits == FLOAT_BITS else ROUNDED

    def _activation(self, index: int) -> str:
        behind = self.nearest(index, self._readers.__getitem__, self._is_weight_layer)
        before = self.nearest(index, self._sources.__getitem__, self._is_weight_layer)
        if self.views[index].layer.greatest_of_rectified() is None or not behind:
            return KEPT
        if self.options.activation_bits == FLOAT_BITS:
            return KEPT
        if self.options.first_last == "float" and all(self.views[i].is_last for i in behind):
            return CLIPPED
        is_first = bool(before) and all(self.views[i].is_first for i in before)
        return CLIPPED if is_first and self.options.first_activation == "float" else ROUNDED

    # -- the graph -----------------------------------------------------------------------------

    def nearest(
        self,
        index: int,
        step: Callable[[int], Iterable[int]],
        stops: Callable[[int], bool],
    ) -> list[int]:
        """The first layers for which `stops` holds on every way from a layer on."""
        found: list[int] = []
        queue, seen = list(step(index)), {index}
        while queue:
            here = queue.pop(0)
            if here in seen:
                continue
            seen.add(here)
            if stops(here):
                found.append(here)
            else:
                queue += step(here)
        return found

    def _is_weight_layer(self, index: int) -> bool:
        return self.views[index].is_weight_layer

    def results(self, index: int) -> list[int]:
        """The activation functions, or points, that a weight layer's sums go into first."""
        ends = self.nearest(
            index, self._readers.__getitem__, lambda i: self._is_weight_layer(i) or self.shapes(i)
        )
        return [i for i in ends if self.shapes(i)]

    def read_from(self, index: int) -> list[int]:
        """What made the values that a weight layer reads, before they were moved, pooled or summed:
        activation functions and points, or else the first layer that computes."""
        return self.nearest(
            index,
            self._sources.__getitem__,
            lambda i: self.shapes(i) or not self._sources[i] or not self._layer(i).keeps_grid(),
        )

    def shapes(self, index: int) -> bool:
        """Whether a layer is an activation function, or rounds its top."""
        view = self.views[index]
        return view.layer.kind == "activation" or view.formats.activation is not None

    def is_normalized(self, index: int) -> bool:
        """Whether batch norm stands on every way from a weight layer to what reads its sums."""

        def normalizes(i: int) -> bool:
            layer = self._layer(i)
            return layer.kind == "normalization" or (
                layer.kind == "channel affine" and layer.writes_blobs
            )

        ends = self.nearest(
            index,
            self._readers.__getitem__,
            lambda i: normalizes(i) or self._is_weight_layer(i) or self.shapes(i),
        )
        return all(normalizes(i) for i in ends)

    def _layer(self, index: int) -> Layer:
        return traits_of(self.spec.layers[index], self.spec)
