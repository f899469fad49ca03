"""The records of cost_model, read from a net's description: shapes and formats, no weights."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from adaption.errors import AdaptionError, LayerError
from adaption.graph import LayerSpec, NetSpec, with_inputs
from adaption.layers.lowering import Shape
from adaption.layers.shapes import LayerShapes, shapes_of
from adaption.net.plan import LayerFormats, layer_formats
from adaption.precision.cost_model import FLOAT_BITS, Activation, LayerCost, NetCost

__all__ = ["bits_at", "net_cost", "per_image_shapes"]


def net_cost(spec: NetSpec, inputs: Mapping[str, Sequence[int]] | None = None) -> NetCost:
    """The weight layers of a net, the activations between them, and the bits in force.

    Args:
        inputs: shapes of blobs that data layers make, where data is not at hand.
    Raises: LayerError when the net has no weight layers; errors of shapes and formats, with layer.
    """
    shapes, batch = per_image_shapes(spec, {k: tuple(v) for k, v in (inputs or {}).items()})
    reader = _Reader(spec, shapes, batch)
    if not reader.weight_layers:
        raise LayerError("has no weight layers, so that nothing costs anything").at(file=spec.file)
    return reader.read()


def per_image_shapes(spec: NetSpec, inputs: Mapping[str, Shape]) -> tuple[list[LayerShapes], int]:
    """Shapes at batch 1, or at the net's own batch size where it fits no other; and that size."""
    given = with_inputs(spec, inputs)
    found = shapes_of(given)
    sources = {
        top: shape
        for x in found
        if not x.spec.bottoms and x.layer.is_source
        for top, shape in zip(x.spec.tops, x.tops, strict=True)
    }
    batch = next((shape[0] for shape in sources.values() if shape), 1)
    if batch == 1:
        return found, 1
    single = {
        top: (1, *shape[1:]) if shape[:1] == (batch,) else shape for top, shape in sources.items()
    }
    try:
        return shapes_of(with_inputs(given, single)), 1
    except AdaptionError:
        return found, batch  # a Reshape that says the batch size


def bits_at(formats: LayerFormats, kind: str) -> int | None:
    """The word length in force at a point of a layer; None where there is no format.

    Points that this release does not compute have none.
    """
    fmt = getattr(formats, kind, None)
    return None if fmt is None else int(fmt.word_length)


