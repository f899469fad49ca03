"""Shapes of a whole net from its description: no blob is made, so it takes no memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from adaption.errors import AdaptionError, ShapeError
from adaption.graph import LayerSpec, NetSpec
from adaption.layers.base import Layer, build_layer, can_run, choose_class, is_known, unknown_layers
from adaption.layers.lowering import Shape

__all__ = ["LayerShapes", "each_shape", "shapes_of", "with_automatic_tops"]


@dataclass(frozen=True)
class LayerShapes:
    """A layer, and the shapes of its bottoms, tops and parameter blobs, in prototxt order."""

    spec: LayerSpec
    layer: Layer
    bottoms: tuple[Shape, ...]
    tops: tuple[Shape, ...]
    blobs: tuple[Shape, ...]

    @property
    def masters(self) -> tuple[Shape, ...]:
        """The blobs that formats are for, without rounded copies."""
        return self.blobs

    @property
    def read_bottoms(self) -> list[int]:
        """Bottoms that hold values; labels are no numbers to be rounded."""
        return [i for i in range(len(self.spec.bottoms)) if i not in self.layer.no_gradient]


def shapes_of(spec: NetSpec) -> list[LayerShapes]:
    """The shapes of every layer of a net, in its order; weights are not made.

    Data layers look into their data; `graph.with_inputs` puts Input layers in their place.
    Raises: UnknownLayerError listing all layers of unknown types; errors of single layers, with
        file, line and name.
    """
    unknown = unknown_layers(spec.layers)
    if unknown is not None:
        raise unknown.at(file=spec.file)
    return list(each_shape(spec))


def each_shape(spec: NetSpec) -> Iterator[LayerShapes]:
    """As `shapes_of`, one by one; layers of unknown types, and those behind them, are left out."""
    blobs: dict[str, Shape] = {}
    for item in with_automatic_tops(spec.layers):
        if not can_run(item) or any(name not in blobs for name in item.bottoms):
            continue
        bottoms = tuple(blobs[name] for name in item.bottoms)
        try:
            layer = build_layer(item, spec.dialect, spec.layers)
            made = _shapes(item, layer, bottoms)
        except AdaptionError as error:
            where = error.at(file=spec.file, line=item.line, layer=item.name, layer_type=item.type)
            raise where from error.__cause__
        blobs.update(zip(item.tops, made.tops, strict=True))
        yield made


def _shapes(item: LayerSpec, layer: Layer, bottoms: tuple[Shape, ...]) -> LayerShapes:
    shown = ", ".join(str(b) for b in bottoms)
    try:
        tops = tuple(tuple(s) for s in layer.top_shapes(*bottoms))
        blobs = tuple(tuple(s) for s in layer.blob_shapes(*bottoms))
    except IndexError:
        raise ShapeError(f"bottoms of shape {shown} have too few axes") from None
    for name, shape in zip(item.tops, tops, strict=True):
        if any(d < 0 for d in shape):
            raise ShapeError(
                f'bottoms of shape {shown} give top "{name}" the shape {shape}',
                "enlarge the input, or correct kernel size, pad and crop",
            )
    return LayerShapes(item, layer, bottoms, tops, blobs)


def with_automatic_tops(layers: Sequence[LayerSpec]) -> list[LayerSpec]:
    """Losses without tops get one. Caffe: Layer::AutoTopBlobs; it calls all of them the same."""
    made: list[LayerSpec] = []
    count = 0
    for item in layers:
        if not item.tops and is_known(item.type) and choose_class(item)[0].is_loss:
            count += 1
            top = "(automatic)" if count == 1 else f"(automatic {count})"
            item = replace(item, tops=(top,))
        made.append(item)
    return made
