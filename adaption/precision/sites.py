"""Where a net is quantized: its weight layers, and the place behind each where its result rounds.

By default rounding comes before the activation function, as in the original: ADaPTION's generator
puts LPAct between a layer and its ReLU, and leaves the last classifier's result in float. Batch
norm, scale and bias layers that follow belong to the sum, so the place is behind them. It may also
be behind the activation function, or behind the pooling that follows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from adaption.errors import FieldError, UsageError
from adaption.graph import LayerSpec, NetSpec, refuse_repeated
from adaption.layers.base import Layer, traits_of
from adaption.nearest import nearest_name

__all__ = [
    "PLACES",
    "Site",
    "Wiring",
    "bottom_sites",
    "excluded_layers",
    "quantization_sites",
    "shapes_result",
]

PLACES = {
    "before-relu": "before the activation function",
    "after-relu": "behind the activation function",
    "after-pooling": "behind activation function and pooling",
}
"""Where a result is rounded, by the name of the choice. The first is ADaPTION's."""


@dataclass(frozen=True)
class Site:
    """A layer, and the one behind which its result is rounded; None: left float."""

    weight: LayerSpec  # a weight layer, but for bottom_sites
    result: LayerSpec | None
    why: str  # in words, for the report

    @property
    def point(self) -> str:
        """What the result's point is called: as the layer; an input as its blob, since in other
        files of the same net another layer brings it."""
        return self.weight.name if self.weight.bottoms else self.weight.tops[0]

    @property
    def place(self) -> str:
        """Where it is rounded: the layer's name whose top it is, or the input's."""
        assert self.result is not None
        return self.point if self.result is self.weight else self.result.name


def quantization_sites(spec: NetSpec, lpact: str = "before-relu") -> list[Site]:
    """The sites of a float net, in order of its layers.

    Args:
        lpact: one of PLACES. Behind the activation function, or behind pooling, only where that
            follows alone; where a blob branches before, the result is rounded at the branch.
    Raises: LayerError when another layer has the name of a site's.
    """
    if lpact not in PLACES:
        raise FieldError("lpact", lpact, ", ".join(PLACES))
    graph = Wiring(spec)
    sites = []
    for i, item in enumerate(spec.layers):
        if not graph[i].is_weight_layer():
            continue
        last = graph.end_of(i, lambda x: x.kind == "channel affine")
        if lpact != "before-relu":
            last = graph.end_of(last, lambda x: x.kind == "activation")
        if lpact == "after-pooling":
            pooled = graph.end_of(last, lambda x: x.kind == "pooling" or x.hands_on())
            last = pooled if graph[pooled].kind == "pooling" else last
        result = spec.layers[last]
        if graph[i].kind == "inner product" and not graph.reaches_weights(last):
            sites.append(Site(item, None, "last classifier, its result stays float"))
            continue
        behind = "" if last == i else f" behind {result.name}"
        where = f", {PLACES['before-relu']}" if lpact == "before-relu" else ""
        sites.append(Site(item, result, f"rounded{behind}{where}"))
    named = {s.weight.name for s in sites} | {s.result.name for s in sites if s.result is not None}
    refuse_repeated(spec, named)
    return sites


def excluded_layers(
    sites: Sequence[Site], exclude: Sequence[str] = (), first: bool = False, last: bool = False
) -> frozenset[str]:
    """Names of the weight layers that are to stay as they are.

    Args:
        sites: of the net.
        exclude: names or patterns (`conv1`, `*_aux*`).
        first, last: also the first, the last one.
    Raises: UsageError for a name or pattern that fits no weight layer.
    """
    names = [site.weight.name for site in sites]
    found = {*(names[:1] if first else []), *(names[-1:] if last else [])}
    for pattern in exclude:
        fitting = [name for name in names if fnmatchcase(name, pattern) or name == pattern]
        if not fitting:
            near = nearest_name(pattern, tuple(names))
            raise UsageError(
                f"no weight layer is called {pattern!r}, which is to be left as it is"
                + (f", did you mean {near!r}?" if near else ""),
                f"its weight layers: {', '.join(names)}",
            )
        found.update(fitting)
    return frozenset(found)


def bottom_sites(
    spec: NetSpec, lpact: str = "before-relu", excluded: Container[str] = frozenset()
) -> list[Site]:
    """Where else to round, so that every weight layer of a float net reads short codes: behind
    sums of branches, averages, other layers whose tops are no codes of their bottoms, and inputs.

    Args:
        excluded: weight layers that stay in float: they may read floats, and give some.
    """
    graph = Wiring(spec)
    results = [
        s.result.name
        for s in quantization_sites(spec, lpact)
        if s.result is not None and s.weight.name not in excluded
    ]
    # Per blob the layers that made what it holds, movers of codes left out.
    origins: dict[str, tuple[int, ...]] = {}
    wanted: set[int] = set()
    for i, item in enumerate(spec.layers):
        before = [origins.get(name, ()) for name in item.bottoms]
        if graph[i].is_weight_layer() and item.name not in excluded:
            wanted.update(before[0])
        made: tuple[int, ...] = (i,)
        if item.name in results:
            made = ()
        elif graph[i].keeps_codes():
            made = tuple(dict.fromkeys(index for of_one in before for index in of_one))
        origins.update(dict.fromkeys(item.tops, made))
    found = []
    for i in sorted(wanted):
        item, last = spec.layers[i], i
        if len(item.tops) > 1:  # labels beside images, ...
            found.append(Site(item, None, "several blobs from one layer, measured as one"))
            continue
        if lpact != "before-relu":
            last = graph.end_of(i, lambda x: x.kind == "activation")
        found.append(Site(item, spec.layers[last], "read by weight layers"))
    return found


def shapes_result(layer: Layer) -> bool:
    """Whether a layer can stand between a weight layer and the place where its result rounds."""
    kinds = ("channel affine", "activation", "pooling", "rounding")
    return layer.kind in kinds or layer.hands_on()


class Wiring:
    """A net's layers by index: what they say of themselves, and which layers read their tops."""

    def __init__(self, spec: NetSpec) -> None:
        self.spec = spec
        self._layers: dict[int, Layer] = {}
        self._single = [len(item.bottoms) == 1 for item in spec.layers]
        self._readers: dict[int, list[int]] = defaultdict(list)
        latest: dict[str, int] = {}
        for i, item in enumerate(spec.layers):
            for bottom in item.bottoms:
                self._readers[latest[bottom]].append(i)
            for top in item.tops:
                latest[top] = i

    def __getitem__(self, index: int) -> Layer:
        if index not in self._layers:
            self._layers[index] = traits_of(self.spec.layers[index], self.spec)
        return self._layers[index]

    def following(self, index: int, fits: Callable[[Layer], bool]) -> list[int]:
        """The layers that fit and follow a layer one by one, no other reading in between."""
        found: list[int] = []
        while len(readers := self._readers[index]) == 1:
            index = readers[0]
            if not self._single[index] or not fits(self[index]):
                break
            found.append(index)
        return found

    def end_of(self, index: int, fits: Callable[[Layer], bool]) -> int:
        """The last of the layers that follow alone, or the layer itself."""
        return [index, *self.following(index, fits)][-1]

    def reaches_weights(self, index: int) -> bool:
        """Whether a weight layer reads, directly or through others, what a layer writes."""
        queue, seen = [index], {index}
        while queue:
            for reader in self._readers[queue.pop()]:
                if reader in seen:
                    continue
                if self[reader].is_weight_layer():
                    return True
                seen.add(reader)
                queue.append(reader)
        return False