@dataclass
class _Reader:
    spec: NetSpec
    shapes: Sequence[LayerShapes]
    batch: int
    formats: list[LayerFormats] = field(default_factory=list)
    sources: list[list[int]] = field(default_factory=list)  # who made each bottom, by layer
    readers: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        latest: dict[str, int] = {}
        for i, item in enumerate(self._items):
            try:
                self.formats.append(layer_formats(item))
            except AdaptionError as error:
                raise error.at(
                    file=self.spec.file, line=item.line, layer=item.name, layer_type=item.type
                ) from None
            self.sources.append([latest[name] for name in item.bottoms])
            for source in self.sources[-1]:
                self.readers[source].append(i)
            latest.update(dict.fromkeys(item.tops, i))

    @property
    def _items(self) -> list[LayerSpec]:
        return [x.spec for x in self.shapes]

    @property
    def weight_layers(self) -> list[int]:
        return [i for i in range(len(self.shapes)) if self._is_weight_layer(i)]

    def _is_weight_layer(self, index: int) -> bool:
        return self.shapes[index].layer.is_weight_layer()

    def read(self) -> NetCost:
        reads = {i: self._activations_behind(i) for i in self.weight_layers}
        places = {place for found in reads.values() for place in found}
        paths = {i: self._path(i, places) for i in self.weight_layers}
        makers: defaultdict[int, list[Sequence[int]]] = defaultdict(list)
        for path in paths.values():
            makers[path[-1]].append(path)
        activations = [
            self._activation(place, makers[place], [i for i in reads if place in reads[i]])
            for place in sorted({*places, *makers})
        ]
        layers = [self._layer(i, reads[i], paths[i][-1]) for i in self.weight_layers]
        return NetCost(tuple(layers), tuple(activations))

    def _activations_behind(self, index: int) -> list[int]:
        """The layers whose tops a weight layer reads, where they stand before pooling and the like.

        Where values are rounded is such a place; else the first layer that does more than move or
        pool them.
        """
        found: list[int] = []
        queue = list(self.sources[index])
        if not self.shapes[index].layer.same_tops_as_bottoms:
            del queue[1:]  # labels, masks, continuation
        while queue:
            here = queue.pop(0)
            if here in found:
                continue
            if bits_at(self.formats[here], "activation") is None and self._passes_on(here):
                queue += self.sources[here]
            else:
                found.append(here)
        return found

    def _passes_on(self, index: int) -> bool:
        """Whether a layer moves, joins, picks or pools what others have computed."""
        layer = self.shapes[index].layer
        if not self._items[index].bottoms or layer.rectifies():
            return False
        return layer.kind == "pooling" or layer.keeps_codes()

    def _path(self, index: int, places: set[int]) -> list[int]:
        """From a weight layer to the activation that its result becomes; to itself for the last."""
        paths = deque([[index]])
        seen = {index}
        while paths:
            path = paths.popleft()
            if path[-1] in places:
                return path
            for reader in self.readers[path[-1]]:
                if reader not in seen and not self._is_weight_layer(reader):
                    seen.add(reader)
                    paths.append([*path, reader])
        return [index]

    def _activation(
        self, place: int, paths: Sequence[Sequence[int]], readers: Sequence[int]
    ) -> Activation:
        views = [bits_at(self.formats[i], "bottom") or FLOAT_BITS for i in readers]
        return Activation(
            self._items[place].name,
            self._count(self.shapes[place].tops[0]),
            min(self._bits(place), max(views, default=FLOAT_BITS)),
            self._gradient_bits(place, paths),
            is_input=not self._has_weights_before(place),
        )

    def _has_weights_before(self, place: int) -> bool:
        queue, seen = [place], {place}
        while queue:
            here = queue.pop()
            if self._is_weight_layer(here):
                return True
            new = set(self.sources[here]) - seen
            seen |= new
            queue += new
        return False

    def _bits(self, place: int) -> int:
        """Bits of an activation: of the format in force there, through layers that keep codes."""
        widest = 0
        queue = [place]
        while queue:
            here = queue.pop()
            own = bits_at(self.formats[here], "activation")
            if own is None and self.shapes[here].layer.keeps_codes() and self.sources[here]:
                queue += self.sources[here]
            else:
                widest = max(widest, FLOAT_BITS if own is None else own)
        return widest

    def _gradient_bits(self, place: int, paths: Sequence[Sequence[int]]) -> int:
        """Bits of an activation's gradient: rounded where the activation stands (behind the clip),
        or by a weight layer whose result it is."""
        around = {place, *(path[0] for path in paths)}
        found = [bits_at(self.formats[i], "activation_grad") for i in sorted(around)]
        return max((bits for bits in found if bits is not None), default=FLOAT_BITS)

    def _layer(self, index: int, reads: Sequence[int], feeds: int) -> LayerCost:
        x, formats = self.shapes[index], self.formats[index]
        own_view = bits_at(formats, "bottom")
        inputs = x.bottoms if x.layer.same_tops_as_bottoms else x.bottoms[:1]
        return LayerCost(
            name=x.spec.name,
            type=x.spec.type,
            macs=self._per_image(x.layer.macs(x.bottoms, x.tops)),
            weights=sum(prod(shape) for shape in x.blobs if len(shape) > 1),
            inputs=sum(self._count(shape) for shape in inputs),
            outputs=sum(self._count(shape) for shape in x.tops[: len(inputs)]),
            reads=tuple(self._items[i].name for i in reads),
            feeds=self._items[feeds].name,
            weight_bits=bits_at(formats, "weight") or FLOAT_BITS,
            activation_bits=own_view or max(self._bits(i) for i in reads),
            weight_grad_bits=bits_at(formats, "weight_grad") or FLOAT_BITS,
            accumulator_bits=bits_at(formats, "weight_accumulator") or FLOAT_BITS,
            is_shared=self._owner(index) != index,
        )

    def _owner(self, index: int) -> int:
        """The first weight layer whose weight has the same name as that of this one."""
        names = [[p.name for p in item.message.param[:1]] for item in self._items]
        if names[index] in ([], [""]):
            return index
        return next(i for i in self.weight_layers if names[i] == names[index])

    def _count(self, shape: Shape) -> int:
        return self._per_image(prod(shape))

    def _per_image(self, count: int) -> int:
        """A count for one image; one that is no multiple of the batch is not per image."""
        return count // self.batch if count % self.batch == 0 else count
